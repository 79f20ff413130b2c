"""How much probability lies on all candidates together: the logarithm of a sum over vectors, most of them unseen."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from amity.graph import Adjacency
from amity.index.hits import Hits
from amity.index.precision import in_single

SAMPLE = 2048
"""Up to so many candidates are all added; of more, so many by lot stand for those outside the list."""


def log_masses(
    queries: Float[ndarray, "queries dim"],
    vectors: Float[ndarray, "candidates dim"],
    found: Hits,
    excluded: Adjacency,
    *,
    temperature: float,
    seed: int,
) -> Float64[ndarray, "queries"]:
    """Log Σ_i exp(q · x_i / T) over the candidates i that a query may get; -inf where there is none.

    The candidates that a search has `found` are added one by one, and so are all others where there are few. Where
    there are many, a uniform sample S of them, the same for every query, is scaled up to their number n:

        Z = Σ_{i found} exp(s_i / T) + n mean_{i in S, not found} exp(s_i / T)

    The list holds the largest terms, so that little is left to the sample (Mussmann, Levy and Ermon, 2017, "Fast
    amortized inference and learning in log-linear models with randomly perturbed nearest neighbor search").
    """
    sample = _draw(len(vectors), seed)
    logits = _inner_products(queries, vectors[sample]) / temperature
    listed = found.rows >= 0
    column = np.full(len(vectors), -1)
    column[sample] = np.arange(len(sample))
    unseen = len(vectors) - excluded.degrees() - listed.sum(axis=1)
    drawn = len(sample) - _leave_out(logits, np.nonzero(listed)[0], column[found.rows[listed]])
    drawn -= _leave_out(logits, excluded.sources(), column[excluded.indices])
    # Where the sample holds nobody unseen, its sum is -inf, and the scale does not matter.
    tail = _log_sum(logits) + np.log(np.maximum(unseen, 1) / np.maximum(drawn, 1))
    return np.logaddexp(_log_sum(torch.from_numpy(found.scores) / temperature), tail)


def _draw(count: int, seed: int) -> Int64[ndarray, "sample"]:
    if count <= SAMPLE:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, SAMPLE, replace=False))


def _inner_products(queries: ndarray, items: ndarray) -> Float32[Tensor, "queries items"]:
    first, second = (torch.from_numpy(np.ascontiguousarray(in_single(side))) for side in (queries, items))
    return first @ second.T


def _leave_out(logits: Tensor, askers: ndarray, columns: ndarray) -> Int64[ndarray, "queries"]:
    """Take some candidates, by the columns in which they stand (-1: in none), from those of their queries: how many."""
    inside = columns >= 0
    logits[torch.from_numpy(askers[inside]), torch.from_numpy(columns[inside])] = -torch.inf
    return np.bincount(askers[inside], minlength=len(logits))


def _log_sum(logits: Float32[Tensor, "queries items"]) -> Float64[ndarray, "queries"]:
    """Log Σ exp of each row; -inf for a row that is empty, or -inf throughout."""
    return torch.logsumexp(logits, dim=1).double().numpy()
