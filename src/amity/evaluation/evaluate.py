"""One harness for every recommender: the same queries, the full corpus, the same truth, filtered the same way."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from amity.errors import SplitError
from amity.evaluation import metrics
from amity.evaluation.factorization import FactorizationConfig, FactorizationName, factorize
from amity.evaluation.statistics import Estimate, estimate, restrict
from amity.graph import Adjacency, Graph
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.log import Progress
from amity.retrieval.heuristics import HEURISTICS, HeuristicName, Recommender, heuristic
from amity.section import Section
from amity.splitting import HeldOut

DISTANCES = ("2 hops", "beyond")
"""Pairs of the truth by their distance in the train messages: within two hops, or farther apart."""
SEARCHED_AT_ONCE = 1024
"""Queries in one call of a recommender."""
SIMILARITY_LISTS = 500
"""Lists, evenly spread over the queries, whose inner similarity is measured."""

BaselineName = Literal[HeuristicName, FactorizationName]
Key = TypeVar("Key", bound=Hashable)
Tables = Sequence[Float64[ndarray, "_ columns"]]
"""One table a seed: a row for each of its queries."""


class EvaluationConfig(Section):
    """How the lists of candidates are judged."""

    queries: PositiveInt = 10_000
    """Judge at most this many queries, drawn at random from all that have a held-out target."""
    k: tuple[PositiveInt, ...] = Field(default=(10, 20, 50, 100), min_length=1)
    """Lengths of the list at which recall, hit rate and NDCG are taken."""
    headline: PositiveInt = 50
    """The length, one of `k`, of the headline, the charts and the differences to the baselines."""
    baselines: tuple[BaselineName, ...] = HEURISTICS
    """Recommenders judged beside the model: some learn nothing; `ials` and `bpr` factorise the train edges."""
    factorization: FactorizationConfig = FactorizationConfig()
    """How `ials` and `bpr` learn."""
    steering: tuple[NonNegativeFloat, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Powers of intent under which lists are judged where candidates are divided; none leaves it out."""
    steering_queries: PositiveInt = 2000
    """How many queries that is judged by, at most."""
    exposure: str = ""
    """A column of the candidates: steering tells which share of all places each of its values gets."""
    resamples: PositiveInt = 1000
    """Bootstrap samples behind every interval."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """How often an interval is to cover the true mean."""

    @model_validator(mode="after")
    def _headline_is_measured(self) -> "EvaluationConfig":
        if self.headline not in self.k:
            raise ValueError(f"headline ({self.headline}) is not one of k ({', '.join(map(str, self.k))}); add it to k")
        return self


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a recommender found, query by query."""

    config: EvaluationConfig
    seed: int
    num_candidates: int
    queries: Int64[ndarray, "queries"]
    """Rows of the graph, ascending."""
    degrees: Int64[ndarray, "queries"]
    """How many train friends each query has."""
    num_targets: Int64[ndarray, "queries"]
    """How many held-out targets each query has, at least 1."""
    values: dict[str, Float64[ndarray, "queries"]]
    """By the name of a metric, such as `recall@50`: its value for each query."""
    by_distance: dict[str, dict[str, Float64[ndarray, "queries"]]]
    """By metric and distance: recall among the targets at that distance; NaN for a query without any there."""
    of_lists: dict[str, float | None]
    """Coverage, Gini of exposure and, where there are vectors, intra-list similarity of the headline lists.

    None where a number has no meaning: the Gini of empty lists, the similarity within lists of one.
    """

    def to_json(self) -> dict[str, Any]:
        """The `metrics` of `report.json`: value, interval and buckets of each metric."""
        return summarize({"": self})[""]

    def __str__(self) -> str:
        estimates = _estimates(np.column_stack(list(self.values.values())), self.config, self.seed)
        head = f"{len(self.queries):,} queries, {self.num_candidates:,} candidates"
        named = zip(self.values, estimates, strict=True)
        return "\n".join([head, *(f"{name:>13}  {e.value:.4f}  [{e.low:.4f}, {e.high:.4f}]" for name, e in named)])


