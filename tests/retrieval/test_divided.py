"""The divided retriever: with one encoder it finds what one index finds; what is learned per cluster counts."""

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.clustering import Clusters, undivided
from amity.embedding import EmbeddingConfig, Embeddings, SpectralConfig, embed_graph
from amity.encoder import Division, EncoderConfig, build_model
from amity.errors import ArtifactError, ConfigError, RetrievalError
from amity.graph import Graph, from_pairs
from amity.graph.features import Category
from amity.index import Hits, IndexConfig, build_divided, open_divided, save_divided
from amity.retrieval import Blend, Confidence, DividedRetriever, MergeConfig, Recommender, Retriever, blended
from amity.retrieval.asking import ask, ask_for
from amity.retrieval.divided import groups_of
from amity.retrieval.merging import merge
from embedded import bipartite_graph, embed


def divide(size: int, count: int, seed: int = 0) -> Clusters:
    of = np.random.default_rng(seed).integers(0, count, size).astype(np.int32)
    of[:count] = np.arange(count)
    return Clusters(of, tuple(f"c{number}" for number in range(count)))


def learned(embeddings: Embeddings, count: int, seed: int = 0) -> Embeddings:
    """The same, with what each cluster is asked, and how likely it is."""
    rng, num_queries = np.random.default_rng(seed), embeddings.graph.queries.count
    asking = rng.standard_normal((count, num_queries, embeddings.vectors.shape[1])).astype(np.float32)
    intent = rng.dirichlet(np.ones(count), num_queries).astype(np.float32)
    return replace(embeddings, asking=asking, intent=intent)


def prompted(graph: Graph, count: int, kind: str = "product") -> Embeddings:
    """Those of an encoder with prompts behind it, that are other ones for each cluster."""
    encoder = EncoderConfig.model_validate({"dim": 8, "prompts": {"kind": kind}, "features": {"ids": "learned"}})
    model = build_model(graph, encoder, seed=0, division=Division(count, intent=True))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.encoder.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) / 4
    config = EmbeddingConfig(message_pass=0.2, spectral=SpectralConfig(dim=4, power=1.0, share=0.5))
    return embed_graph(model, graph, None, config)


def with_stored_questions(embeddings: Embeddings, count: int) -> Embeddings:
    """The same, asked with the same."""
    rows = np.arange(embeddings.graph.num_nodes)[embeddings.graph.queries.rows]
    return replace(embeddings, asking=np.stack(embeddings.asked_each(rows, clusters=count)))


def assert_alike(found: Hits, wanted: Hits, *, within: float = 0.0) -> None:
    """The same lists, but for the order of scores that are equal, or nearly."""
    near = {"rtol": within, "atol": within}
    np.testing.assert_allclose(found.scores, wanted.scores, **near)
    for query, place in np.argwhere(found.rows != wanted.rows):
        score, scores = wanted.scores[query, place], wanted.scores[query][wanted.rows[query] >= 0]
        assert np.isclose(scores, score, **near).sum() > 1 or np.isclose(score, scores.min(), **near)


@settings(max_examples=12)
@given(seed=st.integers(0, 99), count=st.integers(1, 6), k=st.integers(1, 100))
def test_one_encoder_and_the_calibrated_merge_find_what_exact_search_over_everything_finds(seed, count, k):
    graph = bipartite_graph()
    embeddings = embed(graph, seed=seed)
    known = from_pairs(*np.random.default_rng(seed).integers(0, graph.num_nodes, (2, 300)), num_nodes=graph.num_nodes)
    whole = Retriever.build(embeddings, seed=2).search(np.arange(60), k=k, known=known)
    divided = DividedRetriever.build(embeddings, divide(90, count), seed=2).search(np.arange(60), k=k, known=known)
    np.testing.assert_array_equal(divided.rows, whole.rows)
    np.testing.assert_array_equal(divided.scores, whole.scores)


@settings(max_examples=12)
@given(k=st.integers(1, 100), constant=st.booleans())
def test_candidates_that_tie_are_found_as_if_nothing_were_divided_however_small_their_cluster(k, constant):
    embeddings = embed(bipartite_graph(), dim=3)
    embeddings = replace(embeddings, vectors=np.sign(embeddings.vectors) ** (2 if constant else 1))
    clusters = Clusters(np.minimum(np.arange(90, dtype=np.int32), 2), ("one", "another", "all but two"))
    whole = Retriever.build(embeddings, seed=2).search(np.arange(60), k=k)
    divided = DividedRetriever.build(embeddings, clusters, seed=2)
    np.testing.assert_array_equal(divided.search(np.arange(60), k=k).rows, whole.rows)


