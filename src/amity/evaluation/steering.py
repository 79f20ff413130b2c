"""Steering: what accuracy, diversity and fairness become as intent counts for more or less."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64, Integer
from numpy import ndarray

from amity.clustering import group_by_column
from amity.evaluation import metrics
from amity.evaluation.evaluate import EvaluationConfig, choose_queries, of_lists
from amity.evaluation.statistics import estimate
from amity.retrieval import DividedRetriever
from amity.retrieval.ranking import count_targets
from amity.splitting import HeldOut

WAYS: tuple[Literal["calibrated", "quota"], ...] = ("calibrated", "quota")
"""The merges in which alpha has a say."""


def steer(
    retriever: DividedRetriever, held_out: HeldOut, config: EvaluationConfig, *, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """What lists of the vectors are like under each alpha of `config.steering`, by merge: `calibrated` and `quota`.

    Lists have the headline length K, and answer `config.steering_queries` queries at most. For each alpha there are

    - `recall@k` at each length up to K, and `entropy@K`, that of the clusters in a list, in bits: estimates as in
      `report.json`;
    - `coverage@K`, `gini@K` and `intra_list_similarity@K`, as in `report.json`;
    - `clusters` and `deciles`: the shares of all places by cluster, and by decile of popularity, the most popular last;
    - `gini_clusters@K`: how unequally clusters share these places;
    - with `config.exposure`, `groups`: the same shares by the value of that column, and `gini_groups@K`, how unequally
      values are shown for the candidates that they have.

    Raises `ConfigError` where the candidates have no such column.
    """
    graph, length = retriever.embeddings.graph, config.headline
    queries = choose_queries(held_out.truth, config.steering_queries, seed=seed)
    popularity = count_targets(graph.target.adjacency.indices, graph.num_nodes)[graph.candidates.rows]
    deciles = metrics.popularity_deciles(popularity, seed=seed)
    column = config.exposure
    groups = group_by_column(graph.candidates, column, setting="evaluation.exposure") if column else None
    dials = [(by, alpha) for by in WAYS for alpha in config.steering]
    merges = [retriever.merge.model_copy(update={"by": by, "alpha": alpha}) for by, alpha in dials]
    found = retriever.search_by(merges, queries, k=length, known=held_out.known)
    points: dict[str, list[dict[str, Any]]] = {by: [] for by in WAYS}
    for (by, alpha), hits in zip(dials, found, strict=True):
        places = np.where(hits.rows < 0, hits.rows, hits.rows - graph.candidates.first)
        clusters = np.where(places < 0, places, retriever.index.clusters.of[places])
        columns = _recalls(hits.rows, queries, held_out, config)
        columns[f"entropy@{length}"] = metrics.cluster_entropy(clusters)
        points[by].append(
            {"alpha": alpha}
            | _estimates(columns, config, seed)
            | of_lists(hits.rows, graph, retriever.embeddings.vectors)
            | _shares(clusters, deciles[places[places >= 0]], retriever.index.clusters.names)
            | ({} if groups is None else _exposure(places, *groups))
        )
    return points


def _estimates(columns: dict[str, Float64[ndarray, "queries"]], config: EvaluationConfig, seed: int) -> dict[str, Any]:
    table = np.column_stack(list(columns.values()))
    found = estimate(table, resamples=config.resamples, confidence=config.confidence, seed=seed)
    return dict(zip(columns, (one.to_json() for one in found), strict=True))


def _recalls(
    lists: Int64[ndarray, "queries k"], queries: Int64[ndarray, "queries"], held_out: HeldOut, config: EvaluationConfig
) -> dict[str, Float64[ndarray, "queries"]]:
    relevant = metrics.find_truth(lists, queries, held_out.truth) >= 0
    sizes = held_out.truth.degrees_of(queries)
    return {f"recall@{k}": metrics.recall(relevant, sizes, k) for k in sorted(config.k) if k <= config.headline}


def _shares(
    clusters: Int64[ndarray, "queries k"], deciles: Int64[ndarray, "places"], names: tuple[str, ...]
) -> dict[str, Any]:
    """Who gets the places of all lists: by cluster, and by decile of popularity."""
    by_cluster = np.bincount(clusters[clusters >= 0], minlength=len(names))
    by_decile = np.bincount(deciles, minlength=10)
    gini, total = metrics.gini(by_cluster), max(len(deciles), 1)
    return {
        f"gini_clusters@{clusters.shape[1]}": None if np.isnan(gini) else gini,
        "clusters": dict(zip(names, (by_cluster / total).tolist(), strict=True)),
        "deciles": (by_decile / total).tolist(),
    }


def _exposure(
    places: Int64[ndarray, "queries k"], groups: Integer[ndarray, "candidates"], names: Sequence[str]
) -> dict[str, Any]:
    """Who gets the places of all lists, by group; and how unequally they fall on groups for the size of these."""
    sizes = np.bincount(groups, minlength=len(names))
    shown = np.bincount(groups[places[places >= 0]], minlength=len(names))
    held = sizes > 0
    gini, shares = metrics.gini(shown[held] / sizes[held]), (shown / max(shown.sum(), 1)).tolist()
    return {
        f"gini_groups@{places.shape[1]}": None if np.isnan(gini) else gini,
        "groups": {name: share for name, share, some in zip(names, shares, held, strict=True) if some},
    }
