"""Lists of several clusters made one: by calibrated scores, by quotas of intent, or with fair shares.

A two-level softmax p(i | u) = p(k | u) p(i | u, k) says how candidates of different clusters k compare: with the scores
s_k(u, i), and Z_k(u) the sum of exp(s_k(u, i) / T) over cluster k,

    log p(i | u) = log p(k | u) + s_k(u, i) / T - log Z_k(u)

Intent p(k | u) counts with a power α, the dial between diversity and accuracy of arXiv 2302.02657.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from amity.index.hits import Hits
from amity.retrieval.quotas import TINY, Lots, quotas
from amity.retrieval.reranking import Groups, Ranked, choose_fairly, diversify, rank_together
from amity.section import Section


class MergeConfig(Section):
    """How the lists of clusters become one; of no effect where there is one cluster."""

    by: Literal["calibrated", "quota", "fair"] = "calibrated"
    """`calibrated` ranks all candidates together, as if one softmax had been trained; `quota` gives each cluster its
    number of places, by intent; `fair` keeps every cluster, or group, within a smallest and a largest share."""
    alpha: NonNegativeFloat = 1.0
    """The power of intent: 0 makes all clusters equal, and large powers let the likeliest cluster have everything."""
    temperature: PositiveFloat | Literal["fitted", "trained"] = "fitted"
    """What scores are divided by in the softmax: the number under which the validation part is likeliest, that of
    training, or another one."""
    minimum_share: float = Field(default=0.0, ge=0, le=1)
    """The share of a list that `fair` gives every cluster, or group, at least, where it has so many; rounded down."""
    largest_share: float = Field(default=1.0, gt=0, le=1)
    """The share that it gives one at most, where the others can fill the list; rounded up."""
    group: str = ""
    """A column of the candidates whose values are the groups of `fair`; empty: the clusters are."""
    relevance: float = Field(default=1.0, ge=0, le=1)
    """How much the score counts against likeness to those who stand before, in maximal marginal relevance; 1 leaves
    lists as they are."""
    pool: PositiveInt = 200
    """From how many candidates that chooses; with a `group`, from all in the clusters' lists, which are
    as long."""

    @model_validator(mode="after")
    def _leave_room(self) -> Self:
        if self.minimum_share > self.largest_share:
            raise ValueError(f"`minimum_share` is {self.minimum_share:g}, and `largest_share` {self.largest_share:g}")
        return self

    @property
    def by_column(self) -> bool:
        """Whether places are shared out among the groups of a column."""
        return self.by == "fair" and bool(self.group)

    @property
    def ignores_clusters(self) -> bool:
        """Whether all candidates are ranked together, out of whatever cluster they come."""
        return self.by == "calibrated" or self.by_column

    @property
    def is_plain(self) -> bool:
        """Whether scores that compare are left as they are, where nothing was learned of intent."""
        return self.by == "calibrated" and self.alpha == 1

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest share."""
        return self.minimum_share, self.largest_share


@dataclass(frozen=True, slots=True)
class Answers:
    """What every cluster answers to the same queries."""

    lists: tuple[Hits, ...]
    """The best of each cluster, as positions among all candidates."""
    log_intent: Float64[ndarray, "queries clusters"]
    """log p(k | u)."""
    log_implied: Float64[ndarray, "queries clusters"]
    """log q(k | u), what the scores say: see `log_shares`."""
    held: Int64[ndarray, "queries clusters"]
    """How many candidates each cluster has for each query, be they in its list or not."""
    lots: Lots


def log_shares(log_masses: Float64[ndarray, "queries clusters"]) -> Float64[ndarray, "queries clusters"]:
    """Log q(k | u) = log Z_k - log Σ_j Z_j: of masses Z, what scores say of the clusters, where they all compare."""
    total = np.logaddexp.reduce(log_masses, axis=1, keepdims=True)
    return np.maximum(log_masses - np.maximum(total, np.finfo(np.float64).min), np.log(TINY))


