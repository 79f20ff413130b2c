"""Sums over neighbours: the product of an adjacency with a dense matrix."""

import numba
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from amity.graph.adjacency import Adjacency
from amity.kernels import parallel_kernel


def propagate(adjacency: Adjacency, dense: Float32[ndarray, "nodes columns"]) -> Float32[ndarray, "nodes columns"]:
    """The sum of the rows of `dense` over the neighbours of each node: A X.

    The adjacency may be memory-mapped; its weights are not used. Scale the rows before and after to normalise by
    degree: D⁻¹ A X is a walk's step backwards, A D⁻¹ X (on a symmetric A) one forwards. The sums are taken in the
    order of the rows, so that the result does not depend on the number of threads.
    """
    sums = np.zeros((adjacency.num_nodes, dense.shape[1]), np.float32)
    _propagate(adjacency.indptr, adjacency.indices, np.ascontiguousarray(dense), sums)
    return sums


@parallel_kernel
def _propagate(indptr, indices, dense, sums):
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            source = np.int64(indices[edge])
            for column in range(dense.shape[1]):
                sums[row, column] += dense[source, column]
