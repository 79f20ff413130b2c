"""Exact search, held against numpy and faiss."""

import faiss
import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.index import exact, nothing_excluded
from amity.index.exact import exact_index
from amity.index.ranking import keep_largest, make_salts, to_key, to_number, to_score
from amity.index.rounding import error_bounds, multiply, round_rows, round_together


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=30)
@given(
    size=st.integers(1, 700), dim=st.integers(1, 70), num_queries=st.integers(1, 20), k=st.integers(1, 800),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_exact_search_equals_a_full_sort(size, dim, num_queries, k, seed):
    vectors, queries = normal(size, dim, seed=seed), normal(num_queries, dim, seed=seed + 100)
    hits = exact_index(vectors, seed=0).search(queries, k=k, excluded=nothing_excluded(num_queries))
    scores = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    truth = -np.sort(-scores, axis=1)[:, :k]
    np.testing.assert_allclose(hits.scores[:, : truth.shape[1]], truth, rtol=2e-7, atol=1e-12)


def test_exact_search_agrees_with_faiss_over_many_blocks(monkeypatch):
    monkeypatch.setattr(exact, "SCORE_BLOCK", 4096)
    monkeypatch.setattr(exact, "QUERY_BLOCK", 64)
    vectors, queries = normal(5003, 24), normal(150, 24, seed=1)
    hits = exact_index(vectors, seed=0).search(queries, k=30, excluded=nothing_excluded(150))
    flat = faiss.IndexFlatIP(24)
    flat.add(vectors)
    scores, rows = flat.search(queries, 30)
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-5)
    assert (hits.rows == rows).mean() > 0.999


@settings(max_examples=10)
@given(block=st.sampled_from([64, 1000, 4097]), repeated=st.booleans(), k=st.integers(1, 60))
def test_the_sizes_of_the_blocks_change_nothing(block, repeated, k):
    vectors = normal(40 if repeated else 1200, 9)[np.arange(1200) % (40 if repeated else 1200)]
    queries = normal(11, 9, seed=2)
    index = exact_index(vectors, seed=5)
    whole = index.search(queries, k=k, excluded=nothing_excluded(11))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "SCORE_BLOCK", block)
        parts = index.search(queries, k=k, excluded=nothing_excluded(11))
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_array_equal(parts.scores, whole.scores)


@settings(max_examples=20)
@given(k=st.integers(1, 50), longer=st.integers(1, 100))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(k, longer):
    vectors, queries = normal(500, 6)[np.arange(500) % 80], normal(5, 6, seed=3)
    index = exact_index(vectors, seed=0)
    short = index.search(queries, k=k, excluded=nothing_excluded(5))
    long = index.search(queries, k=k + longer, excluded=nothing_excluded(5))
    np.testing.assert_array_equal(short.rows, long.rows[:, :k])


def test_equal_scores_follow_the_seed_and_the_query_and_not_the_order_of_candidates():
    vectors, queries = np.ones((1000, 8), np.float32), np.ones((2, 8), np.float32)
    first = exact_index(vectors, seed=0).search(queries, k=50, excluded=nothing_excluded(2)).rows
    second = exact_index(vectors, seed=1).search(queries, k=50, excluded=nothing_excluded(2)).rows
    assert len(set(first[0]) & set(first[1])) < 15
    assert len(set(first[0]) & set(second[0])) < 15
    assert 300 < first.mean() < 700


def test_tiny_and_huge_numbers_are_ranked_by_their_true_products():
    vectors = np.array([[1e-30], [3e-30], [2e-30], [1e10], [-1e10], [0]], np.float32)
    index = exact_index(vectors, seed=0)
    for query, order in ((1e10, [3, 1, 2, 0, 5, 4]), (-1e10, [4, 5, 0, 2, 1, 3])):
        hits = index.search(np.array([[query]], np.float32), k=6, excluded=nothing_excluded(1))
        assert hits.rows[0].tolist() == order


@settings(max_examples=60)
@given(size=st.integers(1, 300), dim=st.integers(1, 70), num_queries=st.integers(1, 20), seed=st.integers(0, 99))
def test_products_of_integers_lie_within_their_bounds(size, dim, num_queries, seed):
    vectors, queries = normal(size, dim, seed=seed), normal(num_queries, dim, seed=seed + 100)
    vectors *= 10.0 ** (seed % 7)
    asked, offered = round_rows(queries), round_together(vectors)
    products = multiply(asked, offered, torch.empty(num_queries * size, dtype=torch.int32))
    np.testing.assert_array_equal(products, asked.integers.astype(np.int64) @ offered.integers.astype(np.int64).T)
    units, slack = error_bounds(asked, offered)
    errors = np.abs(products * units[:, None] - queries.astype(np.float64) @ vectors.astype(np.float64).T)
    assert (errors <= slack[:, None]).all()


@given(st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False), st.integers(0, 2**32 - 1))
def test_a_key_orders_like_its_score_and_gives_score_and_number_back(score, other, number):
    salt = make_salts(3, np.arange(2))[1]
    key = np.uint64(to_key(np.float32(score) + np.float32(0), number, salt))
    rival = np.uint64(to_key(np.float32(other) + np.float32(0), number, salt))
    assert (key > rival) == (score > other)
    assert to_score(key) == np.float32(score)
    assert to_number(key, salt) == number


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=60, unique=True), st.data())
def test_quickselect_moves_the_largest_to_the_front(values, data):
    k = data.draw(st.integers(1, len(values) - 1))
    keys = np.array(values, np.uint64)
    keep_largest(keys, k)
    assert sorted(keys[:k].tolist(), reverse=True) == sorted(values, reverse=True)[:k]
    assert sorted(keys.tolist()) == sorted(values)


def test_the_number_of_threads_changes_nothing():
    vectors, queries = normal(300, 7)[np.arange(3000) % 300], normal(64, 7, seed=1)
    index = exact_index(vectors, seed=0)
    whole = index.search(queries, k=25, excluded=nothing_excluded(64))
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = index.search(queries, k=25, excluded=nothing_excluded(64))
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(alone.rows, whole.rows)
