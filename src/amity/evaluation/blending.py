"""The weights of a blend, chosen on the validation part: never on the part that judges."""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from amity.evaluation import metrics
from amity.evaluation.evaluate import choose_queries
from amity.graph import Graph
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.retrieval.blend import VECTORS, Blend, BlendConfig, parts
from amity.retrieval.fusion import align
from amity.retrieval.heuristics import Recommender
from amity.splitting import HeldOut

GRID = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights that are tried for a heuristic where the vectors have 1."""
LENGTH = 50
"""The length of the lists whose recall decides."""
PRIOR = 200.0
"""So many queries of average behaviour are added to each bucket, so that a few do not decide alone."""


def fit_blend(
    retriever: Recommender, graph: Graph, valid: HeldOut, config: BlendConfig, *, seed: int
) -> tuple[Blend, float]:
    """The weights, bucket by bucket, under which most held-out friends are found, and the recall they reach.

    Each bucket of degrees takes the combination of `GRID` (or of the heuristics alone) with the best mean recall over
    its own queries and `PRIOR` queries' worth of all.
    """
    names = (VECTORS, *config.heuristics)
    queries = choose_queries(valid.truth, config.queries, seed=seed)
    depth = min(max(config.depth, LENGTH), graph.candidates.count)
    lists = [one.search(queries, k=depth, known=valid.known) for one in parts(retriever, names, graph, seed=seed)]
    rows, shares = align(lists)
    relevant = metrics.find_truth(rows, queries, valid.truth) >= 0
    sizes = valid.truth.degrees_of(queries)
    tried = _combinations(len(config.heuristics))
    found = np.stack([_recall(np.tensordot(weights, shares, 1), relevant, sizes) for weights in tried])
    members = degree_buckets(graph.target.adjacency.degrees_of(queries))
    chosen = np.array([_best(found, members == bucket) for bucket in range(len(DEGREE_BUCKETS))])
    return Blend(names, tried[chosen]), float(found[chosen[members], np.arange(len(queries))].mean())


def _combinations(heuristics: int) -> Float64[ndarray, "tried recommenders"]:
    beside = [(1.0, *weights) for weights in product(GRID, repeat=heuristics)]
    alone = [(0.0, *weights) for weights in product((0.0, 1.0), repeat=heuristics) if any(weights)]
    return np.array(beside + alone)


def _recall(
    scores: Float64[ndarray, "queries places"], relevant: Bool[ndarray, "queries places"], sizes: ndarray
) -> Float64[ndarray, "queries"]:
    """The recall of the places that score best; those tied with the last one count too."""
    length = min(LENGTH, scores.shape[1])
    last = -np.partition(-scores, length - 1, axis=1)[:, length - 1]
    return (relevant & (scores >= last[:, None]) & (scores > 0)).sum(1) / sizes


def _best(found: Float64[ndarray, "tried queries"], members: ndarray) -> int:
    scores = found[:, members].sum(1) + PRIOR * found.mean(1)
    return int(scores.argmax())
