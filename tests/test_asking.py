"""With what clusters are asked, and how likely they are: beside the vectors, of every way to embed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amity.embedding import EmbeddingConfig, Embeddings, SpectralConfig, embed_graph, open_embeddings
from amity.embedding.questions import PromptedCodes
from amity.encoder import Division, EncoderConfig, Model, build_model
from amity.encoder.question_head import QuestionHead
from amity.errors import ArtifactError
from amity.graph import Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary

CLUSTERS, DIM = 3, 8
KINDS = ["product", "token", "mmoe"]
SPECTRAL = SpectralConfig(dim=4, power=1.0, share=1.0)


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


def questions(made: Embeddings, queries: np.ndarray | None = None, *, clusters: int = CLUSTERS) -> np.ndarray:
    """With what all who ask, or some, ask each cluster."""
    rows = np.arange(made.graph.num_nodes)[made.graph.queries.rows] if queries is None else queries
    return np.stack(made.asked_each(rows, clusters=clusters))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message_pass", [0.0, 0.3])
def test_before_training_every_cluster_is_asked_with_the_vectors(graph: Graph, kind: str, message_pass: float):
    config = EmbeddingConfig(message_pass=message_pass, spectral=SPECTRAL)
    made = embed_graph(model_of(graph, shaken=False, kind=kind), graph, None, config)
    assert made.asking is not None
    for asked in questions(made):
        np.testing.assert_array_equal(asked, made.vectors)
    np.testing.assert_allclose(made.intent, 1 / CLUSTERS, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["cosine", "dot"])
@pytest.mark.parametrize("message_pass", [0.0, 0.3])
@pytest.mark.parametrize("spectral", [SPECTRAL, SpectralConfig(dim=0)])
def test_clusters_are_asked_with_what_the_head_makes_of_the_codes(
    shop: Graph, kind: str, output: str, message_pass: float, spectral: SpectralConfig
):
    """A message pass mixes it with what the vector has heard, and the eigenvectors' columns are the vector's."""
    model, plain = model_of(shop, kind=kind, output=output), EmbeddingConfig(spectral=SpectralConfig(dim=0))
    encoder, rows = model.encoder, shop.queries.rows
    codes = torch.from_numpy(embed_graph(shared_by(model, output="dot"), shop, None, plain).vectors[rows])
    alone = embed_graph(model, shop, None, plain).vectors[rows]
    made = embed_graph(model, shop, None, EmbeddingConfig(message_pass=message_pass, spectral=spectral))
    vectors, degrees = made.vectors[rows], torch.from_numpy(shop.messages.degrees()[rows].astype(np.float32))
    heard = vectors[:, :DIM] - (1 - message_pass) * alone
    with torch.no_grad():
        own = torch.stack([encoder.stretch(one, degrees) for one in encoder.ask(codes)]).numpy()
    found = questions(made)
    assert np.abs(found[..., :DIM] - vectors[:, :DIM]).max() > 0.1
    np.testing.assert_allclose(found[..., :DIM], (1 - message_pass) * own + heard, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[..., DIM:], [vectors[:, DIM:]] * CLUSTERS)
    assert encoder.intent is not None
    np.testing.assert_allclose(made.intent, encoder.intent(codes).softmax(1).detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(made.intent.sum(1), 1, rtol=1e-5)


def shared_by(model: Model, **changes: Any) -> Model:
    """The same encoder without anything of clusters, and with other settings."""
    encoder = type(model.encoder)(model.encoder.config.model_copy(update=changes), model.transform, seed=0)
    encoder.load_state_dict(model.encoder.state_dict(), strict=False)
    return Model(encoder, model.transform)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_hangs_on_no_other_query_and_on_no_other_cluster(shop: Graph, kind: str):
    made = embed_graph(model_of(shop, kind=kind), shop)
    together = questions(made)
    for query in (30, 47, 79):
        np.testing.assert_allclose(questions(made, np.array([query]))[:, 0], together[:, query - 30], atol=1e-6)
    for cluster, asked in enumerate(together):
        np.testing.assert_allclose(made.asked(np.arange(30, 80), cluster=cluster), asked, atol=1e-6)
    np.testing.assert_allclose(questions(made, clusters=2), together[:2], atol=1e-6)


def test_questions_are_those_of_the_graph_that_was_embedded_whatever_is_known_since(graph: Graph, make_friend_graph):
    made = embed_graph(model_of(graph), graph)
    rng = np.random.default_rng(0)
    fuller = make_friend_graph(*rng.integers(0, 100, (2, 2000)), num_nodes=100)
    np.testing.assert_array_equal(questions(replace(made, graph=fuller)), questions(made))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["single", "half"])
def test_what_clusters_are_asked_with_lies_on_disk_as_in_memory_whatever_the_chunk(
    shop: Graph, tmp_path: Path, precision: str, kind: str
):
    page = {"precision": precision, "message_pass": 0.2, "spectral": SPECTRAL.model_dump()}
    config = EmbeddingConfig.model_validate(page)
    small = config.model_copy(update={"chunk": 17, "memory_gib": 1e-9})
    model = model_of(shop, kind=kind)
    inside, mapped = embed_graph(model, shop, None, config), embed_graph(model, shop, tmp_path, small)
    assert isinstance(np.load(tmp_path / "codes.npy", mmap_mode="r"), np.memmap)
    assert isinstance(mapped.asking, PromptedCodes)
    assert mapped.asking.codes.dtype == mapped.vectors.dtype == (np.float32 if precision == "single" else np.float16)
    assert questions(mapped).dtype == np.float32
    np.testing.assert_allclose(questions(mapped), questions(inside), atol=1e-6 if precision == "single" else 2e-3)
    np.testing.assert_array_equal(questions(open_embeddings(tmp_path, shop)), questions(mapped))
    np.testing.assert_allclose(mapped.intent, inside.intent, atol=1e-6)
    np.testing.assert_array_equal(questions(mapped)[:, :, DIM:], [mapped.vectors[30:, DIM:]] * CLUSTERS)


def test_training_that_goes_on_changes_no_question_of_what_was_embedded(shop: Graph):
    model = model_of(shop)
    made = embed_graph(model, shop)
    before = questions(made)
    for parameter in model.encoder.parameters():
        parameter.data.mul_(2)
    np.testing.assert_array_equal(questions(made), before)


def test_what_is_stored_of_a_query_does_not_grow_with_the_clusters(shop: Graph, tmp_path: Path):
    few, many = (stored(shop, tmp_path / str(clusters), clusters) for clusters in (2, 40))
    assert few.pop("head.safetensors") < many.pop("head.safetensors")
    assert few == many
    assert set(few) == {"vectors.npy", "codes.npy", "lengths.npy"}
    assert few["codes.npy"] == np.zeros((50, DIM), np.float32).nbytes + 128


def stored(graph: Graph, directory: Path, clusters: int) -> dict[str, int]:
    config = EncoderConfig.model_validate({"dim": DIM, "features": {"ids": "learned"}})
    embed_graph(build_model(graph, config, seed=0, division=Division(clusters)), graph, directory)
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def test_without_prompts_all_clusters_are_asked_with_the_vectors_and_nothing_else_is_kept(graph: Graph, tmp_path: Path):
    embed_graph(model_of(graph), graph, tmp_path)
    np.save(tmp_path / "asking.npy", np.zeros(1))
    made = embed_graph(model_of(graph, kind="none"), graph, tmp_path)
    assert made.asking is None
    assert made.intent is not None
    assert {path.name for path in tmp_path.iterdir()} == {"vectors.npy", "intent.npy"}


@pytest.mark.parametrize("name", ["head.safetensors", "codes.npy", "lengths.npy"])
@pytest.mark.parametrize("harm", ["torn", "gone", "empty"])
def test_codes_and_a_head_that_are_not_whole_are_refused(shop: Graph, tmp_path: Path, name: str, harm: str):
    embed_graph(model_of(shop), shop, tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if harm != "gone":
        path.write_bytes(content[: len(content) // 2] if harm == "torn" else b"")
    with pytest.raises(ArtifactError, match=rf"{name} (cannot|is not a head that can) be (read|used).* Embed again"):
        open_embeddings(tmp_path, shop)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"codes": np.zeros((49, 8), np.float32)}, r"codes.npy .* 50 nodes of the graph ask by a head of codes of 8 "),
        ({"codes": np.zeros((50, 7), np.float32)}, r"codes.npy .* 50 nodes of the graph ask by a head of codes of 8 "),
        ({"codes": np.zeros((50, 8), np.float16)}, r"codes.npy .* beside vectors of 8 in float32"),
        ({"vectors": np.zeros((80, 7), np.float32)}, r"codes.npy .* beside vectors of 7 in float32"),
        ({"lengths": np.zeros(49, np.float32)}, r"lengths.npy .* 50 nodes of the graph ask, in single precision"),
        ({"lengths": np.zeros(50, np.float64)}, r"lengths.npy .* 50 nodes of the graph ask, in single precision"),
        ({"intent": np.zeros((50, 4), np.float32)}, r"intent.npy .* 3 clusters are asked"),
        ({"asking": np.zeros((3, 50, 8), np.float32)}, r"asking.npy .* a head that makes questions .* lies beside it"),
    ],
)
def test_codes_must_fit_the_head_the_vectors_and_the_graph(
    shop: Graph, tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
):
    embed_graph(model_of(shop), shop, tmp_path, EmbeddingConfig(spectral=SpectralConfig(dim=0)))
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(ArtifactError, match=complaint):
        open_embeddings(tmp_path, shop)


@pytest.mark.parametrize(
    "settings", [{"kind": "none"}, {"at": "inputs"}, {"kind": "mmoe", "at": "inputs"}, {"kind": "token"}, {"hidden": 3}]
)
def test_a_head_of_other_settings_than_its_tensors_is_refused(shop: Graph, tmp_path: Path, settings: dict[str, Any]):
    head = QuestionHead.of(model_of(shop).encoder)
    assert head is not None
    other = EncoderConfig.model_validate({"dim": DIM, "prompts": settings})
    replace(head, config=other).save(tmp_path / "head.safetensors")
    with pytest.raises(ArtifactError, match=r"head.safetensors is not a head that can be used"):
        QuestionHead.open(tmp_path / "head.safetensors")


def test_candidates_keep_the_vectors_of_the_shared_encoder(graph: Graph):
    model = model_of(graph)
    np.testing.assert_array_equal(embed_graph(model, graph).vectors, embed_graph(shared_by(model), graph).vectors)
