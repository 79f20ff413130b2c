"""What is taken out of an adjacency is what scipy takes out of the matrix."""

from collections.abc import Callable

import numpy as np
import pytest

from amity.graph import Graph, from_pairs
from oracles import as_matrix


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_edges_among_some_nodes_are_those_of_the_submatrix(
    make_random_friend_graph: Callable[..., Graph], share: float
):
    messages = make_random_friend_graph(80, 400, 3).messages
    chosen = np.flatnonzero(np.random.default_rng(1).random(80) < share)
    among = messages.among(chosen)
    expected = as_matrix(messages)[chosen][:, chosen]
    np.testing.assert_array_equal(as_matrix(among).toarray(), expected.toarray())
    assert among.indices.dtype == messages.indices.dtype
    assert all((np.diff(among.neighbors(node)) > 0).all() for node in range(len(chosen)))


def test_only_the_edges_that_are_kept_are_left():
    messages = from_pairs(np.array([0, 0, 2, 3]), np.array([1, 2, 0, 3]), num_nodes=4)
    left = messages.only(np.array([True, False, False, True]))
    np.testing.assert_array_equal(as_matrix(left).toarray().nonzero(), [[0, 3], [1, 3]])
