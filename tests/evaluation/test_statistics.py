"""Intervals against closed forms and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from amity.evaluation.statistics import DRAWS_AT_ONCE, bootstrap_means, estimate


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