def test_the_same_holds_where_masses_are_computed():
    embeddings = embed(bipartite_graph())
    whole = Retriever.build(embeddings).search(np.arange(60), k=20)
    divided = replace(DividedRetriever.build(embeddings, divide(90, 4)), merge=MergeConfig(alpha=1 + 1e-12))
    np.testing.assert_array_equal(divided.search(np.arange(60), k=20).rows, whole.rows)


@pytest.mark.parametrize("by", ["calibrated", "quota", "fair"])
@pytest.mark.parametrize("taught", [False, True])
def test_nobody_gets_themselves_their_friends_or_anybody_twice(make_random_friend_graph, by, taught):
    graph = make_random_friend_graph(150, 700)
    embeddings = learned(embed(graph), 5) if taught else embed(graph)
    retriever = replace(DividedRetriever.build(embeddings, divide(150, 5)), merge=MergeConfig(by=by, alpha=0.5))
    known = from_pairs(*np.random.default_rng(1).integers(0, 150, (2, 300)), num_nodes=150)
    hits = retriever.search(np.arange(150), k=140, known=known)
    for query, rows in enumerate(hits.rows):
        barred = {query, *graph.target.adjacency.neighbors(query), *known.neighbors(query)}
        listed = rows[rows >= 0].tolist()
        assert sorted(listed) == sorted(set(range(150)) - barred)[: len(listed)] or len(listed) == 140
        assert len(listed) == min(140, 150 - len(barred))
        assert not set(listed) & barred


def test_the_lists_do_not_hang_on_who_else_asks_or_on_the_numbers_of_clusters(make_random_friend_graph):
    graph, clusters = make_random_friend_graph(150, 700), divide(150, 4)
    embeddings = learned(embed(graph), 4)
    settings = {"merge": MergeConfig(by="quota", alpha=0.5), "confidence": Confidence(0.3)}
    retriever = replace(DividedRetriever.build(embeddings, clusters), **settings)
    together = retriever.search(np.arange(150), k=10)
    np.testing.assert_array_equal(retriever.search(np.array([77]), k=10).rows[0], together.rows[77])
    order = np.array([3, 1, 0, 2])
    renumbered = Clusters(np.argsort(order)[clusters.of].astype(np.int32), tuple(clusters.names[one] for one in order))
    turned = replace(
        embeddings, asking=embeddings.asking[order], intent=np.ascontiguousarray(embeddings.intent[:, order])
    )
    other = replace(DividedRetriever.build(turned, renumbered), **settings)
    np.testing.assert_array_equal(other.search(np.arange(150), k=10).rows, together.rows)


def test_each_cluster_is_asked_with_its_own_vectors_and_counts_by_its_intent():
    graph, clusters, temperature = bipartite_graph(), divide(90, 3), 0.7
    embeddings = learned(embed(graph), 3)
    retriever = replace(DividedRetriever.build(embeddings, clusters), confidence=Confidence(temperature))
    hits = retriever.search(np.arange(60), k=15)
    items = embeddings.vectors[60:].astype(np.float64)
    for query in range(60):
        scores = np.einsum("cd,cd->c", embeddings.asking[clusters.of, query].astype(np.float64), items) / temperature
        eligible = np.setdiff1d(np.arange(90), graph.target.adjacency.neighbors(query) - 60)
        logs = np.full(90, -np.inf)
        for cluster in range(3):
            inside = eligible[clusters.of[eligible] == cluster]
            total = np.logaddexp.reduce(scores[inside])
            logs[inside] = np.log(embeddings.intent[query, cluster]) + scores[inside] - total
        assert np.logaddexp.reduce(logs) == pytest.approx(0, abs=1e-6)
        np.testing.assert_array_equal(hits.rows[query] - 60, np.argsort(-logs)[:15])


@pytest.mark.parametrize("kind", ["product", "token", "mmoe"])
def test_questions_that_are_made_when_asked_find_what_stored_ones_do(kind):
    made, clusters = prompted(bipartite_graph(), 4, kind), divide(90, 4)
    stored = with_stored_questions(made, 4)
    found, wanted = (DividedRetriever.build(one, clusters).search(np.arange(60), k=20) for one in (made, stored))
    assert_alike(found, wanted, within=1e-5)
    plain = DividedRetriever.build(replace(made, asking=None), clusters).search(np.arange(60), k=20)
    assert (plain.rows != wanted.rows).mean() > 0.1


