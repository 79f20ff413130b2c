"""Sums over neighbours against scipy."""

import numba
import numpy as np
from scipy.sparse import csr_matrix

from amity.graph.propagation import propagate


def test_propagation_is_the_product_with_the_adjacency_matrix(make_random_friend_graph):
    adjacency = make_random_friend_graph(150, 700, seed=3).messages
    dense = np.random.default_rng(0).normal(size=(150, 7)).astype(np.float32)
    matrix = csr_matrix((np.ones(adjacency.num_edges), adjacency.indices, adjacency.indptr), shape=(150, 150))
    np.testing.assert_allclose(propagate(adjacency, dense), matrix @ dense, rtol=1e-5, atol=1e-5)


def test_propagation_is_bitwise_the_same_for_any_number_of_threads(make_random_friend_graph):
    adjacency = make_random_friend_graph(300, 3000, seed=4).messages
    dense = np.random.default_rng(1).normal(size=(300, 16)).astype(np.float32)
    threads = numba.get_num_threads()
    results = []
    for count in (1, threads):
        numba.set_num_threads(count)
        results.append(propagate(adjacency, dense))
    numba.set_num_threads(threads)
    assert np.array_equal(*results)
