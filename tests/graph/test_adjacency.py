"""What is taken out of an adjacency is what scipy takes out of the matrix."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from amity.graph import Adjacency, Graph


def matrix(adjacency: Adjacency) -> sp.csr_array:
    ones = np.ones(adjacency.num_edges)
    return sp.csr_array((ones, adjacency.indices, adjacency.indptr), shape=(adjacency.num_nodes,) * 2)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_edges_among_some_nodes_are_those_of_the_submatrix(
    make_random_friend_graph: Callable[..., Graph], share: float
):
    messages = make_random_friend_graph(80, 400, 3).messages
    chosen = np.flatnonzero(np.random.default_rng(1).random(80) < share)
    among = messages.among(chosen)
    expected = matrix(messages)[chosen][:, chosen]
    np.testing.assert_array_equal(matrix(among).toarray(), expected.toarray())
    assert among.indices.dtype == messages.indices.dtype
    assert all((np.diff(among.neighbors(node)) > 0).all() for node in range(len(chosen)))
