"""Laws of merging: quotas, the calibrated merge, fair shares, and diversity."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.index import Hits
from amity.index.ranking import make_salts
from amity.retrieval import MergeConfig
from amity.retrieval.merging import Answers, calibrate, log_shares, merge
from amity.retrieval.quotas import quotas
from amity.retrieval.reranking import rank_together

ALPHAS = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 50.0, np.inf)
NO_GROUPS = np.zeros(1000, np.int64)


@st.composite
def deals(draw):
    """Intent over a few clusters, and how many candidates each of them holds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    num_queries, num_clusters = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    intent = rng.dirichlet(np.full(num_clusters, draw(st.sampled_from([0.05, 1.0, 20.0]))), num_queries)
    if draw(st.booleans()):
        intent[:, 0] = 0.0
    held = rng.integers(0, draw(st.sampled_from([2, 10, 60])), intent.shape)
    return intent, held, make_salts(draw(st.integers(0, 9)), np.arange(num_queries))


def answers_of(
    num_clusters: int = 4, size: int = 30, depth: int = 30, num_queries: int = 5, *, seed: int = 0, levels: int = 0
) -> Answers:
    """Lists of distinct candidates 0, 1, ..., one cluster after another, and what their scores imply.

    With `levels`, there are only so many different scores.
    """
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((num_clusters, num_queries, size)).astype(np.float32)
    if levels:
        scores = rng.integers(0, levels, scores.shape).astype(np.float32)
    order = np.argsort(-scores, axis=2, kind="stable")[:, :, :depth]
    best = np.take_along_axis(scores, order, 2)
    lists = tuple(Hits(order[c] + c * size, best[c]) for c in range(num_clusters))
    masses = np.logaddexp.reduce(scores.astype(np.float64) / 0.2, axis=2).T
    implied = log_shares(masses)
    held = np.full((num_queries, num_clusters), size)
    return Answers(lists, implied, implied, held, make_salts(3, np.arange(num_queries)))


