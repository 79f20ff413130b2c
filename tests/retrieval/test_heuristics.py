"""Baselines against dense matrices, and the promises of every recommender."""

import numba
import numpy as np
import pytest

from amity.errors import RetrievalError
from amity.graph import Adjacency, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.retrieval.heuristics import HEURISTICS, Recommender, heuristic, personalized_pagerank
from amity.retrieval.ranking import offer, unload


def dense(adjacency: Adjacency) -> np.ndarray:
    matrix = np.zeros((adjacency.num_nodes, adjacency.num_nodes))
    matrix[adjacency.sources(), adjacency.indices] = 1
    return matrix


def user_item_graph(num_users: int = 40, num_items: int = 25, num_edges: int = 160, seed: int = 0) -> Graph:
    """Users use items; the items come after the users in the space of rows."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, num_users, num_edges), num_users + rng.integers(0, num_items, num_edges)
    uses = from_pairs(users, items, num_nodes=num_users + num_items)
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(count)))
        for name, first, count in (("user", 0, num_users), ("item", num_users, num_items))
    )
    relation = Relation("uses", "user", "item", undirected=False, adjacency=uses)
    return Graph(kinds, (relation,), union(uses, reverse(uses)))


def follow_graph() -> Graph:
    rng = np.random.default_rng(5)
    sources, targets = rng.integers(0, 50, 220), rng.integers(0, 50, 220)
    follows = from_pairs(sources[sources != targets], targets[sources != targets], num_nodes=50)
    kind = NodeKind("user", 0, integer_vocabulary(np.arange(50)))
    return Graph((kind,), (Relation("follows", "user", "user", undirected=False, adjacency=follows),), follows)


@pytest.fixture(scope="module")
def graphs(make_random_friend_graph) -> dict[str, Graph]:
    return {
        "friends": make_random_friend_graph(80, 240, seed=1),
        "follows": follow_graph(),
        "items": user_item_graph(),
    }


def expected_scores(name: str, graph: Graph) -> np.ndarray:
    """Scores of every pair, from the formulas as they are printed."""
    A = dense(graph.target.adjacency)
    if name == "popularity":
        return np.tile(A.sum(axis=0), (len(A), 1))
    A = np.maximum(A, A.T)
    degrees = A.sum(axis=1)
    if name == "ppr":
        P = A / np.maximum(degrees, 1)[:, None]
        return 0.15 * sum(0.85**t * np.linalg.matrix_power(P, t) for t in range(5))
    inverse = {
        "common_neighbors": np.ones(len(A)),
        "adamic_adar": np.array([1 / np.log(d) if d > 1 else 0 for d in degrees]),
        "resource_allocation": 1 / np.maximum(degrees, 1),
    }[name]
    W = np.diag(inverse)
    return A @ W @ A if graph.target.source == graph.target.target else A @ W @ A @ W @ A


def random_known(num_nodes: int) -> Adjacency:
    rng = np.random.default_rng(11)
    return from_pairs(rng.integers(0, num_nodes, 60), rng.integers(0, num_nodes, 60), num_nodes=num_nodes)


@pytest.mark.parametrize("kind", ["friends", "follows", "items"])
@pytest.mark.parametrize("name", HEURISTICS)
def test_lists_are_the_best_of_the_formula_for_all_who_may_be_found(graphs, kind, name):
    graph = graphs[kind]
    queries, known, k = np.arange(graph.queries.count), random_known(graph.num_nodes), 12
    hits = heuristic(name, graph, seed=3).search(queries, k=k, known=known)
    scores, friends, others = expected_scores(name, graph), dense(graph.target.adjacency), dense(known)
    for i, query in enumerate(queries):
        allowed = np.zeros(graph.num_nodes, bool)
        allowed[graph.candidates.rows] = True
        allowed[(friends[query] > 0) | (others[query] > 0)] = False
        allowed[query] = False
        best = np.sort(scores[query, allowed])[::-1][:k]
        rows = hits.rows[i, : len(best)]
        np.testing.assert_allclose(hits.scores[i, : len(best)], best, rtol=1e-5)
        np.testing.assert_allclose(scores[query, rows], best, rtol=1e-5)
        assert allowed[rows].all()
        assert len(set(rows)) == len(best)
        assert (hits.rows[i, len(best) :] == -1).all()
        assert np.isneginf(hits.scores[i, len(best) :]).all()


@pytest.mark.parametrize("name", HEURISTICS)
def test_who_has_nothing_to_go_by_finds_what_chance_finds(name, make_friend_graph):
    nobody, num_nodes, k = np.empty(0, np.int64), 60, 12
    graph = make_friend_graph(nobody, nobody, num_nodes=num_nodes)
    times_found = np.zeros(num_nodes)
    queries = np.arange(num_nodes)
    for seed in range(150):
        hits = heuristic(name, graph, seed=seed).search(queries, k=k)
        assert (hits.rows >= 0).all()
        times_found += np.bincount(hits.rows.ravel(), minlength=num_nodes)
    expected = 150 * k
    spread = np.square(times_found - expected).sum() / expected  # chi-square of 59 degrees of freedom, or less
    assert spread < 100


@pytest.mark.parametrize("name", HEURISTICS)
def test_lists_depend_neither_on_threads_nor_on_the_other_queries(graphs, name):
    recommender, queries = heuristic(name, graphs["friends"], seed=1), np.arange(80)
    hits = recommender.search(queries, k=20)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    alone = recommender.search(queries[::-3].copy(), k=20)
    numba.set_num_threads(threads)
    np.testing.assert_array_equal(alone.rows, hits.rows[::-3])
    np.testing.assert_array_equal(alone.scores, hits.scores[::-3])


@pytest.mark.parametrize("name", HEURISTICS)
def test_lists_without_places_and_rows_outside_the_graph_are_refused(graphs, name):
    recommender = heuristic(name, graphs["friends"], seed=0)
    for k in (0, -1):
        with pytest.raises(RetrievalError, match=f"k is {k}"):
            recommender.search(np.arange(3), k=k)
    for row in (-1, 80):
        with pytest.raises(RetrievalError, match="rows of the graph"):
            recommender.search(np.array([row]), k=3)


def test_ties_fall_differently_for_each_seed_and_each_query(make_friend_graph):
    nobody = np.empty(0, np.int64)
    graph = make_friend_graph(nobody, nobody, num_nodes=40)
    first, second = (heuristic("popularity", graph, seed=seed).search(np.arange(40), k=5).rows for seed in (0, 1))
    assert (first != second).any(axis=1).mean() > 0.9
    assert len({tuple(row) for row in first}) > 35


def test_a_walk_without_end_is_personalized_pagerank(graphs):
    graph = graphs["friends"]
    A = dense(graph.target.adjacency)
    P = A / np.maximum(A.sum(axis=1), 1)[:, None]
    exact = 0.15 * np.linalg.inv(np.eye(len(A)) - 0.85 * P)
    hits = personalized_pagerank(graph, steps=200, restart=0.15, seed=0).search(np.arange(80), k=10)
    np.testing.assert_allclose(np.take_along_axis(exact, hits.rows, axis=1), hits.scores, rtol=1e-4, atol=1e-12)


def test_every_baseline_is_a_recommender(graphs):
    assert all(isinstance(heuristic(name, graphs["friends"], seed=0), Recommender) for name in HEURISTICS)


@pytest.mark.parametrize("size", [0, 1, 4, 5, 40])
def test_a_heap_keeps_the_best_and_gives_them_in_order(size):
    rng = np.random.default_rng(size)
    scores, ties = rng.integers(0, 4, size).astype(float), rng.permutation(size)
    heap, held = (np.empty(5), np.empty(5, np.int64), np.empty(5, np.int64)), 0
    for row in range(size):
        held = offer(heap, held, scores[row], ties[row], row)
    unload(heap, held)
    order = np.lexsort((-ties, -scores))[:5]
    np.testing.assert_array_equal(heap[2][: len(order)], order)
    assert (heap[2][len(order) :] == -1).all()
