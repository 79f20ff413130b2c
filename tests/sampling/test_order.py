import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from amity.sampling.order import shuffled


@settings(max_examples=60)
@given(size=st.integers(1, 3000), seed=st.integers(-(2**63), 2**63 - 1), epoch=st.integers(0, 5))
def test_every_epoch_visits_each_place_once(size, seed, epoch):
    places = np.arange(epoch * size, (epoch + 1) * size)
    assert np.sort(shuffled(places, size=size, seed=seed)).tolist() == list(range(size))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [
        shuffled(np.arange(start, start + 1000), size=1000, seed=seed).tolist()
        for start, seed in ((0, 1), (1000, 1), (0, 2))
    ]
    assert len(set(map(tuple, orders))) == 3
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert sum(a == b for a, b in zip(orders[first], orders[second], strict=True)) < 12


def test_a_place_gives_the_same_value_in_any_company():
    together = shuffled(np.arange(100), size=64, seed=5)
    assert [int(shuffled(np.array([place]), size=64, seed=5)[0]) for place in range(100)] == together.tolist()


@pytest.mark.parametrize("size", [7, 100])
def test_each_value_is_equally_likely_to_come_first(size):
    firsts = [int(shuffled(np.array([epoch * size]), size=size, seed=3)[0]) for epoch in range(20_000)]
    assert chisquare(np.bincount(firsts, minlength=size)).pvalue > 1e-4


def test_no_permutation_is_stored_for_a_huge_epoch():
    values = shuffled(np.arange(10**12, 10**12 + 1000), size=10**12 + 39, seed=1)
    assert len(np.unique(values)) == 1000
    assert values.min() >= 0
    assert values.max() < 10**12 + 39
