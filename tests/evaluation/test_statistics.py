"""Intervals and p values against closed forms, simulations and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from amity.evaluation.statistics import (
    DRAWS_AT_ONCE,
    bootstrap_means,
    bootstrap_means_over_seeds,
    estimate,
    holm,
    p_value,
    restrict,
    summarize_means,
)


def test_the_bootstrap_of_hits_is_binomial():
    hits = (np.arange(200) < 60).astype(float)
    (found,) = estimate(hits[:, None], resamples=4000, confidence=0.9)
    exact = stats.binom.ppf([0.05, 0.95], 200, 0.3) / 200
    assert found.value == pytest.approx(0.3)
    np.testing.assert_allclose([found.low, found.high], exact, atol=0.006)


def test_the_spread_of_means_is_the_standard_error():
    values = np.random.default_rng(1).exponential(size=400)
    means = bootstrap_means(values[:, None], resamples=4000, seed=0)[:, 0]
    assert means.std() == pytest.approx(values.std() / math.sqrt(400), rel=0.05)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(400 * 4000))


def test_intervals_agree_with_scipy():
    values = np.random.default_rng(2).beta(0.4, 1.1, size=300)
    (found,) = estimate(values[:, None], resamples=5000)
    other = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0))
    width = other.confidence_interval.high - other.confidence_interval.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.06 * width)


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    table = np.random.default_rng(3).normal(size=(100, 600))
    covered = [one.low <= 0 <= one.high for one in estimate(table, resamples=400, confidence=0.8)]
    assert stats.binomtest(sum(covered), len(covered), 0.79).pvalue > 1e-4


def test_pairing_takes_out_what_both_find_hard():
    rng = np.random.default_rng(4)
    hardness = rng.random(500)
    one, other = hardness + 0.02 + 0.01 * rng.normal(size=500), hardness
    alone, gap = estimate(np.column_stack([one, one - other]))
    assert gap.value == pytest.approx(0.02, abs=0.003)
    assert gap.low > 0
    assert gap.high - gap.low < 0.1 * (alone.high - alone.low)


def test_a_column_is_estimated_alike_alone_and_beside_others():
    table = np.random.default_rng(5).random((50, 3))
    beside, alone, other = (estimate(table, seed=7)[1], *(estimate(table[:, 1:2], seed=seed)[0] for seed in (7, 8)))
    assert (beside.low, beside.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
    assert (alone.low, alone.high) != pytest.approx((other.low, other.high), rel=1e-12)


def test_missing_values_do_not_count():
    values = np.array([0.0, 1.0, np.nan, np.nan])
    first, second, third = estimate(np.column_stack([values, np.full(4, np.nan), np.ones(4)]), resamples=200)
    assert (first.value, first.queries) == (0.5, 2)
    assert (first.low, first.high) == (0, 1)
    assert math.isnan(second.value)
    assert math.isnan(second.low)
    assert second.to_json() == {"value": None, "low": None, "high": None, "queries": 0}
    assert (third.value, third.low, third.high, third.queries) == (1, 1, 1, 4)


def test_no_queries_have_no_mean():
    (found,) = estimate(np.empty((0, 1)))
    assert math.isnan(found.value)
    assert found.queries == 0


def test_resamples_are_drawn_in_pieces_that_leave_none_out():
    size = DRAWS_AT_ONCE // 3
    means = bootstrap_means(np.arange(size, dtype=float)[:, None], resamples=7, seed=0)
    assert means.shape == (7, 1)
    assert len(np.unique(means)) == 7
    np.testing.assert_allclose(means, size / 2, rtol=0.01)


def noisy_seeds(seeds: int, *, seed_noise: float, columns: int = 400, queries: int = 50) -> list[np.ndarray]:
    """A table a seed of queries around 0, with noise of the seed so many times that of its mean over queries."""
    rng = np.random.default_rng(6)
    scale = seed_noise / math.sqrt(queries)
    return [rng.normal(size=(queries, columns)) + scale * rng.normal(size=columns) for _ in range(seeds)]


@pytest.mark.parametrize(
    ("seeds", "seed_noise", "least", "most"),
    [(5, 0.0, 0.94, 1.0), (5, 1.0, 0.92, 0.99), (10, 1.0, 0.94, 1.0), (5, 10.0, 0.75, 0.92), (3, 10.0, 0.68, 0.86)],
)
def test_intervals_over_seeds_cover_as_often_as_is_said(seeds: int, seed_noise: float, least: float, most: float):
    tables = noisy_seeds(seeds, seed_noise=seed_noise)
    means = bootstrap_means_over_seeds(tables, resamples=400, seed=0)
    found = summarize_means(tables, means, confidence=0.95)
    assert least <= np.mean([one.low <= 0 <= one.high for one in found]) <= most


def shared_queries(seeds: int, *, columns: int = 400, queries: int = 100) -> list[np.ndarray]:
    """A table a seed of the same queries, hard or not whatever the seed, with some noise of each seed beside."""
    rng = np.random.default_rng(11)
    hard = rng.normal(size=(queries, columns))
    return [hard + 0.5 * rng.normal(size=(queries, columns)) for _ in range(seeds)]


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_intervals_cover_where_all_seeds_have_the_same_queries(seeds: int):
    tables = shared_queries(seeds)
    means = bootstrap_means_over_seeds(tables, resamples=400, seed=0, shared=True)
    covered = [one.low <= 0 <= one.high for one in summarize_means(tables, means, confidence=0.95)]
    assert 0.9 <= np.mean(covered) <= 0.99


def test_taken_for_other_ones_the_same_queries_would_be_believed_too_much():
    tables = shared_queries(5)
    means = bootstrap_means_over_seeds(tables, resamples=400, seed=0)
    covered = [one.low <= 0 <= one.high for one in summarize_means(tables, means, confidence=0.95)]
    assert np.mean(covered) < 0.8


def test_restricted_queries_stay_in_line_where_they_are_the_same():
    tables = [np.arange(4.0)[:, None], 10 + np.arange(4.0)[:, None]]
    kept = [np.array([True, False, False, True]), np.array([False, False, True, True])]
    alone, aligned = restrict(tables, kept), restrict(tables, kept, shared=True)
    assert [one.ravel().tolist() for one in alone] == [[0, 3], [12, 13]]
    np.testing.assert_array_equal(np.hstack(aligned), [[0, np.nan], [np.nan, 12], [3, 13]])


def test_the_spread_of_means_over_seeds_has_both_levels():
    tables = noisy_seeds(8, seed_noise=2.0, columns=3)
    means = bootstrap_means_over_seeds(tables, resamples=6000, seed=0)
    between = np.var([table.mean(axis=0) for table in tables], axis=0)
    within = np.mean([table.var(axis=0) / len(table) for table in tables], axis=0)
    np.testing.assert_allclose(means.var(axis=0), (between + within) / 8, rtol=0.08)


def test_one_seed_is_resampled_as_queries_alone():
    table = np.random.default_rng(8).random((30, 2))
    over_seeds = bootstrap_means_over_seeds([table], resamples=50, seed=4)
    np.testing.assert_array_equal(over_seeds, bootstrap_means(table, resamples=50, seed=4))


def test_a_seed_without_queries_is_left_out():
    tables = [np.array([[1.0], [3.0]]), np.empty((0, 1))]
    means = bootstrap_means_over_seeds(tables, resamples=200, seed=0)
    (found,) = summarize_means(tables, means, confidence=0.95)
    assert (found.value, found.low, found.high, found.queries) == (2, 1, 3, 2)


def test_p_values_are_below_alpha_where_the_interval_leaves_zero_out():
    table = np.random.default_rng(9).normal(0.25, 1, size=(60, 300))
    means = bootstrap_means(table, resamples=999, seed=0)
    p_values = np.array([p_value(column) for column in means.T])
    outside = [not one.low <= 0 <= one.high for one in estimate(table, resamples=999)]
    assert 50 < sum(outside) < 250
    assert np.count_nonzero((p_values < 0.05) != outside) <= 6
    assert p_values.min() >= 2 / 1000


def test_p_values_of_no_effect_are_spread_evenly():
    means = bootstrap_means(np.random.default_rng(10).normal(size=(200, 500)), resamples=400, seed=0)
    assert stats.kstest([p_value(column) for column in means.T], "uniform").statistic < 0.12


def test_without_a_difference_p_is_1_and_without_queries_it_is_nothing():
    assert p_value(np.zeros(100)) == 1
    assert math.isnan(p_value(np.full(100, np.nan)))


def test_holm_by_hand():
    # Sorted .005, .01, .03, .04, by 4, 3, 2, 1: .02, .03, .06, .04; none may be below the one before it.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert holm(np.array([0.02])) == [0.02]
    assert len(holm(np.empty(0))) == 0
