"""Inputs that the graph itself gives."""

import numpy as np
import pytest

from amity.encoder.structure import StructureTransform, fit_structure, project, random_rows, structural_inputs
from amity.graph import Graph, NodeKind, Relation, from_pairs
from amity.graph.vocabulary import integer_vocabulary


def of_all(graph: Graph, transform: StructureTransform) -> np.ndarray:
    """The structural inputs of every node."""
    return structural_inputs(graph.messages.degrees(), project(graph, transform), transform)


def renumbered(graph: Graph, order: np.ndarray) -> Graph:
    """The same people and friendships; row i of the new graph is row `order[i]` of the old."""
    place = np.argsort(order)
    adjacency = from_pairs(place[graph.messages.sources()], place[graph.messages.indices], num_nodes=graph.num_nodes)
    kind = NodeKind("user", 0, integer_vocabulary(graph.kinds[0].vocabulary.keys[order]))
    return Graph((kind,), (Relation("friend", "user", "user", undirected=True, adjacency=adjacency),), adjacency)


def test_log_degrees_are_standardised(make_random_friend_graph):
    graph = make_random_friend_graph(200, 900)
    (column,) = of_all(graph, fit_structure(graph, log_degree=True, projections=0)).T
    logs = np.log1p(graph.messages.degrees())
    np.testing.assert_allclose(column, (logs - logs.mean()) / logs.std(), atol=1e-5)


def test_the_random_rows_are_orthonormal_once_whitened(make_random_friend_graph):
    graph = make_random_friend_graph(200, 900)
    transform = fit_structure(graph, log_degree=False, projections=8)
    rows = random_rows(graph, 8) @ np.array(transform.whitening)
    np.testing.assert_allclose(rows.T @ rows / 200, np.eye(8), atol=1e-5)


def test_projections_are_the_published_sum_of_propagated_rows(make_random_friend_graph):
    graph = make_random_friend_graph(60, 200)
    transform = fit_structure(graph, log_degree=False, projections=5)
    dense = np.zeros((60, 60))
    dense[graph.messages.sources(), graph.messages.indices] = 1
    walk = dense / np.maximum(dense.sum(1, keepdims=True), 1)
    rows, total = random_rows(graph, 5) @ np.array(transform.whitening), 0
    for weight in (0.5, 1.0, 1.0):
        rows = walk @ rows
        total = total + weight * rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(of_all(graph, transform), total, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_person_has_the_same_structural_inputs_wherever_its_row_is(make_random_friend_graph, seed):
    graph = make_random_friend_graph(80, 300, seed=seed)
    order = np.random.default_rng(seed).permutation(80)
    transform = fit_structure(graph, log_degree=True, projections=6)
    there = of_all(renumbered(graph, order), transform)
    np.testing.assert_allclose(there, of_all(graph, transform)[order], atol=1e-4)
