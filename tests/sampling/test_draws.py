import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from amity.kernels import kernel, mix
from amity.sampling.draws import STRIDE, below, choose, keyed


@kernel
def draw_many(count, bound):
    values = np.empty(count, np.int64)
    for i in range(count):
        values[i] = below(keyed(3, 7, i), bound)
    return values


def test_draws_below_a_bound_are_equally_likely():
    for bound in (1, 2, 7, 1000):
        values = draw_many(100_000, bound)
        assert values.min() >= 0
        assert bound == 1 or chisquare(np.bincount(values, minlength=bound)).pvalue > 1e-4


def test_draws_below_a_large_bound_reach_its_ends():
    values = draw_many(100_000, 2**32 - 1)
    assert values.min() < 2**32 * 1e-3
    assert 2**32 * 0.999 < values.max() < 2**32 - 1


def test_the_largest_and_smallest_bits_stay_below_the_bound():
    assert [below(np.int64(bits), 10) for bits in (0, -1, -(2**63), 2**63 - 1)] == [0, 9, 5, 4]


@settings(max_examples=100)
@given(size=st.integers(1, 200), share=st.floats(0, 1), key=st.integers(-(2**63), 2**63 - 1))
def test_choosing_follows_floyds_algorithm_word_for_word(size, share, key):
    count = int(size * share)
    chosen, expected = np.empty(count, np.int64), []
    choose(chosen, size, key)
    for i, last in enumerate(range(size - count, size)):
        with np.errstate(over="ignore"):
            draw = below(mix(np.int64(key) + np.int64(i) * STRIDE), last + 1)
        expected.append(last if draw in expected else draw)
    assert chosen.tolist() == expected
