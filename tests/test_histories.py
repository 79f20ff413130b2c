"""A run of a sequence encoder, from tables of sequences to its report: whatever is judged was never told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import amity
import tiny
from amity import pipeline
from amity.config import Config, load_config
from amity.embedding import AtHand, embed_graph, embed_nodes
from amity.errors import ConfigError, DataError, RetrievalError
from amity.evaluation.damage import DamageConfig
from amity.pipeline.robustness import damaged_table
from amity.pipeline.running import open_run
from amity.pipeline.validation import as_validated, draw_pool, recall_of_all, recall_of_pool, validation
from amity.pipeline.work import Work
from amity.sampling import histories_before, histories_of
from amity.training import Recipe

FLAGS = {
    "splitting": {"by": "given"},
    "sampling": {"batch_size": 32, "negatives": 100},
    "encoder": {"kind": "sequence", "dim": 16, "output": "dot", "sequence": {"length": 12, "dropout": 0.1}},
    "objectives": {"retrieval": {"temperature": 1.0}},
    "training": {"steps": 120, "first_validation": 30, "learning_rate": 0.01},
    "evaluation": {"k": (5, 10), "headline": 5, "resamples": 20, "baselines": ("popularity",)},
}


def settings(**changed: dict) -> Config:
    return load_config(flags={**FLAGS, **changed})


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    data = tiny.write_sequences(tmp_path_factory.mktemp("tables"))
    path = tmp_path_factory.mktemp("runs") / "first"
    pipeline.run(path, data, settings(embedding={"spectral": {"dim": 0}}))
    return open_run(path, until="evaluate")


def test_a_run_finds_the_order_that_popularity_does_not_see(work: Work):
    report = work.report()
    assert report["metrics"]["recall@5"]["value"] > 3 * report["baselines"]["popularity"]["recall@5"]["value"]


def test_who_asks_is_told_by_the_history_and_what_is_found_by_its_own_vector(work: Work):
    model, split, graph = work.model(), work.split(), work.split().train
    made, told = work.embeddings().vectors, histories_before(split, split.test)
    assert np.array_equal(made, embed_nodes(model, graph, told, np.arange(graph.num_nodes)))
    np.testing.assert_array_equal(made[graph.candidates.rows], model.encoder.items.weight[:-1].detach().numpy())
    some = np.array([graph.candidates.first + 3, 5, 0, graph.candidates.first])
    np.testing.assert_allclose(embed_nodes(model, graph, told, some), made[some], atol=1e-5)


def test_the_test_part_is_asked_with_the_validation_edges_and_the_validation_part_without(work: Work):
    model, split = work.model(), work.split()
    queries = split.train.queries.rows
    plain = embed_graph(model, split.train).vectors[queries]
    asked = as_validated(work.retriever(), model, split).embeddings.vectors[queries]
    np.testing.assert_allclose(asked, plain, atol=1e-5)
    assert not np.isclose(work.embeddings().vectors[queries], plain, atol=1e-3).all(1).any()


def test_validation_finds_what_the_harness_finds(work: Work):
    model, split, config = work.model(), work.split(), work.config
    recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training)
    expected = recall_of_all(embed_graph(model, split.train).vectors, split, seed=0)
    assert validation(split, recipe, seed=0)(model) == pytest.approx(expected, abs=1e-3)
    few = config.training.model_copy(update={"validation_candidates": 20})
    pool = draw_pool(split, 20, seed=0)
    vectors = embed_nodes(model, split.train, histories_of(split.train), pool.nodes)
    found = validation(split, replace(recipe, training=few), seed=0)(model)
    assert found == pytest.approx(recall_of_pool(vectors, pool, split, seed=0))


def test_a_run_whose_histories_would_hold_the_test_edges_is_refused(work: Work):
    split = work.split()
    leaked = replace(split.test, known=split.test.truth)
    with pytest.raises(amity.AmityError, match="The histories leak"):
        histories_before(split, leaked)


def test_eigenvectors_stand_beside_histories(work: Work):
    model, split = work.model(), work.split()
    config = load_config(flags={"embedding": {"spectral": {"dim": 4, "power": 1.0, "share": 0.5}}}).embedding
    both = embed_graph(model, split.train, None, config).vectors
    assert both.shape[1] == model.encoder.dim + 4
    np.testing.assert_array_equal(both[:, :-4], embed_graph(model, split.train).vectors)


def test_half_precision_rounds_and_no_more(work: Work, tmp_path: Path):
    model, graph, config = work.model(), work.split().train, settings(embedding={"precision": "half"}).embedding
    told = AtHand(histories=histories_of(graph))
    half = embed_graph(model, graph, tmp_path, config, at_hand=told).vectors
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, embed_graph(model, graph, at_hand=told).vectors, atol=2e-2)


def test_a_network_of_friends_is_refused(tmp_path: Path):
    data = tiny.write_tables(tmp_path / "tables")
    with pytest.raises(ConfigError, match=r"have no times|make a relation of two kinds"):
        pipeline.run(tmp_path / "run", data, settings(splitting={"by": "random"}))


@pytest.fixture(scope="module")
def interested(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """ComiRec-SA: no blocks, three interests."""
    data = tiny.write_sequences(tmp_path_factory.mktemp("tables"))
    path = tmp_path_factory.mktemp("runs") / "interested"
    sequence = {"length": 12, "layers": 0, "interests": 3, "dropout": 0.0}
    encoder = {"encoder": {**FLAGS["encoder"], "sequence": sequence}, "embedding": {"spectral": {"dim": 0}}}
    pipeline.run(path, data, settings(**encoder))
    return open_run(path, until="evaluate")


def test_whoever_has_no_interests_is_refused(interested: Work):
    candidate = interested.split().train.candidates.first
    with pytest.raises(RetrievalError, match=r"1 of 1 queries are no "):
        interested.retriever().search(np.array([candidate]), k=5)


def test_the_best_of_the_interests_counts(interested: Work):
    """Lists are those of the largest product, and validation judges by them."""
    made, graph, split = interested.embeddings(), interested.split().train, interested.split()
    assert made.asking is not None
    assert made.asking.shape == (3, graph.queries.count, 16)
    scores = np.max(made.asking.astype(np.float64) @ made.vectors[graph.candidates.rows].T, axis=0)
    queries = np.arange(graph.queries.count)
    hits = interested.retriever().search(queries, k=5, known=split.test.known)
    for query in queries:
        taken = np.concatenate([part.neighbors(query) for part in (graph.target.adjacency, split.valid.truth)])
        scores[query, taken - graph.candidates.first] = -np.inf
        np.testing.assert_allclose(hits.scores[query], np.sort(scores[query])[::-1][:5], rtol=1e-4)
    plain = as_validated(interested.retriever(), interested.model(), split)
    found = plain.search(queries, k=50).rows
    recall = np.mean([truth in row for truth, row in zip(split.valid.truth.indices, found, strict=True)])
    config = interested.config
    recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training)
    assert validation(split, recipe, seed=0)(interested.model()) == pytest.approx(recall, abs=1e-3)


def test_interests_find_what_popularity_does_not(interested: Work):
    report = interested.report()
    assert report["metrics"]["recall@5"]["value"] > 1.5 * report["baselines"]["popularity"]["recall@5"]["value"]


def test_interests_and_clusters_exclude_each_other(work: Work, tmp_path: Path):
    data = tiny.write_sequences(tmp_path / "tables")
    encoder = {**FLAGS["encoder"], "sequence": {"length": 12, "interests": 2}}
    clustering = {"by": "eigenvectors", "count": 3}
    with pytest.raises(ConfigError, match=r"2 interests .* and 3 clusters"):
        pipeline.run(tmp_path / "run", data, settings(encoder=encoder, clustering=clustering))


def test_eigenvectors_of_clusters_that_nobody_who_asks_is_in_are_refused_before_training(tmp_path: Path):
    data = tiny.write_sequences(tmp_path / "tables")
    clustering, embedding = {"by": "eigenvectors", "count": 3}, {"spectral": {"of": "clusters"}}
    with pytest.raises(ConfigError, match="clusters divide `item`, and those who ask are `user`"):
        pipeline.run(tmp_path / "run", data, settings(clustering=clustering, embedding=embedding))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_items_are_divided_again_by_what_was_learned_of_them(tmp_path: Path):
    clustering = {"by": "eigenvectors", "count": 3, "balanced": True, "again_every": 25}
    path = tmp_path / "run"
    data = tiny.write_sequences(tmp_path / "tables")
    pipeline.run(path, data, settings(clustering=clustering, embedding={"spectral": {"dim": 0}}))
    again = open_run(path, until="evaluate")
    first, last = again.first_clusters(), again.clusters()
    assert not np.array_equal(first.of, last.of)
    assert np.ptp(last.sizes()) <= 1
    vectors = again.embeddings().vectors[again.graph().candidates.rows]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, together = vectors @ vectors.T, last.of[:, None] == last.of
    assert cosines[together].mean() > cosines[~together].mean() + 0.1


@pytest.mark.parametrize("embedding", [{"message_pass": 0.5}, {"densification": {"neighbors": 3}}])
def test_messages_that_nobody_would_hear_are_refused(work: Work, embedding: dict):
    config = settings(embedding=embedding | {"spectral": {"dim": 0}})
    with pytest.raises(ConfigError, match="A sequence encoder passes no messages"):
        embed_graph(work.model(), work.split().train, None, config.embedding)
    with pytest.raises(ConfigError, match="A sequence encoder passes no messages"):
        amity.train(work.split(), config)


def test_damage_that_could_not_be_felt_is_refused(work: Work):
    with pytest.raises(ConfigError, match="would seem to keep everything"):
        damaged_table(work, DamageConfig())


def test_other_candidates_are_refused(work: Work, tmp_path: Path):
    tiny.write_sequences(tmp_path / "tables", items=31)
    graph = amity.read_graph(tmp_path / "tables", storage=tmp_path / "graph")
    with pytest.raises(DataError, match="Embed the graph that it was trained on"):
        amity.embed(work.model(), graph)