def evaluate(
    recommender: Recommender,
    graph: Graph,
    held_out: HeldOut,
    config: EvaluationConfig | None = None,
    *,
    seed: int = 0,
    vectors: Float[ndarray, "nodes dim"] | None = None,
) -> Evaluation:
    """Judge a recommender by what was held out of its train graph.

    Every candidate is ranked but the query itself, its train friends and those that `held_out.known` holds. The
    queries depend on the truth and the seed alone, so that recommenders are compared query by query. With `vectors`,
    the similarity within lists is measured. Raises `SplitError` where nothing is held out.
    """
    config = config or EvaluationConfig()
    queries = choose_queries(held_out.truth, config.queries, seed=seed)
    lists = _search(recommender, queries, held_out.known, k=max(config.k))
    sizes = held_out.truth.degrees()[queries]
    found = metrics.find_truth(lists, queries, held_out.truth)
    return Evaluation(
        config=config,
        seed=seed,
        num_candidates=graph.candidates.count,
        queries=queries,
        degrees=graph.target.adjacency.degrees()[queries],
        num_targets=sizes,
        values=_values(found >= 0, sizes, config.k),
        by_distance=_by_distance(found, queries, held_out.truth, graph.messages, config.k),
        of_lists=of_lists(lists[:, : config.headline], graph, vectors),
    )


def evaluate_baselines(
    graph: Graph, held_out: HeldOut, config: EvaluationConfig | None = None, *, seed: int = 0
) -> dict[str, Evaluation]:
    """Judge the baselines that the config names, by name; see `evaluate` and `factorize`."""
    config = config or EvaluationConfig()
    return {
        name: evaluate(_baseline(name, graph, config, seed=seed), graph, held_out, config, seed=seed)
        for name in config.baselines
    }


def choose_queries(truth: Adjacency, limit: int, *, seed: int) -> Int64[ndarray, "queries"]:
    """All queries with a held-out target, ascending; at random `limit` of them where there are more."""
    queries = np.flatnonzero(truth.degrees() > 0)
    if len(queries) == 0:
        raise SplitError(
            "Nothing is held out: no query has a target in this part of the split. "
            "Widen the part in [splitting], or evaluate on the other one."
        )
    if len(queries) > limit:
        queries = np.sort(np.random.default_rng(seed).choice(queries, limit, replace=False))
    return queries


def summarize(evaluations: dict[str, Evaluation]) -> dict[str, dict[str, Any]]:
    """By name the `metrics` of several evaluations of the same queries, all from the same bootstrap samples."""
    one = next(iter(evaluations.values()))
    columns = {(name, metric): values for name, e in evaluations.items() for metric, values in e.values.items()}
    entries = estimate_by_degree(columns, one.degrees, one.config, seed=one.seed)
    apart = {
        (name, metric, distance): values
        for name, e in evaluations.items()
        for metric, parts in e.by_distance.items()
        for distance, values in parts.items()
    }
    estimates = _estimates(np.column_stack(list(apart.values())), one.config, one.seed)
    for (name, metric, distance), part in zip(apart, estimates, strict=True):
        entries[name, metric].setdefault("by_distance", {})[distance] = part.to_json()
    return {
        name: {metric: entries[name, metric] for metric in e.values}
        | {metric: {"value": value} for metric, value in e.of_lists.items()}
        for name, e in evaluations.items()
    }


def estimate_by_degree(
    columns: dict[Key, Float64[ndarray, "queries"]],
    degrees: Int64[ndarray, "queries"],
    config: EvaluationConfig,
    *,
    seed: int,
) -> dict[Key, dict[str, Any]]:
    """Of each column the mean with its interval, over all queries and (`by_degree`) over each bucket of them."""

    def describe(tables: Tables) -> list[dict[str, Any]]:
        return [one.to_json() for one in _estimates(tables[0], config, seed)]

    return dict(zip(columns, by_degree(describe, [np.column_stack(list(columns.values()))], [degrees]), strict=True))


