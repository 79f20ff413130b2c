"""The k best of scored candidates, ties in a random order that is the same in every run.

Equal scores are ordered by a hash of (seed, query, candidate), so that a recommender that cannot tell
candidates apart gets the level of chance, whatever the order of the rows.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer
from numpy import ndarray

from amity.index.hits import NOBODY
from amity.kernels import kernel, mix, shared


class Scope(NamedTuple):
    """Who may be found, and how ties fall; the one argument about that which the ranking kernels take."""

    first: int
    """Row of the first candidate."""
    end: int
    """Row after the last candidate."""
    friends_indptr: Int64[ndarray, "nodes_and_one"]
    friends_indices: Integer[ndarray, "edges"]
    """Train friends in compressed rows: the query must not get them."""
    known_indptr: Int64[ndarray, "nodes_and_one"]
    known_indices: Integer[ndarray, "known"]
    """Others whom the query must not get, in compressed rows."""
    seed: int
    """Names the random order of ties."""


def rank_ordered(
    order: Int64[ndarray, "candidates"],
    scores: Float64[ndarray, "nodes"],
    queries: Int64[ndarray, "queries"],
    scope: Scope,
    k: int,
) -> tuple[Int64[ndarray, "queries k"], Float64[ndarray, "queries k"]]:
    """For every query the k best of candidates whose scores do not depend on the query.

    `order` names the candidates from the highest score to the lowest; `scores` is over all rows.
    Returns rows and scores; row -1 and score -inf where no candidate is left.
    """
    rows = np.empty((len(queries), k), np.int64)
    best = np.empty((len(queries), k), np.float64)
    shared(_rank, len(queries), order, scores, queries, scope, (rows, best))
    return rows, best


@kernel
def count_targets(indices, num_nodes):
    """How many edges lead to each node; float64."""
    counts = np.zeros(num_nodes, np.float64)
    for target in indices:
        counts[target] += 1.0
    return counts


@kernel
def tie_key(scope, query):
    """The key under which `mix(key + candidate)` orders the tied candidates of a query; no two hashes are equal."""
    return mix(mix(scope.seed) ^ query)


@kernel
def exclude(excluded, query, scope, value):
    """Mark (or unmark) whom a query must not get: itself, its train friends, those known otherwise."""
    excluded[query] = value
    for edge in range(scope.friends_indptr[query], scope.friends_indptr[query + 1]):
        excluded[scope.friends_indices[edge]] = value
    for edge in range(scope.known_indptr[query], scope.known_indptr[query + 1]):
        excluded[scope.known_indices[edge]] = value


@kernel
def offer(heap, size, score, tie, row):
    """Put a candidate into the heap of the best so far, its worst at the root; returns how many it then holds.

    `heap` is three arrays of length k: scores, ties, rows.
    """
    scores, ties, rows = heap
    if size == len(scores):
        if _is_less(scores[0], ties[0], score, tie):
            _sink(heap, size, score, tie, row)
        return size
    position = size
    while position > 0:
        parent = (position - 1) // 2
        if not _is_less(score, tie, scores[parent], ties[parent]):
            break
        scores[position], ties[position], rows[position] = scores[parent], ties[parent], rows[parent]
        position = parent
    scores[position], ties[position], rows[position] = score, tie, row
    return size + 1


@kernel
def unload(heap, size):
    """Sort the heap in place, best first; what it does not fill becomes row -1 with score -inf."""
    scores, ties, rows = heap
    for last in range(size - 1, 0, -1):
        score, tie, row = scores[last], ties[last], rows[last]
        scores[last], ties[last], rows[last] = scores[0], ties[0], rows[0]
        _sink(heap, last, score, tie, row)
    for empty in range(size, len(rows)):
        scores[empty], rows[empty] = -np.inf, NOBODY


@kernel
def _rank(part, order, scores, queries, scope, lists):
    rows, best = lists
    excluded = np.zeros(len(scores), np.bool_)
    ties = np.empty(rows.shape[1], np.int64)
    for i in range(*part):
        heap, size, key = (best[i], ties, rows[i]), 0, tie_key(scope, queries[i])
        exclude(excluded, queries[i], scope, value=True)
        for row in order:
            if size == len(ties) and scores[row] < best[i, 0]:
                break
            if not excluded[row]:
                size = offer(heap, size, scores[row], mix(key + row), row)
        exclude(excluded, queries[i], scope, value=False)
        unload(heap, size)


@kernel
def _is_less(score, tie, other_score, other_tie):
    return score < other_score or (score == other_score and tie < other_tie)


@kernel
def _sink(heap, size, score, tie, row):
    """Replace the root by an entry, and let it sink until no child is worse."""
    scores, ties, rows = heap
    position = 0
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and _is_less(scores[child + 1], ties[child + 1], scores[child], ties[child]):
            child += 1
        if not _is_less(scores[child], ties[child], score, tie):
            break
        scores[position], ties[position], rows[position] = scores[child], ties[child], rows[child]
        position = child
    scores[position], ties[position], rows[position] = score, tie, row
