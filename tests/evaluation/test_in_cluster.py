"""Every held-out friend is looked for in its own cluster alone, with what that cluster is asked with."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from amity.clustering import Clusters, undivided
from amity.embedding import Embeddings
from amity.evaluation import EvaluationConfig, evaluate
from amity.evaluation.in_cluster import LENGTHS, in_cluster_recall, judge_clusters
from amity.graph import Graph
from amity.retrieval import DividedRetriever, Retriever
from amity.splitting import Split, SplittingConfig, split_edges

NODES = 300
CLUSTERS = Clusters((np.arange(NODES) % 3).astype(np.int32), tuple("abc"))


@pytest.fixture(scope="module")
def split(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_edges(
        make_random_friend_graph(NODES, 3000, 1), SplittingConfig(), tmp_path_factory.mktemp("s"), seed=0
    )


@pytest.fixture(scope="module")
def embeddings(split: Split) -> Embeddings:
    rng = np.random.default_rng(0)
    intent = rng.dirichlet(np.ones(3), NODES).astype(np.float32)
    numbers = rng.normal(size=(4, NODES, 8)).astype(np.float32)
    return Embeddings(numbers[0], split.train, numbers[1:], intent)


def by_hand(embeddings: Embeddings, split: Split, query: int, k: int) -> float:
    friends, hits = split.test.truth.neighbors(query), 0
    known = {query, *split.train.target.adjacency.neighbors(query), *split.test.known.neighbors(query)}
    for friend in friends:
        cluster = CLUSTERS.of[friend]
        rivals = [node for node in CLUSTERS.members(cluster) if node not in {*known, friend}]
        scores = embeddings.vectors[rivals] @ embeddings.asking[cluster, query]
        hits += (scores > embeddings.vectors[friend] @ embeddings.asking[cluster, query]).sum() < k
    return hits / len(friends)


def test_it_is_the_rank_of_each_friend_in_its_own_cluster(split: Split, embeddings: Embeddings):
    index = DividedRetriever.build(embeddings, CLUSTERS).index
    queries = np.flatnonzero(split.test.truth.degrees())[:40]
    found = in_cluster_recall(embeddings, index, split.test, queries)
    for row, query in enumerate(queries):
        np.testing.assert_allclose(found[row], [by_hand(embeddings, split, query, k) for k in LENGTHS])


def test_in_one_cluster_it_is_recall(split: Split, embeddings: Embeddings):
    plain = Embeddings(embeddings.vectors, split.train)
    index = DividedRetriever.build(plain, undivided(NODES)).index
    config = EvaluationConfig(k=LENGTHS, headline=50, resamples=20)
    whole = evaluate(Retriever.build(plain), split.train, split.test, config)
    np.testing.assert_allclose(
        in_cluster_recall(plain, index, split.test, whole.queries),
        np.column_stack([whole.values[f"recall@{k}"] for k in LENGTHS]),
    )


def test_it_does_not_hang_on_intent_and_a_longer_list_finds_no_less(split: Split, embeddings: Embeddings):
    index = DividedRetriever.build(embeddings, CLUSTERS).index
    config = EvaluationConfig(k=(50,), headline=50, resamples=20)
    found = judge_clusters(embeddings, index, split.test, config, seed=0)
    other = judge_clusters(replace(embeddings, intent=None), index, split.test, config, seed=0)
    assert other == {"in_cluster": found["in_cluster"]}
    recalls = [found["in_cluster"][f"recall@{k}"]["value"] for k in LENGTHS]
    assert recalls == sorted(recalls)
    assert 0 <= found["intent"]["calibration_error"] <= 1
    assert 0 <= found["intent"]["accuracy"] <= 1
