"""With what clusters are asked, and how likely they are: beside the vectors, of every way to embed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amity.embedding import EmbeddingConfig, SpectralConfig, embed_graph
from amity.encoder import Division, EncoderConfig, Model, build_model
from amity.graph import Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary

CLUSTERS, DIM = 3, 8


@pytest.fixture(scope="module")
def graph(make_random_friend_graph: Callable[..., Graph]) -> Graph:
    return make_random_friend_graph(100, 400, 2)


@pytest.fixture(scope="module")
def shop() -> Graph:
    """30 items that 50 users like; users come second."""
    rng = np.random.default_rng(0)
    likes = from_pairs(30 + rng.integers(0, 50, 300), rng.integers(0, 30, 300), num_nodes=80)
    items, users = (
        NodeKind(name, first, integer_vocabulary(np.arange(count)))
        for name, first, count in (("item", 0, 30), ("user", 30, 50))
    )
    relation = Relation("likes", "user", "item", undirected=False, adjacency=likes)
    return Graph((items, users), (relation,), union(likes, reverse(likes)))


def model_of(graph: Graph, *, shaken: bool = True, kind: str = "product", **settings: Any) -> Model:
    page = {"dim": DIM, "prompts": {"kind": kind}, "features": {"ids": "learned"}} | settings
    division = Division(CLUSTERS, intent=True)
    model = build_model(graph, EncoderConfig.model_validate(page), seed=0, division=division)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.encoder.parameters() if shaken else ():
        parameter.data += torch.randn(parameter.shape, generator=generator) / 4
    return model


@pytest.mark.parametrize("kind", ["product", "token", "mmoe"])
@pytest.mark.parametrize("message_pass", [0.0, 0.3])
def test_before_training_every_cluster_is_asked_with_the_vectors(graph: Graph, kind: str, message_pass: float):
    config = EmbeddingConfig(message_pass=message_pass, spectral=SpectralConfig(dim=4, power=1.0, share=1.0))
    made = embed_graph(model_of(graph, shaken=False, kind=kind), graph, None, config)
    assert made.asking is not None
    for asked in made.asking:
        np.testing.assert_array_equal(asked, made.vectors)
    np.testing.assert_allclose(made.intent, 1 / CLUSTERS, rtol=1e-6)


@pytest.mark.parametrize("output", ["cosine", "dot"])
def test_clusters_are_asked_with_what_the_head_makes_of_the_codes(shop: Graph, output: str):
    model = model_of(shop, output=output, popularity=0)
    encoder = model.encoder
    codes = torch.from_numpy(embed_graph(shared_by(model, output="dot"), shop).vectors[shop.queries.rows])
    made = embed_graph(model, shop)
    assert made.asking is not None
    assert made.asking.shape == (CLUSTERS, 50, DIM)
    np.testing.assert_allclose(made.asking, encoder.ask(codes).detach(), rtol=1e-4, atol=1e-5)
    assert encoder.intent is not None
    np.testing.assert_allclose(made.intent, encoder.intent(codes).softmax(1).detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.intent.sum(1), 1, rtol=1e-5)


def shared_by(model: Model, **changes: Any) -> Model:
    """The same encoder without anything of clusters, and with other settings."""
    encoder = type(model.encoder)(model.encoder.config.model_copy(update=changes), model.transform, seed=0)
    encoder.load_state_dict(model.encoder.state_dict(), strict=False)
    return Model(encoder, model.transform)


@pytest.mark.parametrize("precision", ["single", "half"])
def test_what_clusters_are_asked_with_lies_on_disk_as_in_memory_whatever_the_chunk(
    shop: Graph, tmp_path: Path, precision: str
):
    config = EmbeddingConfig.model_validate(
        {"precision": precision, "message_pass": 0.2, "spectral": {"dim": 4, "power": 1.0, "share": 1.0}}
    )
    small = config.model_copy(update={"chunk": 17, "memory_gib": 1e-9})
    model = model_of(shop)
    inside, mapped = embed_graph(model, shop, None, config), embed_graph(model, shop, tmp_path, small)
    assert isinstance(np.load(tmp_path / "asking.npy", mmap_mode="r"), np.memmap)
    assert mapped.asking is not None
    assert inside.asking is not None
    assert mapped.asking.dtype == inside.asking.dtype == inside.vectors.dtype
    np.testing.assert_allclose(mapped.asking, inside.asking, atol=1e-6 if precision == "single" else 2e-3)
    np.testing.assert_allclose(mapped.intent, inside.intent, atol=1e-6)
    np.testing.assert_array_equal(mapped.asking[:, :, DIM:], [mapped.vectors[30:, DIM:]] * CLUSTERS)


def test_without_prompts_all_clusters_are_asked_with_the_vectors_and_nothing_else_is_kept(graph: Graph, tmp_path: Path):
    embed_graph(model_of(graph), graph, tmp_path)
    made = embed_graph(model_of(graph, kind="none"), graph, tmp_path)
    assert made.asking is None
    assert made.intent is not None
    assert not (tmp_path / "asking.npy").exists()


def test_candidates_keep_the_vectors_of_the_shared_encoder(graph: Graph):
    model = model_of(graph)
    np.testing.assert_array_equal(embed_graph(model, graph).vectors, embed_graph(shared_by(model), graph).vectors)
