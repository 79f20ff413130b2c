"""Densification: who hears from whom, by features alone, and what it leaves as it was."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.embedding import EmbeddingConfig, embed_graph
from amity.encoder import EncoderConfig, FeaturesConfig, InputSource, build_model, fit_features
from amity.encoder.densification import DensificationConfig, Profiles, densify
from amity.graph import Bag, Category, Graph, NodeKind, Number, Relation, Vector, from_pairs
from amity.graph.vocabulary import integer_vocabulary

ON = DensificationConfig(neighbors=3, degree=2)


def make_columns(nodes: int, seed: int) -> tuple:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, nodes)
    codes = [np.sort(rng.choice(12, length, replace=False)) for length in lengths]
    values = rng.normal(size=(nodes, 4))
    values[::7] = np.nan
    return (
        Category("town", rng.integers(-1, 5, nodes).astype(np.int32), tuple("abcde")),
        Bag(
            "words",
            np.append(0, np.cumsum(lengths)),
            np.concatenate(codes).astype(np.int32),
            rng.integers(1, 9, lengths.sum()).astype(np.float32),
            tuple(f"w{i}" for i in range(12)),
        ),
        Number("age", rng.normal(40, 9, nodes)),
        Vector("text", values),
    )


def make_graph(seed: int = 0, nodes: int = 80) -> Graph:
    """A few nodes with many friends, and many with none, one or two."""
    rng = np.random.default_rng(seed)
    sources, targets = rng.integers(0, nodes // 2, 150), rng.integers(0, nodes // 2, 150)
    stray = np.arange(nodes // 2, 3 * nodes // 4)
    pairs = np.append(sources, stray), np.append(targets, rng.integers(0, nodes // 2, len(stray)))
    apart = pairs[0] != pairs[1]
    both = [np.concatenate([pairs[a][apart], pairs[b][apart]]) for a, b in ((0, 1), (1, 0))]
    adjacency = from_pairs(*both, num_nodes=nodes)
    users = NodeKind("user", 0, integer_vocabulary(np.arange(nodes)), make_columns(nodes, seed))
    return Graph((users,), (Relation("friend", "user", "user", undirected=True, adjacency=adjacency),), adjacency)


def edges(adjacency) -> set[tuple[int, int]]:
    return set(zip(adjacency.sources().tolist(), adjacency.indices.tolist(), strict=True))


def cosines(graph: Graph) -> np.ndarray:
    """Of the features of all nodes, by dense vectors."""
    transform = fit_features(graph, FeaturesConfig())
    inputs = InputSource.of(transform, graph).gather(np.arange(graph.num_nodes))
    owners = np.repeat(np.arange(graph.num_nodes), np.diff(inputs.indptr.numpy()))
    bags = np.zeros((graph.num_nodes, transform.num_tokens))
    np.add.at(bags, (owners, inputs.tokens.numpy()), inputs.weights.numpy())
    for column in transform.tokens:
        bags[:, [column.rare, column.missing]] = 0
    dense = inputs.dense.numpy().astype(float)
    age, text = dense[:, :1], dense[:, 2:6] / 2
    rows = np.hstack([bags, age, text])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows @ rows.T


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(0, 4))
def test_who_has_few_friends_hears_from_those_most_alike_who_have_more(seed: int, neighbors: int, degree: int):
    graph, config = make_graph(seed), DensificationConfig(neighbors=neighbors, degree=degree)
    dense = densify(graph, fit_features(graph, FeaturesConfig()), config)
    likeness, degrees = cosines(graph), graph.messages.degrees()
    for node in range(graph.num_nodes):
        friends, heard = graph.messages.neighbors(node), dense.neighbors(node)
        assert set(friends) <= set(heard)
        if degrees[node] > degree:
            assert len(heard) == len(friends)
            continue
        others = np.flatnonzero(degrees > degree)
        best = np.sort(likeness[node, others])[::-1][:neighbors]
        chosen = np.setdiff1d(heard, friends)
        assert (degrees[chosen] > degree).all()
        if len(best) and len(chosen):
            assert likeness[node, chosen].min() >= best[-1] - 1e-5
        assert len(np.union1d(chosen, np.intersect1d(friends, others))) >= (best > 2e-3).sum()
        assert len(chosen) <= neighbors


def test_off_is_off():
    graph = make_graph()
    assert densify(graph, fit_features(graph, FeaturesConfig()), DensificationConfig()) is graph.messages


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
def test_a_densified_embedding_is_that_of_a_graph_with_such_messages_but_for_the_length_of_vectors(layer: str):
    graph = make_graph()
    model = build_model(graph, EncoderConfig.model_validate({"dim": 8, "heads": 2, "layer": layer}), seed=0)
    vectors = embed_graph(model, graph, None, EmbeddingConfig(densification=ON)).vectors
    dense = densify(graph, model.transform, ON)
    others, plain = (embed_graph(model, one).vectors for one in (replace(graph, messages=dense), graph))
    few = graph.messages.degrees() <= 2
    assert (np.abs(vectors - plain)[few].max(1) > 1e-4).mean() > 0.8
    lengths, longer, own = (np.linalg.norm(rows, axis=1, keepdims=True) for rows in (vectors, others, plain))
    np.testing.assert_allclose(vectors / lengths, others / longer, atol=1e-5)
    np.testing.assert_allclose(lengths, own, rtol=1e-5)  # A vector is stretched by the friends that there are.


def test_nobody_of_whom_nothing_is_known_hears_from_anybody_more():
    graph = make_graph()
    (users,) = graph.kinds
    town = Category("town", np.where(np.arange(80) < 60, np.arange(80) % 2, -1).astype(np.int32), tuple("ab"))
    graph = replace(graph, kinds=(replace(users, columns=(town,)),))
    dense = densify(graph, fit_features(graph, FeaturesConfig()), ON)
    grown = dense.degrees() > graph.messages.degrees()
    assert grown[:60].any()
    assert not grown[60:].any()


def test_of_equals_not_always_the_same_are_heard():
    graph = make_graph()
    (users,) = graph.kinds
    town = Category("town", np.zeros(80, np.int32), ("a",))
    graph = replace(graph, kinds=(replace(users, columns=(town,)),))
    dense = densify(graph, fit_features(graph, FeaturesConfig()), ON)
    heard = dense.indices[np.isin(dense.sources(), np.arange(60, 80))]
    assert len(np.unique(heard)) > 10


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch):
    graph = make_graph()
    transform = fit_features(graph, FeaturesConfig())
    whole = densify(graph, transform, ON)
    monkeypatch.setattr("amity.encoder.densification.CHUNK", 100)
    assert edges(densify(graph, transform, ON)) == edges(whole)


def test_a_profile_has_length_one_or_is_zero():
    graph = make_graph()
    profiles = Profiles.gather(InputSource.of(fit_features(graph, FeaturesConfig()), graph), np.arange(80))
    owners = np.repeat(np.arange(80), np.diff(profiles.indptr))
    squares = (profiles.dense**2).sum(1) + np.bincount(owners, profiles.weights**2, minlength=80)
    assert np.allclose(squares[squares > 0], 1)


def test_kinds_hear_from_their_own_kind():
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(20)), (Category("x", np.zeros(20, np.int32), ("a",)),))
        for name, first in (("user", 0), ("song", 20))
    )
    users, songs = np.repeat(np.arange(5), 5), np.tile(np.arange(20, 25), 5)
    likes = from_pairs(users, songs, num_nodes=40)
    messages = from_pairs(np.append(users, songs), np.append(songs, users), num_nodes=40)
    graph = Graph(kinds, (Relation("likes", "user", "song", undirected=False, adjacency=likes),), messages)
    dense = densify(graph, fit_features(graph, FeaturesConfig()), ON)
    further = edges(dense) - edges(messages)
    assert len(further) == 3 * 30
    assert all((hearing < 20) == (heard < 20) for hearing, heard in further)
