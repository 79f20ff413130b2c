"""Scores that flow from a query along edges, one sparse frontier a step, and the k best that they reach.

A thread keeps five arrays over all nodes (25 bytes a node); a query touches only what it reaches.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer
from numpy import ndarray

from amity.kernels import kernel, mix, shared
from amity.retrieval.ranking import Scope, exclude, offer, tie_key, unload


class Walk(NamedTuple):
    """How mass flows: `steps` times p <- restart e_q + (1 - restart) p W A, with W = diag(weights)."""

    indptr: Int64[ndarray, "nodes_and_one"]
    indices: Integer[ndarray, "edges"]
    weights: Float64[ndarray, "nodes"]
    """What a node hands on is its mass times this; positive."""
    steps: int
    restart: float


def rank_walks(
    walk: Walk, queries: Int64[ndarray, "queries"], masses: Float64[ndarray, "queries"], scope: Scope, k: int
) -> tuple[Int64[ndarray, "queries k"], Float64[ndarray, "queries k"]]:
    """For every query the k candidates with most mass after the walk from p = mass e_q; see `Walk`, `Scope`.

    Who is not reached scores 0. Returns rows and scores; row -1 and score -inf where no candidate is left.
    """
    rows = np.empty((len(queries), k), np.int64)
    best = np.empty((len(queries), k), np.float64)
    shared(_rank, len(queries), walk, queries, masses, scope, (rows, best))
    return rows, best


@kernel
def _rank(part, walk, queries, masses, scope, lists):
    rows, best = lists
    num_nodes = len(walk.weights)
    mass, arriving = np.zeros(num_nodes), np.zeros(num_nodes)
    reached, reaching = np.empty(num_nodes, walk.indices.dtype), np.empty(num_nodes, walk.indices.dtype)
    excluded = np.zeros(num_nodes, np.bool_)
    ties = np.empty(rows.shape[1], np.int64)
    for i in range(*part):
        query = np.int64(queries[i])
        mass[query], reached[0], size = masses[i], query, 1
        for _ in range(walk.steps):
            size = _spread(walk, mass, reached[:size], arriving, reaching)
            mass, arriving, reached, reaching = arriving, mass, reaching, reached
            if walk.restart > 0.0:
                size = _restart(walk, query, mass, reached, size)
        _select((best[i], ties, rows[i]), mass, reached[:size], excluded, query, scope)
        for node in reached[:size]:
            mass[node] = 0.0


@kernel
def _spread(walk, mass, reached, arriving, reaching):
    """Hand the weighted mass of every node to each of its neighbours, and return how many get some."""
    size = 0
    for node in reached:
        share = mass[node] * walk.weights[node]
        mass[node] = 0.0
        for edge in range(walk.indptr[node], walk.indptr[node + 1]):
            neighbor = walk.indices[edge]
            if arriving[neighbor] == 0.0:
                reaching[size] = neighbor
                size += 1
            arriving[neighbor] += share
    return size


@kernel
def _restart(walk, query, mass, reached, size):
    """Send a share of the mass back to the query."""
    for node in reached[:size]:
        mass[node] *= 1.0 - walk.restart
    if mass[query] == 0.0:
        reached[size] = query
        size += 1
    mass[query] += walk.restart
    return size


@kernel
def _select(heap, mass, reached, excluded, query, scope):
    """Rank who was reached; where they do not fill the list, the others follow with score 0, in random order."""
    size, key = 0, tie_key(scope, query)
    exclude(excluded, query, scope, value=True)
    for row in reached:
        if scope.first <= row < scope.end and not excluded[row]:
            size = offer(heap, size, mass[row], mix(key + row), row)
    if size < len(heap[0]):
        for row in range(scope.first, scope.end):
            if mass[row] == 0.0 and not excluded[row]:
                size = offer(heap, size, 0.0, mix(key + row), row)
    exclude(excluded, query, scope, value=False)
    unload(heap, size)
