import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from amity.graph import from_pairs
from amity.sampling.negatives import count_ends, log_column_rates, mask_known, uniform_nodes
from amity.sampling.numbering import number

NONE = np.empty(0, np.int64)


@settings(max_examples=80)
@given(seed=st.integers(0, 10**6), num_nodes=st.integers(2, 40), num_edges=st.integers(0, 400), rows=st.integers(1, 12))
def test_masked_are_the_query_and_whom_it_knows_but_never_the_positive(seed, num_nodes, num_edges, rows):
    rng = np.random.default_rng(seed)
    adjacency = from_pairs(
        rng.integers(0, num_nodes, num_edges), rng.integers(0, num_nodes, num_edges), num_nodes=num_nodes
    )
    columns, slots, _ = number(NONE, NONE, rng.integers(0, num_nodes, rng.integers(1, 10)))
    queries, positives = rng.integers(0, num_nodes, rows), rng.integers(0, len(columns), rows)
    masked = mask_known(adjacency, queries, (columns, slots), positives)
    for row, query in enumerate(queries):
        for column, node in enumerate(columns):
            known = node == query or node in adjacency.neighbors(query)
            assert masked[row, column] == (known and column != positives[row])


def test_a_hub_with_more_friends_than_there_are_columns_is_masked_alike():
    adjacency = from_pairs(np.zeros(500, int), np.arange(1, 501), num_nodes=1000)
    columns, slots, _ = number(NONE, NONE, np.array([3, 999, 400, 0]))
    masked = mask_known(adjacency, np.array([0]), (columns, slots), np.array([2]))
    assert masked.tolist() == [[True, False, False, True]]


def test_uniform_nodes_are_equally_likely_within_their_range():
    nodes = np.concatenate([uniform_nodes(100, range(50, 70), seed=1, step=step) for step in range(500)])
    assert nodes.min() >= 50
    assert chisquare(np.bincount(nodes - 50, minlength=20)).pvalue > 1e-4


def test_log_rates_are_logs_of_the_chance_to_be_a_column():
    counts = np.zeros(4, np.int64)
    count_ends(counts, np.array([0, 1, 1, 3, 1], np.int32))
    assert counts.tolist() == [1, 3, 0, 1]
    rates = np.exp(log_column_rates(counts, per_edge=0.5, missed=0.8))
    assert rates.tolist() == pytest.approx([1 - 0.5 * 0.8, 1 - 0.125 * 0.8, 0.2, 1 - 0.5 * 0.8])


def test_what_every_step_holds_has_a_rate_of_one():
    certain = log_column_rates(np.array([0, 1, 7]), per_edge=2.5, missed=np.full(3, 0.75))
    assert np.exp(certain).tolist() == pytest.approx([0.25, 1, 1])
    assert np.exp(log_column_rates(np.array([0, 3]), per_edge=0.1, missed=0.0)).tolist() == [1, 1]
