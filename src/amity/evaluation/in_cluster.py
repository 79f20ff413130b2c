"""In-cluster recall: every held-out friend looked for in its own cluster alone (arXiv 2302.02657, its second table).

It says how well clusters are asked, whatever intent or a merge make of it.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from amity.embedding import Embeddings
from amity.evaluation import metrics
from amity.evaluation.calibration import calibration_error, cross_entropy
from amity.evaluation.evaluate import EvaluationConfig, choose_queries
from amity.evaluation.statistics import estimate
from amity.index import DividedIndex
from amity.retrieval.candidates import excluded_positions
from amity.retrieval.quotas import TINY
from amity.splitting import HeldOut

LENGTHS = (5, 20, 50)
"""The lengths of the published table."""
AT_ONCE = 1024
"""How many queries are asked at once."""


def judge_clusters(
    embeddings: Embeddings, index: DividedIndex, held_out: HeldOut, config: EvaluationConfig, *, seed: int
) -> dict[str, Any]:
    """What `report.json` says of clusters: `in_cluster`, recall at `LENGTHS` as estimates, and `intent`.

    That holds the calibration error, how often the likeliest cluster is that of the held-out friend, and the
    cross-entropy in nats, over pairs of a query and a friend; absent where nothing has learned it.
    """
    queries = choose_queries(held_out.truth, config.queries, seed=seed)
    table = in_cluster_recall(embeddings, index, held_out, queries)
    found = estimate(table, resamples=config.resamples, confidence=config.confidence, seed=seed)
    recalls = {f"recall@{k}": one.to_json() for k, one in zip(LENGTHS, found, strict=True)}
    if embeddings.intent is None:
        return {"in_cluster": recalls}
    first, truth = embeddings.graph.queries.first, held_out.truth
    askers, friends = truth.edges_of(queries)
    labels = index.clusters.of[friends - embeddings.graph.candidates.first].astype(np.int64)
    likely = embeddings.intent[queries[askers] - first]
    intent = {
        "calibration_error": calibration_error(likely, labels),
        "accuracy": float((likely.argmax(axis=1) == labels).mean()),
        "cross_entropy": cross_entropy(np.log(np.maximum(likely.astype(np.float64), TINY)), labels),
    }
    return {"in_cluster": recalls, "intent": intent}


def in_cluster_recall(
    embeddings: Embeddings, index: DividedIndex, held_out: HeldOut, queries: Int64[ndarray, "queries"]
) -> Float64[ndarray, "queries lengths"]:
    """Of each query the share of its held-out friends that stand among the k best of their own cluster, k of `LENGTHS`.

    Each cluster is ranked alone, with what the query asks it, without whom the query knows.
    """
    blocks = [queries[first : first + AT_ONCE] for first in range(0, len(queries), AT_ONCE)]
    return np.concatenate([_recall_of(embeddings, index, held_out, block) for block in blocks])


def _recall_of(
    embeddings: Embeddings, index: DividedIndex, held_out: HeldOut, queries: Int64[ndarray, "queries"]
) -> Float64[ndarray, "queries lengths"]:
    graph, truth = embeddings.graph, held_out.truth
    excluded = excluded_positions(graph, queries, held_out.known)
    asked = embeddings.asked_each(queries, clusters=index.clusters.count)
    lists = index.search(asked, k=max(LENGTHS), excluded=excluded, names=queries)
    rows = [hits.moved(graph.candidates.first).rows for hits in lists]
    found = [metrics.find_truth(one, queries, truth) >= 0 for one in rows]
    sizes = truth.degrees_of(queries)
    return np.column_stack([sum(metrics.recall(one, sizes, k) for one in found) for k in LENGTHS])
