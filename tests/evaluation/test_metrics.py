"""Metrics against their definitions, written out slowly, and their laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.evaluation import metrics
from amity.graph import Adjacency, from_pairs

CASES = st.integers(0, 10_000)


def draw_case(seed: int, num_nodes: int = 30, length: int = 8) -> tuple[np.ndarray, np.ndarray, Adjacency]:
    """Lists of distinct rows (some end early), their queries, and a truth that gives each query at least one target."""
    rng = np.random.default_rng(seed)
    queries = np.sort(rng.choice(num_nodes, 6, replace=False))
    lists = np.stack([rng.permutation(num_nodes)[:length] for _ in queries])
    lists[0, length // 2 :] = -1
    sources = np.concatenate([queries, rng.choice(queries, 25)])
    return lists, queries, from_pairs(sources, rng.integers(0, num_nodes, len(sources)), num_nodes=num_nodes)


def relevance(lists: np.ndarray, queries: np.ndarray, truth: Adjacency) -> np.ndarray:
    return np.array([[row in truth.neighbors(q) for row in places] for places, q in zip(lists, queries, strict=True)])


@given(seed=CASES, count=st.integers(1, 9), length=st.integers(1, 40))
@settings(max_examples=30)
def test_the_entropy_of_clusters_lies_between_one_cluster_and_all_alike(seed, count, length):
    clusters = np.random.default_rng(seed).integers(0, count, (20, length))
    bits = metrics.cluster_entropy(clusters)
    assert (bits >= 0).all()
    assert (bits <= np.log2(min(count, length)) + 1e-9).all()
    for row, found in zip(clusters, bits, strict=True):
        shares = np.unique(row, return_counts=True)[1] / length
        assert found == pytest.approx(-sum(share * math.log2(share) for share in shares))
    np.testing.assert_allclose(metrics.cluster_entropy((clusters + 3)[:, ::-1]), bits)


def test_the_entropy_of_clusters_by_hand():
    clusters = np.array([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 5, -1], [-1, -1, -1, -1]])
    expected = [0, 2, -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3)), np.nan]
    np.testing.assert_allclose(metrics.cluster_entropy(clusters), expected)


def test_deciles_of_popularity_are_of_one_size_and_ordered():
    degrees = np.random.default_rng(0).integers(0, 4, 500)
    deciles = metrics.popularity_deciles(degrees, seed=1)
    assert np.bincount(deciles).tolist() == [50] * 10
    for lower, upper in zip(range(9), range(1, 10), strict=True):
        assert degrees[deciles == lower].max() <= degrees[deciles == upper].min()
    alike = metrics.popularity_deciles(np.ones(500), seed=1)
    assert not np.array_equal(alike, np.sort(alike))


@given(seed=CASES)
@settings(max_examples=30)
def test_the_truth_is_found_where_it_stands(seed):
    lists, queries, truth = draw_case(seed)
    found = metrics.find_truth(lists, queries, truth)
    np.testing.assert_array_equal(found >= 0, relevance(lists, queries, truth))
    np.testing.assert_array_equal(truth.indices[found[found >= 0]], lists[found >= 0])
    np.testing.assert_array_equal(truth.sources()[found[found >= 0]], np.repeat(queries, (found >= 0).sum(axis=1)))


@given(seed=CASES, k=st.integers(1, 10))
@settings(max_examples=30)
def test_metrics_are_what_their_definitions_say(seed, k):
    lists, queries, truth = draw_case(seed)
    relevant, sizes = relevance(lists, queries, truth), truth.degrees()[queries]
    for i, query in enumerate(queries):
        targets = set(truth.neighbors(query).tolist())
        places = [place for place, row in enumerate(lists[i], start=1) if row in targets]
        hits = [place for place in places if place <= k]
        best = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(targets)) + 1))
        assert metrics.recall(relevant, sizes, k)[i] == pytest.approx(len(hits) / len(targets))
        assert metrics.hit_rate(relevant, k)[i] == float(bool(hits))
        assert metrics.ndcg(relevant, sizes, k)[i] == pytest.approx(sum(1 / math.log2(1 + p) for p in hits) / best)
        assert metrics.reciprocal_rank(relevant)[i] == (pytest.approx(1 / places[0]) if places else 0)


@given(seed=CASES)
@settings(max_examples=20)
def test_a_longer_list_never_finds_less(seed):
    lists, queries, truth = draw_case(seed)
    relevant, sizes = relevance(lists, queries, truth), truth.degrees()[queries]
    for k in range(1, 8):
        assert (metrics.recall(relevant, sizes, k) <= metrics.recall(relevant, sizes, k + 1)).all()
        assert (metrics.hit_rate(relevant, k) <= metrics.hit_rate(relevant, k + 1)).all()


@pytest.mark.parametrize("num_targets", [1, 3, 12])
def test_the_best_list_has_ndcg_1(num_targets):
    relevant = np.arange(10)[None] < num_targets
    np.testing.assert_allclose(metrics.ndcg(relevant, np.array([num_targets]), 10), 1)


def test_a_query_without_targets_has_no_recall():
    assert np.isnan(metrics.recall(np.zeros((1, 3), bool), np.array([0]), 3)).all()
    assert np.isnan(metrics.ndcg(np.zeros((1, 3), bool), np.array([0]), 3)).all()


def test_exposure_counts_lists_and_skips_empty_places():
    lists = np.array([[5, 7], [7, -1]])
    np.testing.assert_array_equal(metrics.exposure(lists, first=5, count=4), [1, 0, 2, 0])
    assert metrics.coverage(metrics.exposure(lists, first=5, count=4)) == 0.5


@given(seed=CASES, size=st.integers(1, 30))
@settings(max_examples=20)
def test_gini_is_half_the_relative_mean_difference(seed, size):
    exposures = np.random.default_rng(seed).integers(1, 50, size)
    differences = np.abs(exposures[:, None] - exposures[None]).mean()
    assert metrics.gini(exposures) == pytest.approx(differences / (2 * exposures.mean()))


def test_gini_is_0_for_equal_shares_and_near_1_when_one_gets_all():
    assert metrics.gini(np.full(10, 3)) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 9])) == pytest.approx(1 - 1 / 4)
    assert math.isnan(metrics.gini(np.zeros(3, np.int64)))


@given(seed=CASES)
@settings(max_examples=20)
def test_similarity_within_a_list_is_the_mean_cosine_over_pairs(seed):
    lists, _, _ = draw_case(seed)
    vectors = np.random.default_rng(seed).normal(size=(30, 5)).astype(np.float32)
    found = metrics.intra_list_similarity(lists, vectors)
    for places, similarity in zip(lists, found, strict=True):
        units = [vectors[row] / np.linalg.norm(vectors[row]) for row in places if row >= 0]
        pairs = [units[i] @ units[j] for i in range(len(units)) for j in range(len(units)) if i != j]
        assert similarity == pytest.approx(np.mean(pairs), abs=1e-6)


def test_pairs_are_near_exactly_within_two_hops(make_random_friend_graph):
    graph = make_random_friend_graph(60, 90, seed=3)
    rng = np.random.default_rng(0)
    truth = from_pairs(rng.integers(0, 60, 300), rng.integers(0, 60, 300), num_nodes=60)
    dense = np.zeros((60, 60), int)
    dense[graph.messages.sources(), graph.messages.indices] = 1
    within = (dense + dense @ dense)[truth.sources(), truth.indices] > 0
    near = metrics.near_pairs(truth, np.arange(60), graph.messages)
    np.testing.assert_array_equal(near, within)
    assert 0 < near.sum() < len(near)
