"""A model is judged among a pool as it would be among all, by edges that no vector has heard of."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from amity.clustering import Clusters
from amity.embedding import embed_graph
from amity.encoder import EncoderConfig, Model, build_model
from amity.evaluation import EvaluationConfig, evaluate, fit_confidence
from amity.graph import Graph
from amity.index import IndexConfig
from amity.objectives import ObjectivesConfig
from amity.pipeline.validation import draw_pool, embed_sampled, recall_among, recall_among_all, validation
from amity.retrieval import DividedRetriever
from amity.sampling import SamplingConfig
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Recipe, TrainingConfig

EVERYBODY = (-1, -1)


@pytest.fixture(scope="module")
def split(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    graph = make_random_friend_graph(300, 2500, 1)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=0)


@pytest.fixture(scope="module")
def model(split: Split) -> Model:
    return build_model(split.train, EncoderConfig(dim=16), seed=0)


def test_among_a_pool_of_all_recall_is_what_it_is_among_all(split: Split, model: Model):
    pool = draw_pool(split, 300, seed=0)
    assert np.array_equal(pool.candidates, np.arange(300))
    whole = recall_among_all(model, split, seed=0)
    assert whole > 0
    assert recall_among(pool, model, split, fanout=EVERYBODY, seed=0) == pytest.approx(whole, abs=1e-3)


def test_a_pool_holds_every_held_out_friend_once_and_is_the_same_for_a_seed(split: Split):
    for size in (1, 150, 280):
        pool = draw_pool(split, size, seed=4).candidates
        assert np.isin(split.valid.truth.indices, pool).all()  # There are fewer queries than a validation asks.
        assert (np.diff(pool) > 0).all()
        assert len(pool) == max(size, len(np.unique(split.valid.truth.indices)))
        assert np.array_equal(pool, draw_pool(split, size, seed=4).candidates)


def test_no_vector_of_the_pool_has_heard_of_a_held_out_edge(split: Split, model: Model):
    """The vectors stay as they are when the held-out edges are other ones."""
    nodes = np.arange(0, 300, 3)
    other = replace(split, valid=split.test, test=split.valid)
    first, second = (embed_sampled(model, one, nodes, fanout=(5, 5), seed=1) for one in (split, other))
    assert np.array_equal(first, second)
    train = split.train.messages
    held_out = zip(split.valid.truth.sources(), split.valid.truth.indices, strict=True)
    assert not any(target in train.neighbors(source) for source, target in held_out)


def test_the_setting_decides_who_is_ranked(split: Split, model: Model):
    def judge(candidates: int) -> float:
        training = TrainingConfig(validation_candidates=candidates)
        recipe = Recipe(SamplingConfig(fanout=EVERYBODY), EncoderConfig(dim=16), ObjectivesConfig(), training)
        return validation(split, recipe, seed=0)(model)

    assert judge(300) == recall_among_all(model, split, seed=0)
    assert judge(299) == recall_among(draw_pool(split, 299, seed=0), model, split, fanout=EVERYBODY, seed=0)


@pytest.mark.parametrize("kind", ["none", "product"])
def test_a_divided_model_is_judged_as_the_divided_retriever_over_all_candidates(split: Split, kind: str):
    clusters = Clusters((np.arange(300) % 4).astype(np.int32), tuple("abcd"))
    encoder = EncoderConfig.model_validate({"dim": 16, "prompts": {"kind": kind}})
    recipe = Recipe(SamplingConfig(fanout=EVERYBODY), encoder, ObjectivesConfig(), TrainingConfig(), clusters)
    model = build_model(split.train, encoder, seed=0, division=recipe.division)
    for parameter in model.encoder.parameters():
        parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) / 10
    retriever = DividedRetriever.build(embed_graph(model, split.train), clusters, IndexConfig(kind="exact"))
    retriever = replace(retriever, confidence=fit_confidence(retriever, split.valid, seed=0))
    config = EvaluationConfig(queries=2000, k=(50,), headline=50)
    whole = evaluate(retriever, split.train, split.valid, config).values["recall@50"].mean()
    assert whole > 0
    assert validation(split, recipe, seed=0)(model) == pytest.approx(whole, abs=2e-3)
    training = TrainingConfig(validation_candidates=299)
    pooled = validation(split, replace(recipe, training=training), seed=0)(model)
    assert pooled == pytest.approx(whole, abs=0.02)
