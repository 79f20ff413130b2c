"""The retriever, held against sorting everyone by hand."""

from dataclasses import replace

import numpy as np
import pytest

from amity.embedding import Embeddings
from amity.errors import ArtifactError, ConfigError, RetrievalError
from amity.graph import Adjacency, from_pairs
from amity.index import HnswConfig, IndexConfig, IvfpqConfig, build_index, open_index, save_index
from amity.retrieval import Candidates, Retriever
from amity.retrieval.expansion import ExpansionConfig
from embedded import bipartite_graph, embed

KINDS = {
    "exact": IndexConfig(),
    "hnsw": IndexConfig(kind="hnsw", target_recall=0, hnsw=HnswConfig(ef_search=300)),
    "ivfpq": IndexConfig(kind="ivfpq", target_recall=0, ivfpq=IvfpqConfig(code_bytes=8, probes=300, rerank=50)),
}


def sort_by_hand(embeddings: Embeddings, query: int, known: Adjacency | None) -> list[int]:
    graph, vectors = embeddings.graph, embeddings.vectors.astype(np.float64)
    barred = {query, *graph.target.adjacency.neighbors(query), *(known.neighbors(query) if known else ())}
    eligible = [row for row in range(graph.num_nodes)[graph.candidates.rows] if row not in barred]
    return sorted(eligible, key=lambda row: -float(vectors[row] @ vectors[query]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_known", [False, True])
def test_everyone_gets_the_best_who_are_not_known_yet(make_random_friend_graph, kind, with_known):
    for graph in (make_random_friend_graph(120, 900), bipartite_graph()):
        embeddings = embed(graph)
        rng = np.random.default_rng(1)
        pairs = rng.integers(0, graph.num_nodes, (2, 300))
        known = from_pairs(*pairs, num_nodes=graph.num_nodes) if with_known else None
        queries = rng.permutation(graph.num_nodes)
        hits = Retriever.build(embeddings, KINDS[kind]).search(queries, k=15, known=known)
        for query, rows in zip(queries, hits.rows, strict=True):
            truth = sort_by_hand(embeddings, query, known)[:15]
            assert rows.tolist() == truth + [-1] * (15 - len(truth))


def test_top_k_answers_in_raw_ids():
    embeddings = embed(bipartite_graph())
    retriever = Retriever.build(embeddings)
    truth = [row - 60 for row in sort_by_hand(embeddings, 5, None)[:4]]
    for raw_id in (1005, "1005", "user:1005"):
        candidates = retriever.top_k(raw_id, k=4)
        assert candidates.ids == tuple(truth)
        assert candidates.kind == "item"
    assert retriever.top_k("item:3", k=200).ids.count(3) == 0
    assert len(retriever.top_k("item:3", k=200)) == 89


def test_k_beyond_the_candidates_gives_all_that_are_eligible(make_random_friend_graph):
    graph = make_random_friend_graph(50, 100)
    candidates = Retriever.build(embed(graph)).top_k(7, k=10**9)
    assert len(candidates) == 49 - len(graph.target.adjacency.neighbors(7))
    assert list(candidates.scores) == sorted(candidates.scores, reverse=True)


@pytest.mark.parametrize("raw_id", [10**6, "nobody", "user:-1", "stranger:3"])
def test_an_unknown_id_is_refused(make_random_friend_graph, raw_id):
    with pytest.raises(RetrievalError, match="has the id"):
        Retriever.build(embed(make_random_friend_graph(50, 100))).top_k(raw_id)


def test_lists_without_places_and_rows_outside_the_graph_are_refused(make_random_friend_graph):
    retriever = Retriever.build(embed(make_random_friend_graph(50, 100)))
    with pytest.raises(RetrievalError, match="k is 0"):
        retriever.top_k(3, k=0)
    for row in (-1, 50):
        with pytest.raises(RetrievalError, match="rows of the graph"):
            retriever.search(np.array([row]), k=3)


def with_interests(embeddings: Embeddings, count: int = 3) -> Embeddings:
    """The same, where everyone who asks has so many interests."""
    shape = count, embeddings.graph.queries.count, embeddings.vectors.shape[1]
    return replace(embeddings, asking=np.random.default_rng(1).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("by", ["mean", "max", "fusion"])
def test_friends_who_would_ask_in_the_place_of_interests_are_refused(by):
    retriever = Retriever.build(with_interests(embed(bipartite_graph())))
    with pytest.raises(ConfigError, match=rf"`retrieval.expansion.by` is '{by}', and there are 3"):
        replace(retriever, expansion=ExpansionConfig(by=by))


def test_recall_is_measured_with_the_interests_that_ask():
    embeddings = with_interests(embed(bipartite_graph(num_items=900)))
    config = IndexConfig.model_validate({"kind": "ivf", "ivf": {"probes": 1, "list_size": 20}, "target_recall": 0})
    expected = build_index(embeddings.vectors[60:], config, seed=0, asking=np.concatenate(embeddings.asking))
    assert expected.recall < 1
    assert Retriever.build(embeddings, config).index.recall == pytest.approx(expected.recall, abs=1e-9)


def test_candidates_print_as_a_table():
    printed = str(Candidates("user:1", "item", (7, 1200), (0.91234, -0.5)))
    assert printed.splitlines() == [
        "2 candidates for user:1",
        "rank  item    score",
        "   1  7      0.9123",
        "   2  1200  -0.5000",
    ]


def test_an_opened_index_serves_its_own_embeddings_and_no_others(make_random_friend_graph, tmp_path):
    graph = make_random_friend_graph(80, 300)
    embeddings = embed(graph)
    built = Retriever.build(embeddings, seed=3)
    save_index(built.index, tmp_path / "index")
    opened = Retriever.with_index(embeddings, open_index(tmp_path / "index"))
    queries = np.arange(80)
    np.testing.assert_array_equal(opened.search(queries, k=9).rows, built.search(queries, k=9).rows)
    for others in (embed(graph, seed=1), embed(graph, dim=9), embed(make_random_friend_graph(79, 300))):
        with pytest.raises(ArtifactError, match="not one of these embeddings"):
            Retriever.with_index(others, open_index(tmp_path / "index"))
