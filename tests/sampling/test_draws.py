import numpy as np
from scipy.stats import chisquare

from amity.kernels import kernel
from amity.sampling.draws import below, keyed


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