def test_the_same_askers_measure_recall_whether_all_are_asked_first_or_they_alone(monkeypatch):
    monkeypatch.setattr("amity.index.divided.EXACT_BELOW", 100)
    made, clusters = with_stored_questions(prompted(bipartite_graph(num_items=900), 3), 3), divide(900, 3)
    config = IndexConfig.model_validate(
        {"kind": "ivf", "ivf": {"probes": 1, "list_size": 20}, "target_recall": 0, "measured_queries": 25}
    )
    alone = DividedRetriever.build(made, clusters, config, seed=5).index
    after_all = build_divided(made.vectors[60:], clusters, config, seed=5, asking=tuple(made.asking))
    assert alone.recalls == after_all.recalls
    assert alone.recall < 1


def test_building_indexes_asks_no_more_than_those_who_measure_recall():
    embeddings = learned(embed(bipartite_graph(num_users=20_000)), 30)
    tracemalloc.start()
    DividedRetriever.build(embeddings, divide(90, 30))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < embeddings.asking.nbytes / 4


@settings(max_examples=12)
@given(
    seed=st.integers(0, 99),
    k=st.sampled_from([1, 5, 30, 60]),
    by=st.sampled_from(["calibrated", "quota", "fair"]),
    alpha=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    taught=st.booleans(),
)
def test_short_lists_that_are_made_longer_give_what_long_ones_do(seed, k, by, alpha, taught):
    embeddings = embed(bipartite_graph(num_items=400), seed=seed)
    retriever = DividedRetriever.build(learned(embeddings, 4, seed) if taught else embeddings, divide(400, 4))
    question, way = retriever.question(np.arange(60)), MergeConfig(by=by, alpha=alpha)
    about = {"confidence": Confidence(0.3)}
    short = ask_for(retriever.index, question, [way], k=k, **about)
    long = ask(retriever.index, question, depth=400, **about)
    vectors, groups = embeddings.vectors[60:], np.zeros(400, np.int64)
    first, second = (merge(one, way, k=k, temperature=0.3, vectors=vectors, groups=groups) for one in (short, long))
    assert_alike(first.hits, second.hits, within=1e-4)


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_approximate_indexes_asked_together_find_nearly_all(kind, monkeypatch):
    monkeypatch.setattr("amity.index.divided.EXACT_BELOW", 100)
    embeddings = embed(bipartite_graph(num_items=3000))
    config = IndexConfig(kind=kind, target_recall=0)
    divided = DividedRetriever.build(embeddings, divide(3000, 4), config).search(np.arange(60), k=50)
    whole = Retriever.build(embeddings).search(np.arange(60), k=50)
    assert (divided.scores >= whole.scores[:, -1:]).mean() > 0.95


def test_intent_is_what_scores_imply_and_what_was_learned_each_to_its_power():
    embeddings = learned(embed(bipartite_graph()), 3)
    retriever = DividedRetriever.build(embeddings, divide(90, 3))
    confidence, question = Confidence(0.5, implied=0.3, learned=0.9), retriever.question(np.arange(60))
    answers = ask(retriever.index, question, depth=20, confidence=confidence)
    expected = np.exp(answers.log_implied) ** 0.3 * embeddings.intent**0.9
    np.testing.assert_allclose(np.exp(answers.log_intent), expected / expected.sum(axis=1, keepdims=True), rtol=1e-5)


def test_several_merges_at_once_give_what_each_gives_alone():
    embeddings = learned(embed(bipartite_graph(num_items=400)), 4)
    retriever = DividedRetriever.build(embeddings, divide(400, 4))
    ways = [MergeConfig(by=by, alpha=alpha) for by in ("calibrated", "quota") for alpha in (0.0, 1.0, 4.0)]
    together = retriever.search_by(ways, np.arange(60), k=40)
    for way, hits in zip(ways, together, strict=True):
        np.testing.assert_array_equal(hits.rows, replace(retriever, merge=way).search(np.arange(60), k=40).rows)


def test_intent_and_quotas_are_told():
    embeddings = learned(embed(bipartite_graph()), 3)
    retriever = replace(DividedRetriever.build(embeddings, divide(90, 3)), merge=MergeConfig(by="quota"))
    intent, places = retriever.intent(np.arange(60), k=12)
    np.testing.assert_allclose(intent, embeddings.intent, atol=1e-7)
    assert (places.sum(axis=1) == 12).all()
    hits = retriever.search(np.arange(60), k=12)
    found = np.stack([np.bincount(retriever.index.clusters.of[rows - 60], minlength=3) for rows in hits.rows])
    np.testing.assert_array_equal(found, places)


