"""Views of one block: the same nodes with fewer edges, or fewer seeds with what surrounds them."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel, shared
from amity.sampling.draws import keyed
from amity.sampling.neighbors import ALL, Block, sample_neighbors

SALT = 0x5EED
"""Keeps the draws of a view apart from other draws under the same seed."""


def drop_edges(block: Block, *, rate: float, seed: int) -> Block:
    """Drop each edge of a block with probability `rate`, by a hash of the seed and its place.

    Nodes and hops stay, so that two views of a block agree position by position; some nodes may hear from nobody.
    """
    threshold = min(int(rate * 2**64) - 2**63, int(np.iinfo(np.int64).max))
    draw, num_rows = (threshold, seed), len(block.indptr) - 1
    starts = np.zeros(len(block.indptr), np.int64)
    shared(_count, num_rows, block.indptr, draw, starts)
    np.cumsum(starts, out=starts)
    kept = np.empty(starts[-1], block.indices.dtype)
    shared(_keep, num_rows, (block.indptr, block.indices), draw, starts, kept)
    return Block(block.nodes, starts, kept, block.hops)


def surroundings(block: Block, seeds: Int64[ndarray, "seeds"]) -> Block:
    """Of a block, what some of its seeds hear from, as a block whose `nodes` are positions in the other one's.

    The seeds come first, in the order given; each node hears from whom it hears in the whole block.
    """
    rows = Adjacency(block.indptr, block.indices)
    return sample_neighbors(rows, seeds, fanout=(ALL,) * (len(block.hops) - 1), seed=0)


@kernel
def _count(part, indptr, draw, starts):
    """How many edges of each row stay, one place further on."""
    for row in range(*part):
        for edge in range(indptr[row], indptr[row + 1]):
            starts[row + 1] += _stays(edge, draw)


@kernel
def _keep(part, rows, draw, starts, kept):
    indptr, indices = rows
    for row in range(*part):
        place = starts[row]
        for edge in range(indptr[row], indptr[row + 1]):
            if _stays(edge, draw):
                kept[place] = indices[edge]
                place += 1


@kernel
def _stays(edge, draw):
    threshold, seed = draw
    return keyed(seed, SALT, edge) >= threshold
