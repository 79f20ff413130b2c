"""Lists of several recommenders made one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray

from amity.index.hits import NOBODY, Hits
from amity.kernels import kernel, mix

CONSTANT = 60.0
"""What is added to every rank, as in the paper: the larger, the less the first places count."""


def fuse(
    lists: Sequence[Hits],
    weights: Float[ndarray, "lists queries"],
    *,
    k: int,
    names: Int64[ndarray, "queries"],
    seed: int,
) -> Hits:
    """Reciprocal-rank fusion: the k candidates of each query with the largest Σ_l w_l / (60 + rank_l), best first.

    Cormack, Clarke and Büttcher (2009); ranks begin with 1. The lists, of any lengths, answer the same queries; a
    candidate that a list does not hold gets nothing from it, and nobody is found by nothing. Equal sums are ordered by
    a seeded hash of the query's name and the candidate. Scores are the sums; empty places have row -1, score -inf.
    """
    rows, shares = align(lists)
    sums = np.einsum("lq,lqp->qp", weights, shares)
    return _best(np.where(sums > 0, rows, NOBODY), sums, k, names, seed)


def align(
    lists: Sequence[Hits],
) -> tuple[Int64[ndarray, "queries places"], Float64[ndarray, "lists queries places"]]:
    """Everybody in the lists of each query, once, -1 in places to spare; and 1 / (60 + rank) by each list, else 0."""
    rows, begins, order = _side_by_side(lists)
    shares = np.zeros((len(lists), *rows.shape))
    first = 0
    for number, hits in enumerate(lists):
        last = first + hits.rows.shape[1]
        worth = np.zeros(rows.shape)
        worth[:, first:last] = 1.0 / (CONSTANT + 1.0 + np.arange(last - first))
        shares[number, begins] = np.add.reduceat(np.take_along_axis(worth, order, 1).ravel(), np.flatnonzero(begins))
        first = last
    return np.where(begins, rows, NOBODY), shares


def keep_best(lists: Sequence[Hits], *, k: int, names: Int64[ndarray, "queries"], seed: int) -> Hits:
    """The k candidates of each query with the largest score that any of the lists gives; ties as in `fuse`."""
    rows, begins, order = _side_by_side(lists)
    scores = np.take_along_axis(np.concatenate([hits.scores for hits in lists], axis=1), order, 1)
    largest = np.zeros(rows.shape)
    largest[begins] = np.maximum.reduceat(scores.ravel(), np.flatnonzero(begins))
    return _best(np.where(begins, rows, NOBODY), largest, k, names, seed)


def _side_by_side(lists: Sequence[Hits]) -> tuple[ndarray, ndarray, ndarray]:
    """The rows of all lists, sorted query by query; where those of a candidate begin; and the order that sorts."""
    rows = np.concatenate([hits.rows for hits in lists], axis=1)
    order = np.argsort(rows, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, 1)
    begins = np.ones(rows.shape, np.bool_)
    begins[:, 1:] = rows[:, 1:] != rows[:, :-1]
    return rows, begins, order


def _best(rows: ndarray, scores: ndarray, k: int, names: ndarray, seed: int) -> Hits:
    """The k candidates of each query whose scores are largest."""
    scores = np.where(rows == NOBODY, -np.inf, scores)
    best = np.lexsort((_lots(rows, names, mix(seed)), -scores), axis=1)[:, :k]
    found = np.full((len(rows), k), NOBODY, np.int64)
    kept = np.full((len(rows), k), -np.inf, np.float32)
    kept[:, : best.shape[1]] = np.take_along_axis(scores, best, 1)
    found[:, : best.shape[1]] = np.take_along_axis(rows, best, 1)
    return Hits(found, kept)


@kernel
def _lots(rows, names, key):
    """A hash of each candidate of each query, by which ties fall."""
    lots = np.empty(rows.shape, np.int64)
    for query in range(len(rows)):
        own = mix(key ^ names[query])
        for place in range(rows.shape[1]):
            lots[query, place] = mix(own + rows[query, place])
    return lots
