"""Sums over neighbours: the product of an adjacency with a dense matrix."""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.graph.adjacency import Adjacency
from amity.graph.rows import bits, fetch_row, single
from amity.kernels import kernel, shared


def propagate(
    adjacency: Adjacency, dense: Float[ndarray, "nodes columns"], *, first: int = 0, last: int | None = None
) -> Float32[ndarray, "rows columns"]:
    """The sum of the rows of `dense` over the neighbours of each node from `first` up to `last`: A X.

    The adjacency may be memory-mapped, and `dense` in half precision; its weights are not used. Scale the rows before
    and after to normalise by degree: D⁻¹ A X is a walk's step backwards, A D⁻¹ X (on a symmetric A) one forwards. The
    sums are taken in the order of the rows, so that the result does not depend on the number of threads.
    """
    indptr = adjacency.indptr[first : (adjacency.num_nodes if last is None else last) + 1]
    sums = np.zeros((len(indptr) - 1, dense.shape[1]), np.float32)
    shared(_sum_rows, len(sums), (indptr, adjacency.indices), bits(np.ascontiguousarray(dense)), sums)
    return sums


@kernel
def _sum_rows(part, rows, dense, sums):
    indptr, indices = rows
    for row in range(*part):
        for edge in range(indptr[row], indptr[row + 1]):
            fetch_row(dense, indices, edge, indptr[part[1]])
            source = np.int64(indices[edge])
            for column in range(dense.shape[1]):
                sums[row, column] += single(dense[source, column])
