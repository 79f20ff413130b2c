import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.sampling.numbering import number, position_of

NONE = np.empty(0, np.int64)
names = st.lists(st.integers(0, 50) | st.integers(0, 2**33 - 1), max_size=60)


@settings(max_examples=100)
@given(first=names, second=names)
def test_nodes_are_numbered_in_the_order_in_which_they_are_first_seen(first, second):
    nodes, slots, positions = number(NONE, NONE, np.array(first, np.int64))
    nodes, slots, later = number(nodes, slots, np.array(second, np.int64))
    assert nodes.tolist() == list(dict.fromkeys(first + second))
    assert nodes[np.concatenate([positions, later])].tolist() == first + second


def test_nodes_that_agree_in_their_low_half_are_kept_apart():
    names = np.array([5, 5 + 2**32, 5 + 2**31, 5], np.int64)
    _, slots, positions = number(NONE, NONE, names)
    assert positions.tolist() == [0, 1, 2, 0]
    assert position_of(slots, 5 + 2**31) == 2
    assert position_of(slots, 5 + 3 * 2**31) == -1


def test_nothing_has_a_position_among_no_nodes():
    assert position_of(NONE, 3) == -1
