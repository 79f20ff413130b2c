"""The pool of a validation: who asks, and who may be found."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.evaluation import metrics
from amity.evaluation.evaluate import choose_queries
from amity.graph import Adjacency
from amity.index import Hits
from amity.sampling.draws import keyed
from amity.sampling.order import shuffled
from amity.splitting import Split

QUERIES, LENGTH = 2000, 50
"""Queries that one validation asks at most, and the length of the lists whose recall it takes.

They are no settings of `[evaluation]`: what is learned must not depend on how it is judged afterwards.
"""
POOL = 16
"""What the seed is used for here; lower numbers are sampling's and training's."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Who asks, and who may be found."""

    queries: Int64[ndarray, "queries"]
    """Rows of the graph, ascending."""
    candidates: Int64[ndarray, "pool"]
    """Rows of the graph, ascending: every held-out friend of the queries, and others by lot."""

    @property
    def nodes(self) -> Int64[ndarray, "nodes"]:
        """All of them, ascending."""
        return np.union1d(self.queries, self.candidates)


def draw_pool(split: Split, size: int, *, seed: int) -> Pool:
    """The queries of every validation, and their held-out friends with others by lot, up to `size` in all.

    More than `size` only where there are more friends than that.
    """
    candidates = split.train.candidates
    queries = choose_queries(split.valid.truth, QUERIES, seed=seed)
    _, friends = split.valid.truth.edges_of(queries)
    friends = np.unique(friends)
    places = np.arange(min(size, candidates.count))
    drawn = candidates.first + shuffled(places, size=candidates.count, seed=int(keyed(seed, POOL, 0)))
    others = drawn[~np.isin(drawn, friends)][: max(size - len(friends), 0)]
    return Pool(queries, np.sort(np.concatenate([friends, others])))


def recall_of_lists(hits: Hits, pool: Pool, truth: Adjacency) -> float:
    """The mean recall at `LENGTH` of the lists of a pool's queries, whose rows are places among its candidates."""
    rows = np.where(hits.rows < 0, hits.rows, pool.candidates[hits.rows])
    found = metrics.find_truth(rows, pool.queries, truth) >= 0
    return float(metrics.recall(found, truth.degrees_of(pool.queries), LENGTH).mean())


def places_of_known(friends: Adjacency, pool: Pool) -> Adjacency:
    """In the row of each query, the places in the pool of itself and its friends, sorted."""
    askers, rows = friends.edges_of(pool.queries)
    num_queries, num_candidates = len(pool.queries), len(pool.candidates)
    askers, rows = np.append(askers, np.arange(num_queries)), np.append(rows, pool.queries)
    places = np.minimum(np.searchsorted(pool.candidates, rows), num_candidates - 1)
    inside = pool.candidates[places] == rows
    keys = np.unique(askers[inside] * num_candidates + places[inside])
    return Adjacency(np.searchsorted(keys, np.arange(num_queries + 1) * num_candidates), keys % num_candidates)
