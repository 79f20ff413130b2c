"""Weights are chosen where they find most."""

from dataclasses import dataclass

import numpy as np
import pytest

from amity.evaluation import EvaluationConfig, evaluate, fit_blend
from amity.graph.degrees import degree_buckets
from amity.index.hits import Hits
from amity.retrieval import BlendConfig, blended, heuristic
from amity.retrieval.heuristics import Recommender
from amity.splitting import SplittingConfig, split_edges

CONFIG = BlendConfig(heuristics=("ppr", "resource_allocation"), depth=60)
JUDGED = EvaluationConfig(k=(50,), headline=50, resamples=50)


@dataclass(frozen=True)
class Oracle:
    """Finds whom it is told to find, then others by number."""

    friends: list[set[int]]
    num_nodes: int

    def search(self, queries, *, k, known=None) -> Hits:
        rows = np.array([self._list(query, k) for query in queries])
        return Hits(rows, np.tile(-np.arange(k, dtype=np.float32), (len(queries), 1)))

    def _list(self, query: int, k: int) -> list[int]:
        first = sorted(self.friends[query])
        return [*first, *(row for row in range(self.num_nodes) if row not in self.friends[query])][:k]


@pytest.fixture(scope="module")
def split(make_random_friend_graph, tmp_path_factory):
    graph = make_random_friend_graph(300, 2500)
    return split_edges(graph, SplittingConfig(valid=0.2), tmp_path_factory.mktemp("split"), seed=0)


def oracle(split, part) -> Oracle:
    return Oracle([set(part.truth.neighbors(row).tolist()) for row in range(300)], 300)


def recall(recommender: Recommender, split, part) -> float:
    return float(evaluate(recommender, split.train, part, JUDGED).values["recall@50"].mean())


def test_a_retriever_that_knows_is_left_alone(split):
    blend, found = fit_blend(oracle(split, split.valid), split.train, split.valid, CONFIG, seed=0)
    assert found == pytest.approx(1.0)
    knowing = blended(oracle(split, split.valid), blend, split.train, depth=60, seed=0)
    assert recall(knowing, split, split.valid) == pytest.approx(1.0)


def test_a_retriever_that_knows_nothing_gives_way_to_the_best_heuristic(split):
    ignorant = Oracle([set() for _ in range(300)], 300)
    blend, _ = fit_blend(ignorant, split.train, split.valid, CONFIG, seed=0)
    found = recall(blended(ignorant, blend, split.train, depth=60, seed=0), split, split.valid)
    alone = max(recall(heuristic(name, split.train, seed=0), split, split.valid) for name in CONFIG.heuristics)
    assert found >= alone - 0.02


def test_no_heuristics_are_the_vectors_alone(split):
    blend, _ = fit_blend(oracle(split, split.valid), split.train, split.valid, BlendConfig(heuristics=()), seed=0)
    assert blend.recommenders == ("vectors",)
    assert (blend.weights == 1).all()


def test_heuristics_that_find_friends_by_chance_alone_seldom_join(make_random_friend_graph, tmp_path):
    """In a random graph nobody's friends know each other more than others do."""
    joined = []
    for seed in range(8):
        graph = make_random_friend_graph(300, 2500, seed)
        split = split_edges(graph, SplittingConfig(valid=0.2), tmp_path / str(seed), seed=seed)
        known = [{row for row in split.valid.truth.neighbors(query).tolist() if row % 2} for query in range(300)]
        blend, _ = fit_blend(Oracle(known, 300), split.train, split.valid, CONFIG, seed=seed)
        asking = np.unique(degree_buckets(split.train.target.adjacency.degrees()))
        beside = np.delete(blend.weights, blend.recommenders.index("vectors"), axis=1)
        joined += beside[asking].any(1).tolist()
    assert np.mean(joined) < 0.25
