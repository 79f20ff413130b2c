"""Lists of several recommenders made one: reciprocal-rank fusion (Cormack, Clarke and Büttcher, 2009)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from amity.index.hits import NOBODY, Hits

CONSTANT = 60.0
"""What is added to every rank, the constant of the paper: the larger, the less the first places count."""


def fuse(lists: Sequence[Hits], weights: Float[ndarray, "lists queries"], *, k: int) -> Hits:
    """The k candidates of each query with the largest Σ_l w_l / (60 + rank_l), best first; ranks begin with 1.

    The lists, of any lengths, answer the same queries. A candidate that a list does not hold gets nothing from it;
    equal sums are ordered by row. Scores are the sums; what is missing at the end of a list is nobody.
    """
    num_queries = len(lists[0].rows)
    rows = np.concatenate([hits.rows for hits in lists], axis=1)
    shares = np.concatenate([_shares(hits, weight) for hits, weight in zip(lists, weights, strict=True)], axis=1)
    order = np.argsort(rows, axis=1, kind="stable")
    rows, shares = np.take_along_axis(rows, order, 1), np.take_along_axis(shares, order, 1)
    # Equal rows stand side by side: their sum goes to the first of each.
    begins = np.ones(rows.shape, np.bool_)
    begins[:, 1:] = rows[:, 1:] != rows[:, :-1]
    sums = np.zeros(rows.shape)
    sums[begins] = np.add.reduceat(shares.ravel(), np.flatnonzero(begins.ravel()))
    sums[~begins | (rows == NOBODY)] = -np.inf
    best = np.argsort(-sums, axis=1, kind="stable")[:, :k]
    found, scores = np.full((num_queries, k), NOBODY, np.int64), np.full((num_queries, k), -np.inf, np.float32)
    found[:, : best.shape[1]], scores[:, : best.shape[1]] = (
        np.take_along_axis(rows, best, 1),
        np.take_along_axis(sums, best, 1),
    )
    return Hits(np.where(np.isfinite(scores), found, NOBODY), scores)


def _shares(hits: Hits, weights: Float[ndarray, "queries"]) -> Float[ndarray, "queries k"]:
    """What each place of a list is worth; 0 where nobody stands."""
    worth = 1.0 / (CONSTANT + 1.0 + np.arange(hits.rows.shape[1]))
    return np.where(hits.rows == NOBODY, 0.0, weights[:, None] * worth)
