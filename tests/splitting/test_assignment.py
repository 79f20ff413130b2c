"""Cutoffs by time against sorting, and at the end of what int64 holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.errors import SplitError
from amity.splitting import SplittingConfig, split_edges
from amity.splitting.assignment import Labels, nth_time

MOMENTS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), min_size=1, max_size=60)


@settings(max_examples=100)
@given(times=MOMENTS, data=st.data())
def test_the_time_at_a_rank_is_that_of_the_sorted_times_without_a_given_part(times: list[int], data: st.DataObject):
    parts = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(times), max_size=len(times))), np.int8)
    pool = sorted(time for time, part in zip(times, parts, strict=True) if part == 0)
    if pool:
        rank = data.draw(st.integers(0, len(pool) - 1))
        assert nth_time(Labels(np.array(times, np.int64), parts), pool[0], pool[-1], rank) == pool[rank]


@pytest.mark.parametrize("test", [0.1, 0.5])
def test_a_cutoff_before_the_earliest_of_all_moments_is_not_wrapped_around(make_random_friend_graph, tmp_path, test):
    """pandas writes the least int64 for a time that is missing."""
    graph = make_random_friend_graph(120, 800, 3)
    adjacency = graph.target.adjacency
    times = (adjacency.sources() * adjacency.indices) % 50
    least = replace(adjacency, times=np.where(times < 45, -(2**63), times).astype(np.int64))
    relation = replace(graph.target, adjacency=least)
    with pytest.raises(SplitError, match="part is empty"):
        split_edges(graph.with_edges((relation,), least), SplittingConfig(by="time", test=test), tmp_path, seed=0)
