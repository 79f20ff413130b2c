"""The weights of a blend, chosen on the validation part: never on the part that judges."""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from amity.evaluation import metrics
from amity.evaluation.evaluate import choose_queries
from amity.graph import Graph
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.retrieval.blend import VECTORS, Blend, BlendConfig, ask, parts
from amity.retrieval.fusion import align
from amity.retrieval.heuristics import Recommender
from amity.splitting import HeldOut

GRID = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights that are tried for a heuristic where the vectors have 1."""
FILLING = 1e-3
"""The weight of the vectors behind heuristics: they fill the list where heuristics reach nobody else."""
LENGTH = 50
"""The length of the lists whose recall decides."""
PRIOR = 200.0
"""So many queries of average behaviour are added to each bucket, so that a few do not decide alone."""
CAUTION = 2.0
"""A heuristic joins where the friends that it adds are more than so many standard errors of them."""


def fit_blend(
    retriever: Recommender, graph: Graph, valid: HeldOut, config: BlendConfig, *, seed: int
) -> tuple[Blend, float]:
    """The weights, bucket by bucket, under which most held-out friends are found, and the recall they reach.

    Each bucket of degrees takes the combination of `GRID` (or of heuristics before vectors) whose mean recall, over its
    own queries and `PRIOR` queries' worth of all, exceeds that of the vectors alone by most, less `CAUTION` standard
    errors. That recall is the best of many, and of the part that chose the model: it flatters. NaN where there is
    nothing to choose.
    """
    names = (VECTORS, *config.heuristics)
    if len(names) == 1:
        return Blend(names, np.ones((len(DEGREE_BUCKETS), 1))), float("nan")
    queries = choose_queries(valid.truth, config.queries, seed=seed)
    depth = min(max(config.depth, LENGTH), graph.candidates.count)
    rows, shares = align(ask(parts(retriever, names, graph, seed=seed), queries, depth, valid.known))
    relevant = metrics.find_truth(rows, queries, valid.truth) >= 0
    sizes = valid.truth.degrees_of(queries)
    tried = _combinations(len(config.heuristics))
    found = np.stack([_recall(np.tensordot(weights, shares, 1), relevant, sizes) for weights in tried])
    members = degree_buckets(graph.target.adjacency.degrees_of(queries))
    chosen = np.array([_best(found, members == bucket) for bucket in range(len(DEGREE_BUCKETS))])
    return Blend(names, tried[chosen]), float(found[chosen[members], np.arange(len(queries))].mean())


def _combinations(heuristics: int) -> Float64[ndarray, "tried recommenders"]:
    beside = [(1.0, *weights) for weights in product(GRID, repeat=heuristics)]
    alone = [(FILLING, *weights) for weights in product((0.0, 1.0), repeat=heuristics) if any(weights)]
    return np.array(beside + alone)


def _recall(
    scores: Float64[ndarray, "queries places"], relevant: Bool[ndarray, "queries places"], sizes: ndarray
) -> Float64[ndarray, "queries"]:
    """The expected recall of the places that score best, where lots decide between those tied for the last ones."""
    length = min(LENGTH, scores.shape[1])
    last = -np.partition(-scores, length - 1, axis=1)[:, length - 1, None]
    above, tied = (scores > last) & (scores > 0), (scores == last) & (scores > 0)
    chance = (length - above.sum(1)) / np.maximum(tied.sum(1), 1)
    return ((relevant & above).sum(1) + chance * (relevant & tied).sum(1)) / sizes


def _best(found: Float64[ndarray, "tried queries"], members: Bool[ndarray, "queries"]) -> int:
    """Which combination gains most on the first, the vectors alone, for sure."""
    weights = members + PRIOR / members.size
    weights /= weights.sum()
    gains = found - found[0]
    means = gains @ weights
    errors = np.sqrt(np.square(gains - means[:, None]) @ np.square(weights))
    return int((means - CAUTION * errors).argmax())
