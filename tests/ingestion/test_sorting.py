"""Laws of numbers that stand for pairs: they are sorted as numbers, and say their pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.ingestion.buckets import MAX_FILES, files_for
from amity.ingestion.sorting import pair_keys, sort_keys, split_pairs


@given(numbers=st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=80), shift=st.integers(0, 40))
@settings(max_examples=50)
def test_sorting_digit_by_digit_is_sorting(numbers: list[int], shift: int):
    keys = np.array(numbers, np.int64) >> shift
    np.testing.assert_array_equal(sort_keys(keys.copy(), np.empty_like(keys)), np.sort(keys))


@pytest.mark.parametrize("bits", [3, 31])
def test_a_number_says_its_pair(bits: int):
    last = (1 << bits) - 1
    sources, targets = np.array([0, last, 0, -1, 5, 2]), np.array([last, 0, 1, 3, 5, last])
    keys, positions, dangling, loops = pair_keys(sources, targets, bits, True, True)
    assert (dangling, loops) == (1, 1)
    straight, mirrored = (split_pairs(keys[keys & 1 == way], bits) for way in (0, 1))
    np.testing.assert_array_equal(straight, [sources[[0, 1, 2, 5]], targets[[0, 1, 2, 5]]])
    np.testing.assert_array_equal(mirrored, straight[::-1])
    assert positions.tolist() == [0, 0, 1, 1, 2, 2, 5, 5]


def test_a_few_numbers_make_one_file_and_many_make_no_more_than_may_be_open():
    assert files_for(1000, 10_000) == 1
    assert files_for(2**40, 10_000) == MAX_FILES
