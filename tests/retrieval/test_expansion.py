"""Friends who ask with a query: who they are, and what they change."""

from dataclasses import replace

import numpy as np
import pytest

from amity.retrieval.expansion import ExpansionConfig, choose_friends, mean_vectors


def test_friends_are_distinct_friends_as_many_as_there_are(graph):
    adjacency, queries = graph.target.adjacency, np.arange(graph.num_nodes)
    chosen = choose_friends(adjacency, queries, count=4, seed=3)
    for query, friends in zip(queries, chosen, strict=True):
        present = friends[friends >= 0].tolist()
        known = adjacency.neighbors(query).tolist()
        assert set(present) <= set(known)
        assert len(set(present)) == len(present) == min(4, len(known))


def test_who_is_drawn_hangs_on_the_query_alone_and_every_friend_has_a_chance(graph):
    adjacency = graph.target.adjacency
    hub = int(np.argmax(adjacency.degrees()))
    among = choose_friends(adjacency, np.array([3, hub, 7]), count=4, seed=3)[1]
    assert np.array_equal(among, choose_friends(adjacency, np.array([hub]), count=4, seed=3)[0])
    drawn = {
        row for seed in range(200) for row in choose_friends(adjacency, np.array([hub]), count=4, seed=seed)[0].tolist()
    }
    assert drawn == set(adjacency.neighbors(hub).tolist())


def test_the_mean_leaves_out_empty_places():
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    found = mean_vectors(vectors, np.array([0, 1]), np.array([[2, -1], [-1, -1]]))
    np.testing.assert_allclose(found, [(vectors[0] + vectors[2]) / 2, vectors[1]])


@pytest.mark.parametrize("by", ["mean", "max", "fusion"])
def test_nobody_gets_itself_or_its_friends_whoever_asks(retriever, graph, by):
    expanded = replace(retriever, expansion=ExpansionConfig(by=by, friends=3))
    queries = np.arange(graph.num_nodes)
    found = expanded.search(queries, k=10)
    for query, rows in zip(queries, found.rows, strict=True):
        assert not {query, *graph.target.adjacency.neighbors(query).tolist()} & set(rows.tolist())
    assert (found.rows != retriever.search(queries, k=10).rows).any()


@pytest.mark.parametrize("by", ["mean", "max", "fusion"])
def test_who_has_no_friends_asks_alone(retriever, graph, by):
    lonely = np.flatnonzero(graph.target.adjacency.degrees() == 0)
    assert len(lonely)
    expanded = replace(retriever, expansion=ExpansionConfig(by=by))
    assert np.array_equal(expanded.search(lonely, k=10).rows, retriever.search(lonely, k=10).rows)


def test_the_best_score_is_that_of_the_query_or_of_a_friend(retriever, graph):
    query = int(np.argmax(graph.target.adjacency.degrees()))
    expanded = replace(retriever, expansion=ExpansionConfig(by="max", friends=2))
    friends = choose_friends(graph.target.adjacency, np.array([query]), count=2, seed=0)[0]
    vectors = retriever.embeddings.vectors
    scores = (vectors @ vectors[[query, *friends]].T).max(1)
    found = expanded.search(np.array([query]), k=5)
    np.testing.assert_allclose(found.scores[0], scores[found.rows[0]], rtol=1e-5)
    barred = {query, *graph.target.adjacency.neighbors(query).tolist()}
    best = [row for row in np.argsort(-scores) if row not in barred][:5]
    assert found.rows[0].tolist() == best
