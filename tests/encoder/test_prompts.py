"""Prompts: where they begin, what they are, and that clusters are only numbers."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amity.encoder import Division, EncoderConfig, Model, PromptsConfig, build_model
from amity.encoder.intent import IntentHead
from amity.encoder.prompts import make_prompts
from amity.errors import ConfigError
from amity.graph import Graph

KINDS = ["product", "token", "mmoe"]
CLUSTERS, DIM = 5, 8


def head_of(kind: str, *, shaken: bool) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    head = make_prompts(PromptsConfig.model_validate({"kind": kind}), clusters=CLUSTERS, dim=DIM, generator=generator)
    assert head is not None
    if shaken:
        for parameter in head.parameters():
            parameter.data += torch.randn(parameter.shape, generator=generator) / 3
    return head


@pytest.fixture
def codes() -> Tensor:
    return torch.randn(20, DIM, generator=torch.Generator().manual_seed(1))


def each(said: Tensor) -> Iterator[tuple[int, int, np.ndarray]]:
    """Every cluster, every query, and what is said there."""
    return ((k, row, said[k, row].detach().numpy()) for k in range(CLUSTERS) for row in range(20))


@pytest.mark.parametrize("kind", KINDS)
def test_every_prompt_begins_at_the_shared_code_to_the_bit(kind: str, codes: Tensor):
    assert torch.equal(head_of(kind, shaken=False)(codes), codes.expand(CLUSTERS, -1, -1))


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_at_the_start_a_divided_model_is_the_shared_one_to_the_bit(
    make_random_friend_graph: Callable[..., Graph], kind: str
):
    graph = make_random_friend_graph(60, 200)
    config = EncoderConfig.model_validate({"dim": DIM, "prompts": {"kind": kind}})
    shared = build_model(graph, config, seed=3)
    divided = build_model(graph, config, seed=3, division=Division(CLUSTERS, intent=True))
    before, after = shared.encoder.state_dict(), divided.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    codes = torch.randn(20, DIM)
    (alone,) = shared.encoder.ask(codes)
    assert all(torch.equal(asking, alone) for asking in divided.encoder.ask(codes))


@pytest.mark.parametrize("kind", KINDS)
def test_renaming_clusters_renames_what_they_are_asked_with(kind: str, codes: Tensor):
    head, order = head_of(kind, shaken=True), torch.tensor([3, 0, 4, 1, 2])
    before = head(codes)
    own = {"product": "prompts", "token": "tokens", "mmoe": "gates"}[kind]
    getattr(head, own).data[order] = getattr(head, own).data.clone()
    torch.testing.assert_close(head(codes)[order], before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_tells_clusters_apart_and_looks_at_one_query_at_a_time(kind: str, codes: Tensor):
    head = head_of(kind, shaken=True)
    said = head(codes)
    assert not torch.allclose(said, said.roll(1, 0), atol=1e-3)
    alone = torch.cat([head(codes[row : row + 1]) for row in range(20)], dim=1)
    torch.testing.assert_close(alone, said)


def test_the_product_is_its_formula(codes: Tensor):
    head = head_of("product", shaken=True)
    t, W1, W2 = (getattr(head, name).detach().numpy() for name in ("prompts", "inner", "outer"))
    for k, row, found in each(head(codes)):
        h = codes[row].numpy()
        expected = t[k] * h + np.maximum((t[k] * h) @ W1, 0) @ W2
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_token_is_its_formula(codes: Tensor):
    head = head_of("token", shaken=True)
    v, W1, W2 = (getattr(head, name).detach().numpy() for name in ("tokens", "inner", "outer"))
    for k, row, found in each(head(codes)):
        h = codes[row].numpy()
        np.testing.assert_allclose(found, h + np.maximum(h @ W1 + v[k], 0) @ W2, rtol=1e-4, atol=1e-5)


def test_a_mixture_of_experts_is_its_formula(codes: Tensor):
    head = head_of("mmoe", shaken=True)
    G, W1, W2 = (getattr(head, name).detach().numpy() for name in ("gates", "inner", "outer"))
    for k, row, found in each(head(codes)):
        h = codes[row].numpy()
        weights = np.exp(h @ G[k])
        weights /= weights.sum()
        expected = h + sum(g * (np.maximum(h @ one, 0) @ two) for g, one, two in zip(weights, W1, W2, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_in_a_head_learns(kind: str, codes: Tensor):
    head = head_of(kind, shaken=True)
    head(codes).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_there_is_no_prompt_where_there_is_one_cluster_or_none_is_wanted():
    generator = torch.Generator()
    assert make_prompts(PromptsConfig(kind="product"), clusters=1, dim=DIM, generator=generator) is None
    assert make_prompts(PromptsConfig(kind="none"), clusters=9, dim=DIM, generator=generator) is None


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_a_model_file_keeps_its_prompts_and_says_how_many_clusters_there_are(
    make_random_friend_graph: Callable[..., Graph], tmp_path, kind: str
):
    graph = make_random_friend_graph(60, 200)
    config = EncoderConfig.model_validate({"dim": DIM, "prompts": {"kind": kind}})
    model = build_model(graph, config, seed=3, division=Division(CLUSTERS, intent=True))
    for parameter in model.encoder.parameters():
        parameter.data += 0.1
    model.save(tmp_path / "model.safetensors")
    opened = Model.open(tmp_path / "model.safetensors")
    assert opened.encoder.division == Division(CLUSTERS, intent=True)
    before, after = model.encoder.state_dict(), opened.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_prompts_at_the_inputs_of_a_graph_encoder_are_refused(make_random_friend_graph: Callable[..., Graph]):
    config = EncoderConfig(prompts=PromptsConfig(kind="product", at="inputs"))
    with pytest.raises(ConfigError, match=r"a pass of the graph encoder for each cluster"):
        build_model(make_random_friend_graph(20, 40), config, seed=0, division=Division(2))


def test_intent_begins_uniform_and_ignores_how_long_a_code_is(codes: Tensor):
    head = IntentHead(CLUSTERS, DIM)
    torch.testing.assert_close(head(codes).softmax(1), torch.full((20, CLUSTERS), 1 / CLUSTERS))
    for parameter in head.parameters():
        parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(head(7 * codes), head(codes))
    torch.testing.assert_close(head(codes).softmax(1).sum(1), torch.ones(20))
