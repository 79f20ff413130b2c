"""Views of one block: the same nodes with fewer edges, or fewer seeds with what surrounds them."""

import numba
import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel, parallel_kernel
from amity.sampling.draws import keyed
from amity.sampling.neighbors import ALL, Block, sample_neighbors

SALT = 0x5EED
"""Keeps the draws of a view apart from other draws under the same seed."""


def drop_edges(block: Block, *, rate: float, seed: int) -> Block:
    """Drop each edge of a block with probability `rate`, by a hash of the seed and its place.

    Nodes and hops stay, so that two views of a block agree position by position; some nodes may hear from nobody.
    """
    threshold = min(int(rate * 2**64) - 2**63, int(np.iinfo(np.int64).max))
    indptr, indices = _drop(block.indptr, block.indices, threshold, seed)
    return Block(block.nodes, indptr, indices, block.hops)


def surroundings(block: Block, seeds: Int64[ndarray, "seeds"]) -> Block:
    """Of a block, what some of its seeds hear from, as a block whose `nodes` are positions in the other one's.

    The seeds come first, in the order given; each node hears from whom it hears in the whole block.
    """
    rows = Adjacency(block.indptr, block.indices)
    return sample_neighbors(rows, seeds, fanout=(ALL,) * (len(block.hops) - 1), seed=0)


@parallel_kernel
def _drop(indptr, indices, threshold, seed):
    starts = np.zeros(len(indptr), np.int64)
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            starts[row + 1] += _stays(edge, threshold, seed)
    starts = np.cumsum(starts)
    kept = np.empty(starts[-1], indices.dtype)
    for row in numba.prange(len(indptr) - 1):
        place = starts[row]
        for edge in range(indptr[row], indptr[row + 1]):
            if _stays(edge, threshold, seed):
                kept[place] = indices[edge]
                place += 1
    return starts, kept


@kernel
def _stays(edge, threshold, seed):
    return keyed(seed, SALT, edge) >= threshold