def merged(answers: Answers, k: int, groups: np.ndarray = NO_GROUPS, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Rows and clusters of each list; vectors are random."""
    vectors = np.random.default_rng(1).standard_normal((1000, 6)).astype(np.float32)
    found = merge(answers, MergeConfig(**settings), k=k, temperature=0.2, vectors=vectors, groups=groups)
    return found.hits.rows, found.clusters


@settings(max_examples=60)
@given(deal=deals(), k=st.integers(1, 40), alpha=st.sampled_from(ALPHAS), least=st.sampled_from([0.0, 0.05, 0.14]))
def test_quotas_fill_the_list_within_what_clusters_hold_and_give_the_smallest_share(deal, k, alpha, least):
    intent, held, lots = deal
    places = quotas(intent, held, lots, k=k, alpha=alpha, bounds=(least, 1.0))
    np.testing.assert_array_equal(places.sum(axis=1), np.minimum(k, held.sum(axis=1)))
    assert (places >= np.minimum(held, int(least * k))).all()
    assert (places <= held).all()


@settings(max_examples=40)
@given(deal=deals(), k=st.integers(1, 40), alpha=st.sampled_from(ALPHAS), most=st.sampled_from([0.2, 0.5, 0.9]))
def test_the_largest_share_is_exceeded_only_where_the_list_would_not_be_full(deal, k, alpha, most):
    intent, held, lots = deal
    places = quotas(intent, held, lots, k=k, alpha=alpha, bounds=(0.0, most))
    limit = int(np.ceil(most * k))
    np.testing.assert_array_equal(places.sum(axis=1), np.minimum(k, held.sum(axis=1)))
    enough = np.minimum(held, limit).sum(axis=1) >= k
    assert (places[enough] <= limit).all()
    assert (places[~enough] >= np.minimum(held, limit)[~enough]).all()


@settings(max_examples=40)
@given(deal=deals(), k=st.integers(1, 40))
def test_alpha_zero_gives_equal_shares_within_one_to_clusters_with_room(deal, k):
    intent, held, lots = deal
    for places, room in zip(quotas(intent, held, lots, k=k, alpha=0.0), held, strict=True):
        largest = places.max()
        assert all(count >= largest - 1 or count == held for count, held in zip(places, room, strict=True))


@settings(max_examples=40)
@given(deal=deals(), k=st.integers(1, 40))
def test_without_bound_alpha_fills_the_likeliest_cluster_first(deal, k):
    intent, held, lots = deal
    for places, room, p in zip(quotas(intent, held, lots, k=k, alpha=np.inf), held, intent, strict=True):
        if len(np.unique(p)) == len(p):
            left = k
            for cluster in np.argsort(-p):
                assert places[cluster] == min(left, room[cluster])
                left -= places[cluster]


@settings(max_examples=40)
@given(deal=deals(), k=st.integers(1, 40))
def test_the_share_of_the_likeliest_cluster_grows_with_alpha_to_within_rounding(deal, k):
    intent, held, lots = deal
    best = intent.argmax(axis=1)
    shares = [quotas(intent, held, lots, k=k, alpha=alpha)[np.arange(len(best)), best] for alpha in ALPHAS]
    for fewer, more in pairwise(shares):
        assert (more >= fewer - 1).all()
    assert (shares[-1] >= shares[0]).all()


@settings(max_examples=40)
@given(deal=deals(), k=st.integers(1, 40), alpha=st.sampled_from(ALPHAS), seed=st.integers(0, 99))
def test_renumbering_clusters_renumbers_their_quotas(deal, k, alpha, seed):
    intent, held, lots = deal
    intent += np.random.default_rng(seed).random(intent.shape) / 100  # equal ones fall by lot
    order = np.random.default_rng(seed).permutation(intent.shape[1])
    first = quotas(intent, held, lots, k=k, alpha=alpha)
    second = quotas(
        np.ascontiguousarray(intent[:, order]), np.ascontiguousarray(held[:, order]), lots, k=k, alpha=alpha
    )
    np.testing.assert_array_equal(first[:, order], second)


def test_quotas_by_hand():
    intent, lots = np.array([[0.5, 0.3, 0.2]]), np.zeros(1, np.uint64)
    plenty = np.full((1, 3), 99)
    assert quotas(intent, plenty, lots, k=10, alpha=1).tolist() == [[5, 3, 2]]
    assert quotas(intent, plenty, lots, k=10, alpha=2).tolist() == [[7, 2, 1]]  # 6.58, 2.37, 1.05
    assert quotas(intent, np.array([[1, 99, 99]]), lots, k=11, alpha=1).tolist() == [[1, 6, 4]]  # handed on 3 : 2
    assert quotas(intent, plenty, lots, k=10, alpha=9, bounds=(0.2, 1)).tolist() == [[6, 2, 2]]


def test_lots_decide_between_equal_clusters_and_not_their_numbers():
    intent, held = np.full((3000, 3), 1 / 3), np.full((3000, 3), 9)
    places = quotas(intent, held, make_salts(0, np.arange(3000)), k=1, alpha=1.0)
    assert (np.abs(places.sum(axis=0) - 1000) < 130).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 130), levels=st.sampled_from([0, 3]))
def test_where_scores_compare_the_best_of_all_are_found(seed, k, levels):
    answers = answers_of(seed=seed, levels=levels)
    rows, _ = merged(answers, k)
    everybody, scores = (
        np.concatenate([getattr(hits, name) for hits in answers.lists], axis=1) for name in ("rows", "scores")
    )
    for query, found in enumerate(rows):
        listed = found[found >= 0]
        assert len(set(listed)) == len(listed) == min(k, 120)
        own = dict(zip(everybody[query], scores[query], strict=True))
        assert [own[row] for row in listed] == sorted(own.values(), reverse=True)[:k]


@pytest.mark.parametrize(
    "config",
    [
        {"by": "calibrated", "alpha": 0.5},
        {"by": "quota", "alpha": 0.5},
        {"by": "quota", "alpha": 0.0, "relevance": 0.5},
        {"by": "fair", "minimum_share": 0.2, "largest_share": 0.4},
        {"by": "fair", "minimum_share": 0.3, "group": "school", "relevance": 0.7},
        {"relevance": 0.3, "pool": 40},
    ],
)
def test_merged_lists_are_full_distinct_and_do_not_hang_on_the_numbers_of_clusters(config):
    answers, order = answers_of(num_queries=20, depth=12), np.array([2, 0, 3, 1])
    groups = np.arange(1000) % 3
    rows, clusters = merged(answers, 10, groups, **config)
    assert all(len(set(row)) == 10 and row.min() >= 0 for row in rows)
    np.testing.assert_array_equal(rows // 30, clusters)
    renumbered = Answers(
        tuple(answers.lists[one] for one in order),
        answers.log_intent[:, order],
        answers.log_implied[:, order],
        answers.held[:, order],
        answers.lots,
    )
    np.testing.assert_array_equal(merged(renumbered, 10, groups, **config)[0], rows)


@pytest.mark.parametrize("num_queries", [1, 7])
def test_diversity_gives_no_place_to_clusters_that_only_the_pool_has_places_for(num_queries):
    likely = np.log(np.tile([0.97, 0.01, 0.01, 0.01], (num_queries, 1)))
    answers = replace(answers_of(num_queries=num_queries), log_intent=likely)
    _, plain = merged(answers, 10, by="quota")
    rows, clusters = merged(answers, 10, by="quota", relevance=0.5, pool=60)
    assert (rows >= 0).all()
    np.testing.assert_array_equal(np.sort(clusters, axis=1), np.sort(plain, axis=1))


@pytest.mark.parametrize("config", [{}, {"by": "quota"}, {"by": "fair"}, {"by": "fair", "group": "school"}])
def test_lists_longer_than_all_candidates_hold_all_of_them(config):
    answers = answers_of(num_clusters=3, size=5, depth=5)
    rows, _ = merged(answers, 20, np.arange(1000) % 2, **config)
    assert rows.shape == (5, 20)
    assert (rows[:, 15:] == -1).all()
    np.testing.assert_array_equal(np.sort(rows[:, :15]), np.tile(np.arange(15), (5, 1)))


def test_ties_between_clusters_fall_by_query_and_candidate():
    num_queries = 2000
    lists = tuple(Hits(np.full((num_queries, 1), c), np.ones((num_queries, 1), np.float32)) for c in range(4))
    zeros = np.zeros((num_queries, 4))
    found = rank_together(lists, zeros, make_salts(0, np.arange(num_queries)), length=1)
    counts = np.bincount(found.hits.rows[:, 0], minlength=4)
    assert (np.abs(counts - 500) < 90).all()


def test_calibrated_scores_are_the_logarithms_of_a_two_level_softmax():
    rng = np.random.default_rng(0)
    scores, intent, temperature = rng.standard_normal((3, 8)), np.array([[0.2, 0.5, 0.3]]), 0.4
    masses = np.log(np.exp(scores / temperature).sum(axis=1))[None]
    offsets = calibrate(np.log(intent), log_shares(masses), alpha=1.0, temperature=temperature)
    within = np.exp(scores / temperature) / np.exp(masses.T)
    truth = np.log(intent.T * within)
    merged = (scores + offsets.T) / temperature
    np.testing.assert_allclose(merged - merged[0, 0], truth - truth[0, 0], atol=1e-9)


def test_intent_that_scores_imply_sums_to_one_and_knows_empty_clusters():
    implied = np.exp(log_shares(np.array([[3.0, 4.0, -np.inf], [-np.inf, -np.inf, -np.inf]])))
    np.testing.assert_allclose(implied[0], [1 / (1 + np.e), np.e / (1 + np.e), 0], atol=1e-12)
    assert np.isfinite(implied).all()


def test_quota_merging_gives_each_cluster_its_quota_of_its_best():
    answers = answers_of(num_queries=30)
    rows, clusters = merged(answers, 12, by="quota", alpha=0.5)
    places = quotas(np.exp(answers.log_intent), answers.held, answers.lots, k=12, alpha=0.5)
    for cluster, hits in enumerate(answers.lists):
        for query in range(30):
            assert set(rows[query][clusters[query] == cluster]) == set(hits.rows[query, : places[query, cluster]])


def test_fair_merging_without_bounds_is_quota_merging():
    answers = answers_of(num_queries=30)
    first, second = (merged(answers, 12, by=by, alpha=2.0)[0] for by in ("quota", "fair"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("group", ["", "school"])
def test_fair_shares_hold_for_clusters_and_for_groups(group):
    answers = answers_of(num_queries=40)
    groups = (np.arange(1000) % 5 == 0).astype(np.int64)
    rows, clusters = merged(
        answers, 20, groups, by="fair", group=group, minimum_share=0.2, largest_share=0.65, alpha=5.0
    )
    shares = groups[rows] if group else clusters
    counts = np.stack([np.bincount(row, minlength=2 if group else 4) for row in shares])
    assert counts.min() >= 4
    assert counts.max() <= 13
    free = merged(answers, 20, groups, by="calibrated" if group else "quota", alpha=5.0)
    free_shares = groups[free[0]] if group else free[1]
    assert min(np.bincount(row, minlength=2 if group else 4).min() for row in free_shares) < 4


def test_a_smallest_share_above_the_largest_is_refused():
    with pytest.raises(ValueError, match=r"`minimum_share` is 0.5, and `largest_share` 0.4"):
        MergeConfig(by="fair", minimum_share=0.5, largest_share=0.4)


def test_a_group_cap_is_exceeded_rather_than_a_place_left_empty():
    answers = answers_of(num_clusters=2, size=10, depth=10)
    rows, _ = merged(answers, 12, NO_GROUPS, by="fair", group="school", largest_share=0.5)
    assert (rows >= 0).all()


@pytest.mark.parametrize(
    "config", [{}, {"by": "quota", "alpha": 0.5}, {"by": "fair", "group": "school", "minimum_share": 0.4}]
)
def test_relevance_nearly_one_changes_nothing_and_less_makes_lists_less_alike(config):
    answers, groups = answers_of(num_queries=40), np.arange(1000) % 2
    vectors = np.random.default_rng(1).standard_normal((1000, 6))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = []
    for relevance in (1.0, 1 - 1e-12, 0.5, 0.0):
        rows, _ = merged(answers, 10, groups, relevance=relevance, pool=60, **config)
        sums = units[rows].sum(axis=1)
        likeness.append(((sums**2).sum(axis=1).mean() - 10) / 90)
        if relevance > 0.9:
            plain = rows if relevance == 1 else plain
            np.testing.assert_array_equal(rows, plain)
    assert likeness[0] > likeness[2] > likeness[3]


def test_marginal_relevance_by_hand():
    lists = (Hits(np.array([[0, 1, 2]]), np.array([[1.0, 0.9, 0.0]], np.float32)),)
    answers = Answers(lists, np.zeros((1, 1)), np.zeros((1, 1)), np.full((1, 1), 3), np.zeros(1, np.uint64))
    vectors = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
    config = MergeConfig(relevance=0.5)
    found = merge(answers, config, k=3, temperature=1.0, vectors=vectors, groups=np.zeros(3, np.int64))
    # After 0: 0.5 * 0.9 - 0.5 * 0.995 for the twin, 0 for the stranger.
    assert found.hits.rows.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(found.hits.scores, [[1.0, 0.0, 0.9]])
