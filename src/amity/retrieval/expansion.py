"""Query expansion: a query asks with the vectors of some of its friends too (Kung et al., SIGIR 2024)."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from pydantic import PositiveInt

from amity.graph import Adjacency
from amity.kernels import kernel, mix
from amity.section import Section


class ExpansionConfig(Section):
    """How friends help a query to ask."""

    by: Literal["none", "mean", "max", "fusion"] = "none"
    """Not at all; by the mean of all vectors; by the best score that one of them gives; by fusing their lists."""
    friends: PositiveInt = 5
    """How many friends ask with a query, at most; they are drawn by lot."""


def choose_friends(
    friends: Adjacency, queries: Int64[ndarray, "queries"], *, count: int, seed: int
) -> Int64[ndarray, "queries count"]:
    """Up to `count` distinct friends of each query, by lot; -1 in the places that stay empty.

    Who is drawn hangs on the seed and the query alone.
    """
    chosen = np.full((len(queries), count), -1, np.int64)
    _choose(friends.indptr, friends.indices, np.asarray(queries, np.int64), mix(seed), chosen)
    return chosen


def mean_vectors(
    vectors: Float[ndarray, "nodes dim"], queries: Int64[ndarray, "queries"], friends: Int64[ndarray, "queries count"]
) -> Float[ndarray, "queries dim"]:
    """The mean of the vectors of each query and its friends; a place of -1 is nobody."""
    present = friends >= 0
    sums = np.einsum("qcd,qc->qd", vectors[np.maximum(friends, 0)].astype(np.float32), present.astype(np.float32))
    return (vectors[queries] + sums) / (1 + present.sum(1, dtype=np.float32))[:, None]


@kernel
def _choose(indptr, indices, queries, key, chosen):
    """The friends whose hashes are smallest, by insertion: there are few places."""
    count = chosen.shape[1]
    hashes = np.empty(count, np.int64)
    for row in range(len(queries)):
        held, own = 0, mix(key ^ queries[row])
        for edge in range(indptr[queries[row]], indptr[queries[row] + 1]):
            friend = np.int64(indices[edge])
            drawn = mix(own ^ friend)
            if held == count and drawn >= hashes[count - 1]:
                continue
            place = min(held, count - 1)
            while place > 0 and hashes[place - 1] > drawn:
                hashes[place], chosen[row, place] = hashes[place - 1], chosen[row, place - 1]
                place -= 1
            hashes[place], chosen[row, place] = drawn, friend
            held = min(held + 1, count)