def calibrate(
    log_intent: Float64[ndarray, "queries clusters"],
    log_implied: Float64[ndarray, "queries clusters"],
    *,
    alpha: float,
    temperature: float,
) -> Float64[ndarray, "queries clusters"]:
    """What is added to the scores of each cluster, so that they compare: T (α log p(k | u) - log q(k | u)).

    That is T (α log p + s / T - log Z_k) less s, and plus T log Σ_j Z_j, which is the same for all of a query. Where
    intent p is the one that scores imply, q, and α is 1, nothing is added: then all are ranked by their scores.
    """
    return temperature * (alpha * log_intent - log_implied)


def merge(
    answers: Answers,
    config: MergeConfig,
    *,
    k: int,
    temperature: float,
    vectors: Float[ndarray, "candidates dim"],
    groups: Int64[ndarray, "candidates"],
) -> Ranked:
    """The k best of all clusters together, as the config says; as many as there are, where they are fewer.

    `groups` are the values of the column that the config names, counted from 0.
    """
    offsets = calibrate(answers.log_intent, answers.log_implied, alpha=config.alpha, temperature=temperature)
    terms, everywhere = (answers.lists, offsets, answers.lots), sum(hits.rows.shape[1] for hits in answers.lists)
    limits = None if config.ignores_clusters else _quotas(answers, config, k)
    length = everywhere if config.by_column else k
    whole = rank_together(*terms, length=length, limits=limits)
    ranked = whole
    if config.by_column:
        ranked = choose_fairly(whole, _groups(whole, config, groups), k=k, bounds=config.bounds)
    if config.relevance == 1:
        return ranked
    if not config.by_column:
        limits = None if limits is None else np.maximum(limits, _quotas(answers, config, config.pool))
        whole = rank_together(*terms, length=max(k, config.pool), limits=limits)
    inside, among = _groups(ranked, config, groups), _groups(whole, config, groups)
    kept = _count(inside, ranked.hits.rows, size=1 + max(inside.max(initial=0), among.max(initial=0)))
    return diversify(whole, vectors, among, kept, k=k, relevance=config.relevance)


def find_short(
    answers: Answers, config: MergeConfig, *, k: int, temperature: float
) -> Float64[ndarray, "queries clusters"]:
    """Which lists are too short for `merge`, and above what score they must go on; inf where they suffice.

    Ranked together, a list suffices whose last candidate is not among the k best of all that were found: whoever
    follows is no better. A quota is filled by a list that long; diversity and groups may want everybody.
    """
    lasts = np.stack([hits.scores[:, -1] for hits in answers.lists], axis=1).astype(np.float64)
    if config.relevance < 1 or config.by_column:
        floors = np.full(lasts.shape, -np.inf)
    elif config.by == "calibrated":
        offsets = calibrate(answers.log_intent, answers.log_implied, alpha=config.alpha, temperature=temperature)
        sums = np.hstack([hits.scores + offsets[:, [place]] for place, hits in enumerate(answers.lists)])
        enough = sums.shape[1] >= k
        least = -np.partition(-sums, k - 1, axis=1)[:, [k - 1]] if enough else np.full((len(sums), 1), -np.inf)
        floors = np.where(lasts + offsets >= least, least - offsets, np.inf)
    else:
        floors = np.where(_quotas(answers, config, k) > answers.lists[0].rows.shape[1], -np.inf, np.inf)
    return np.where(np.isfinite(lasts), floors, np.inf)


def _quotas(answers: Answers, config: MergeConfig, k: int) -> Int64[ndarray, "queries clusters"]:
    bounds = config.bounds if config.by == "fair" else (0.0, 1.0)
    return quotas(np.exp(answers.log_intent), answers.held, answers.lots, k=k, alpha=config.alpha, bounds=bounds)


def _groups(ranked: Ranked, config: MergeConfig, groups: Int64[ndarray, "candidates"]) -> Groups:
    """Among whom the places of a list are shared out: the groups of a column, the clusters, or all together."""
    if config.by_column:
        return groups[np.maximum(ranked.hits.rows, 0)]
    return np.zeros_like(ranked.clusters) if config.ignores_clusters else np.maximum(ranked.clusters, 0)


def _count(groups: Groups, rows: Int64[ndarray, "queries places"], *, size: int) -> Int64[ndarray, "queries groups"]:
    """How many places each of so many groups has in each list."""
    counts = np.zeros((len(rows), size), np.int64)
    listed = rows >= 0
    np.add.at(counts, (np.nonzero(listed)[0], groups[listed]), 1)
    return counts
