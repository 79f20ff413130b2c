"""Fusion against a dictionary, its laws, and chance where nothing is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amity.index.hits import Hits
from amity.retrieval.fusion import align, fuse, keep_best


def draw_lists(seed: int, lengths: tuple[int, ...], *, queries: int = 5, candidates: int = 30) -> list[Hits]:
    """Lists of distinct candidates with falling scores; the last places of some queries are empty."""
    rng = np.random.default_rng(seed)
    lists = []
    for length in lengths:
        rows = np.stack([rng.permutation(candidates)[:length] for _ in range(queries)])
        scores = -np.sort(-rng.standard_normal((queries, length))).astype(np.float32)
        empty = np.arange(length) >= rng.integers(length // 2, length + 1, queries)[:, None]
        lists.append(Hits(np.where(empty, -1, rows), np.where(empty, -np.inf, scores).astype(np.float32)))
    return lists


def by_the_book(lists: list[Hits], weights: np.ndarray, query: int) -> dict[int, float]:
    sums: dict[int, float] = {}
    for hits, weight in zip(lists, weights, strict=True):
        for rank, row in enumerate(hits.rows[query].tolist(), start=1):
            if row >= 0:
                sums[row] = sums.get(row, 0.0) + weight[query] / (60 + rank)
    return sums


@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4), k=st.integers(1, 40))
def test_fusion_is_the_sum_of_weighted_reciprocal_ranks(seed, lengths, k):
    lists = draw_lists(seed, tuple(lengths))
    weights = np.random.default_rng(seed).random((len(lists), 5)) + 0.1
    found = fuse(lists, weights, k=k, names=np.arange(5), seed=0)
    for query in range(5):
        sums = by_the_book(lists, weights, query)
        kept = found.rows[query][found.rows[query] >= 0]
        assert len(kept) == len(set(kept.tolist())) == min(k, len(sums))
        np.testing.assert_allclose(found.scores[query][: len(kept)], [sums[row] for row in kept], rtol=1e-6)
        np.testing.assert_allclose(found.scores[query][: len(kept)], sorted(sums.values())[::-1][:k], rtol=1e-6)
        assert np.isneginf(found.scores[query][len(kept) :]).all()


def test_a_list_alone_keeps_its_order():
    (hits,) = draw_lists(3, (12,))
    assert np.array_equal(fuse([hits], np.ones((1, 5)), k=12, names=np.arange(5), seed=0).rows, hits.rows)


def test_a_list_of_weight_zero_says_nothing_of_those_whom_another_names():
    first, second = draw_lists(4, (8, 8))
    found = fuse([first, second], np.array([[1.0] * 5, [0.0] * 5]), k=4, names=np.arange(5), seed=0)
    alone = fuse([first], np.ones((1, 5)), k=4, names=np.arange(5), seed=0)
    assert np.array_equal(found.rows, alone.rows)


def test_the_best_score_of_all_lists_counts():
    lists = draw_lists(5, (9, 6, 7))
    found = keep_best(lists, k=5, names=np.arange(5), seed=0)
    for query in range(5):
        best: dict[int, float] = {}
        for hits in lists:
            for row, score in zip(hits.rows[query].tolist(), hits.scores[query].tolist(), strict=True):
                if row >= 0:
                    best[row] = max(best.get(row, -np.inf), score)
        np.testing.assert_allclose(found.scores[query], sorted(best.values())[::-1][:5], rtol=1e-6)
        np.testing.assert_allclose(found.scores[query], [best[row] for row in found.rows[query]], rtol=1e-6)


def test_equal_sums_fall_by_lot_and_never_by_number():
    """Each query has 40 lists of one: all candidates tie, and low numbers are found no more often than others."""
    queries = 400
    rows = np.tile(np.arange(40), (queries, 1))
    lists = [Hits(rows[:, [place]], np.ones((queries, 1), np.float32)) for place in range(40)]
    found = fuse(lists, np.ones((40, queries)), k=10, names=np.arange(queries), seed=1)
    low = (found.rows < 20).mean()
    assert low == pytest.approx(0.5, abs=0.05)
    again = fuse(lists[::-1], np.ones((40, queries)), k=10, names=np.arange(queries), seed=1)
    assert np.array_equal(np.sort(found.rows), np.sort(again.rows))


def test_everybody_stands_once_in_what_is_aligned():
    lists = draw_lists(6, (10, 12))
    rows, shares = align(lists)
    for query in range(5):
        named = rows[query][rows[query] >= 0].tolist()
        assert len(named) == len(set(named))
        assert set(named) == {row for hits in lists for row in hits.rows[query].tolist() if row >= 0}
        assert (shares[:, query][:, rows[query] >= 0].sum(0) > 0).all()