def test_one_cluster_changes_nothing(make_random_friend_graph):
    embeddings = embed(make_random_friend_graph(80, 300))
    whole = Retriever.build(embeddings, seed=1).search(np.arange(80), k=9)
    for by in ("calibrated", "quota", "fair"):
        alone = replace(DividedRetriever.build(embeddings, undivided(80), seed=1), merge=MergeConfig(by=by, alpha=0.5))
        np.testing.assert_array_equal(alone.search(np.arange(80), k=9).rows, whole.rows)


def test_groups_of_a_column_get_their_share_and_strange_columns_are_refused(make_random_friend_graph):
    codes = (np.arange(120) % 4 - 1).astype(np.int32)
    column = Category("school", codes, ("a", "b", "c"))
    graph = make_random_friend_graph(120, 100, columns=(column,))
    retriever = DividedRetriever.build(embed(graph), divide(120, 3))
    fair = {"by": "fair", "group": "school", "minimum_share": 0.2}
    rows = replace(retriever, merge=MergeConfig(**fair)).search(np.arange(120), k=20).rows
    for code in range(-1, 3):
        assert ((codes[rows] == code).sum(axis=1) >= 4).all()
    with pytest.raises(ConfigError, match=r"no column `age`.* There are: school"):
        replace(retriever, merge=MergeConfig(**fair | {"group": "age"})).search(np.arange(3), k=5)
    with pytest.raises(ConfigError, match=r"4 groups of school cannot each have 0.3 .* 0.25 or less"):
        replace(retriever, merge=MergeConfig(**fair | {"minimum_share": 0.3})).search(np.arange(3), k=5)
    with pytest.raises(ConfigError, match=r"3 clusters cannot each have 0.4"):
        replace(retriever, merge=MergeConfig(by="fair", minimum_share=0.4)).search(np.arange(3), k=5)


@pytest.mark.parametrize("count", [3, 6, 7, 11, 49])
def test_the_smallest_share_that_is_advised_stands(count):
    kind = bipartite_graph().candidates
    with pytest.raises(ConfigError, match="cannot each have") as refusal:
        groups_of(kind, MergeConfig(by="fair", minimum_share=0.9), clusters=count)
    advised = float(re.search(r"minimum_share to ([\d.]+) or less", str(refusal.value)).group(1))
    assert 0.999 / count < advised
    groups_of(kind, MergeConfig(by="fair", minimum_share=advised), clusters=count)


def test_who_does_not_ask_in_training_is_refused_where_asking_was_learned():
    embeddings = embed(bipartite_graph())
    DividedRetriever.build(embeddings, divide(90, 3)).search(np.array([77]), k=3)
    with pytest.raises(RetrievalError, match=r"1 of 2 queries are no user"):
        DividedRetriever.build(learned(embeddings, 3), divide(90, 3)).search(np.array([3, 77]), k=3)


def test_a_blend_takes_the_divided_retriever_as_it_takes_any(make_random_friend_graph):
    graph = make_random_friend_graph(120, 500)
    retriever = DividedRetriever.build(embed(graph), divide(120, 3))
    assert isinstance(retriever, Recommender)
    whole, parts = (
        blended(one, Blend(("vectors", "ppr"), np.ones((5, 2))), graph, depth=50, seed=0)
        for one in (Retriever.build(embed(graph)), retriever)
    )
    queries = np.arange(120)
    np.testing.assert_array_equal(parts.search(queries, k=9).rows, whole.search(queries, k=9).rows)


def test_opened_indexes_serve_their_own_embeddings_and_no_others(make_random_friend_graph, tmp_path):
    graph = make_random_friend_graph(80, 300)
    embeddings = embed(graph)
    built = DividedRetriever.build(embeddings, divide(80, 3), seed=3)
    save_divided(built.index, tmp_path / "index")
    opened = DividedRetriever.with_index(embeddings, open_divided(tmp_path / "index"))
    np.testing.assert_array_equal(opened.search(np.arange(80), k=9).rows, built.search(np.arange(80), k=9).rows)
    for others in (embed(graph, seed=1), embed(graph, dim=9), embed(make_random_friend_graph(79, 300))):
        with pytest.raises(ArtifactError, match=r"not those of these embeddings"):
            DividedRetriever.with_index(others, open_divided(tmp_path / "index"))


def test_no_queries_get_no_lists():
    retriever = DividedRetriever.build(embed(bipartite_graph()), divide(90, 3))
    assert retriever.search(np.empty(0, np.int64), k=3).rows.shape == (0, 3)