def by_degree(
    describe: Callable[[Tables], list[dict[str, Any]]],
    tables: Tables,
    degrees: Sequence[Int64[ndarray, "_"]],
    *,
    shared: bool = False,
) -> list[dict[str, Any]]:
    """What there is to tell of each column of tables of queries and, as its `by_degree`, of each bucket of them.

    With `shared`, the queries of all tables are the same, row by row.
    """
    entries = [{**entry, "by_degree": {}} for entry in describe(tables)]
    members = [degree_buckets(one) for one in degrees]
    for number, bucket in enumerate(DEGREE_BUCKETS):
        parts = restrict(tables, [inside == number for inside in members], shared=shared)
        for entry, part in zip(entries, describe(parts), strict=True):
            entry["by_degree"][bucket] = part
    return entries


def of_lists(
    lists: Int64[ndarray, "queries k"], graph: Graph, vectors: Float[ndarray, "nodes dim"] | None
) -> dict[str, float | None]:
    """Coverage, Gini of exposure and, by vectors, similarity inside: what is said of all lists together.

    None where a number has no meaning.
    """
    kind, k = graph.candidates, lists.shape[1]
    exposures = metrics.exposure(lists, first=kind.first, count=kind.count)
    values = {"coverage": metrics.coverage(exposures), "gini": metrics.gini(exposures)}
    if vectors is not None:
        inside = metrics.intra_list_similarity(lists[:: -(-len(lists) // SIMILARITY_LISTS)], vectors)
        values["intra_list_similarity"] = inside[~np.isnan(inside)].mean() if not np.isnan(inside).all() else np.nan
    return {f"{name}@{k}": None if np.isnan(value) else float(value) for name, value in values.items()}


def _baseline(name: BaselineName, graph: Graph, config: EvaluationConfig, *, seed: int) -> Recommender:
    if name in ("ials", "bpr"):
        return factorize(name, graph, config.factorization, seed=seed)
    return heuristic(name, graph, seed=seed)


def _estimates(table: Float64[ndarray, "queries columns"], config: EvaluationConfig, seed: int) -> list[Estimate]:
    return estimate(table, resamples=config.resamples, confidence=config.confidence, seed=seed)


def _search(
    recommender: Recommender, queries: Int64[ndarray, "queries"], known: Adjacency, *, k: int
) -> Int64[ndarray, "queries k"]:
    lists = np.empty((len(queries), k), np.int64)
    with Progress("evaluate", total=len(queries)) as progress:
        for first in range(0, len(queries), SEARCHED_AT_ONCE):
            part = queries[first : first + SEARCHED_AT_ONCE]
            lists[first : first + len(part)] = recommender.search(part, k=k, known=known).rows
            progress.advance(len(part))
    return lists


def _values(
    relevant: metrics.Relevance, sizes: metrics.Sizes, ks: tuple[int, ...]
) -> dict[str, Float64[ndarray, "queries"]]:
    recalls = {f"recall@{k}": metrics.recall(relevant, sizes, k) for k in ks}
    rates = {f"hit_rate@{k}": metrics.hit_rate(relevant, k) for k in ks}
    gains = {f"ndcg@{k}": metrics.ndcg(relevant, sizes, k) for k in ks}
    return recalls | rates | gains | {"mrr": metrics.reciprocal_rank(relevant)}


def _by_distance(
    found: Int64[ndarray, "queries k"],
    queries: Int64[ndarray, "queries"],
    truth: Adjacency,
    messages: Adjacency,
    ks: tuple[int, ...],
) -> dict[str, dict[str, Float64[ndarray, "queries"]]]:
    near = metrics.near_pairs(truth, queries, messages)
    near_before = np.concatenate([[0], np.cumsum(near)])
    near_sizes = near_before[truth.indptr[queries + 1]] - near_before[truth.indptr[queries]]
    near_hits = (found >= 0) & near[found]
    parts = zip(
        DISTANCES,
        (near_hits, (found >= 0) & ~near_hits),
        (near_sizes, truth.degrees()[queries] - near_sizes),
        strict=True,
    )
    recalls = {name: {k: metrics.recall(hits, sizes, k) for k in ks} for name, hits, sizes in parts}
    return {f"recall@{k}": {name: recalls[name][k] for name in DISTANCES} for k in ks}
