"""The sequence encoder is causal, blind to what is before a history, and what its formulas say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from amity.encoder import Division, EncoderConfig, FeatureTransform, Model, SequenceEncoder, build_model
from amity.encoder.prompts import UNDIVIDED, ProductInputs
from amity.encoder.sequence_encoder import Block, attended, check_items, fit_items, idle
from amity.errors import ConfigError, DataError
from amity.splitting import Split

LENGTH, ITEMS = 12, 30


@pytest.fixture(scope="module")
def split(make_history_split: Callable[..., Split]) -> Split:
    return make_history_split(20, ITEMS, seed=1)


@pytest.fixture(scope="module")
def transform(split: Split) -> FeatureTransform:
    return fit_items(split.train)


@pytest.fixture(scope="module")
def encoder(transform: FeatureTransform) -> SequenceEncoder:
    return shaken(transform)


def config(**changed: object) -> EncoderConfig:
    sequence = {"length": LENGTH, "heads": 2, "layers": 2, "dropout": 0.3}
    page = {"kind": "sequence", "dim": 8, "output": "dot", "sequence": sequence}
    return EncoderConfig.model_validate(page | changed)


def shaken(transform: FeatureTransform, *, division: Division = UNDIVIDED, **changed: object) -> SequenceEncoder:
    """An encoder in which nothing is zero or one, so that whatever could count does."""
    encoder = SequenceEncoder(config(**changed), transform, seed=0, division=division)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return encoder


def histories(*rows: list[int], length: int = LENGTH) -> torch.Tensor:
    return torch.tensor([[-1] * (length - len(row)) + row for row in rows])


def vectors_at(encoder: SequenceEncoder, items: torch.Tensor, **rest: torch.Tensor | torch.Generator) -> torch.Tensor:
    """At each place of some histories."""
    return encoder.scale(encoder.codes(items, **rest))


items_of = st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=LENGTH - 1)


@settings(max_examples=30)
@given(first=items_of, others=items_of)
def test_what_comes_later_changes_nothing_before(encoder: SequenceEncoder, first: list[int], others: list[int]):
    kept = len(first) // 2
    changed = first[:kept] + [(item + 1 + others[0]) % ITEMS for item in first[kept:]]
    before, after = vectors_at(encoder, histories(first)), vectors_at(encoder, histories(changed))
    seen = LENGTH - len(first) + kept
    torch.testing.assert_close(before[:, :seen], after[:, :seen])


@settings(max_examples=30)
@given(items=items_of, others=items_of)
def test_what_stands_before_a_history_or_beside_it_changes_nothing(
    encoder: SequenceEncoder, items: list[int], others: list[int]
):
    alone = vectors_at(encoder, histories(items, length=len(items) + 1))
    beside = vectors_at(encoder, histories(items, others))
    torch.testing.assert_close(beside[:1, -len(items) - 1 :], alone)


def test_who_has_no_history_is_told_by_the_start_of_all_others(encoder: SequenceEncoder):
    whole = vectors_at(encoder, histories([3, 9, 4], [], [1] * (LENGTH - 1)))
    start = whole[2, 0]
    torch.testing.assert_close(whole[1], start.expand(LENGTH, -1))
    torch.testing.assert_close(whole[0, : LENGTH - 3], start.expand(LENGTH - 3, -1))
    assert not torch.allclose(whole[0, -1], start)


def test_the_order_of_a_history_counts(encoder: SequenceEncoder):
    states = vectors_at(encoder, histories([1, 2, 3], [2, 1, 3]))[:, -1]
    assert not torch.allclose(states[0], states[1], atol=1e-3)


@pytest.mark.parametrize("kind", ["product", "token"])
def test_prompts_at_the_inputs_begin_as_none_to_the_bit(transform: FeatureTransform, kind: str):
    items, clusters = histories([3, 9, 4], [7], []), torch.tensor([2, 0, 1])
    prompts = {"kind": kind, "at": "inputs"}
    plain, prompted = (
        SequenceEncoder(config(prompts=prompts), transform, seed=0, division=Division(count)) for count in (1, 3)
    )
    assert torch.equal(vectors_at(prompted, items, clusters=clusters), vectors_at(plain, items))


def test_a_product_at_the_inputs_is_multiplied_into_every_vector_that_enters(transform: FeatureTransform):
    items, clusters = histories([3, 9, 4], [7], []), torch.tensor([2, 0, 1])
    encoder = shaken(transform, prompts={"kind": "product", "at": "inputs"}, division=Division(3))
    assert isinstance(encoder.prompts, ProductInputs)
    prompted = vectors_at(encoder, items, clusters=clusters)
    table = encoder.items.weight.data.clone()
    for row in range(3):
        encoder.items.weight.data = table * encoder.prompts.prompts[clusters[row]]
        torch.testing.assert_close(prompted[row], vectors_at(encoder, items[row : row + 1])[0])


def test_a_token_at_the_inputs_is_heard_by_every_place_and_is_the_clusters_own(transform: FeatureTransform):
    items = histories([3, 9, 4], [7, 3], [1])
    encoder = shaken(transform, prompts={"kind": "token", "at": "inputs"}, division=Division(3))
    first, second = (vectors_at(encoder, items, clusters=torch.full((3,), cluster)) for cluster in (0, 1))
    told = torch.cat([items[:, 1:] >= 0, torch.ones(3, 1, dtype=torch.bool)], dim=1)  # The start, and all items.
    assert ((first - second).abs().amax(2) > 1e-4)[told].all()


def test_experts_at_the_inputs_are_refused(transform: FeatureTransform):
    with pytest.raises(ConfigError, match="stands behind the encoder"):
        SequenceEncoder(config(prompts={"kind": "mmoe", "at": "inputs"}), transform, seed=0, division=Division(2))


def test_a_place_attends_to_itself_and_to_items_and_the_start_before_it():
    missing = torch.tensor([[True, True, False, False], [True, True, True, True], [False, False, False, False]])
    expected = [
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    ]
    assert torch.equal(attended(missing), torch.tensor(expected, dtype=torch.bool))


def test_a_block_is_what_torch_makes_of_the_same_parameters(encoder: SequenceEncoder):
    (block, *_), dim = encoder.blocks, 8
    assert isinstance(block, Block)
    attention = nn.MultiheadAttention(dim, 2, batch_first=True)
    norms = [nn.LayerNorm(dim) for _ in range(2)]
    inner, outer = nn.Linear(dim, block.inner.shape[1]), nn.Linear(block.inner.shape[1], dim)
    with torch.no_grad():
        for norm, weight, shift in zip(norms, block.norms, block.shifts, strict=True):
            norm.weight.copy_(weight)
            norm.bias.copy_(shift)
        attention.in_proj_weight.copy_(block.asking.T)
        attention.in_proj_bias.copy_(block.asking_bias)
        for layer, weight, bias in (
            (attention.out_proj, block.heard, block.heard_bias),
            (inner, block.inner, block.inner_bias),
            (outer, block.outer, block.outer_bias),
        ):
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
    states = torch.randn(3, 5, dim)
    seen = torch.ones(5, 5, dtype=torch.bool).tril()
    normed = norms[0](states)
    heard = states + attention(normed, normed, normed, attn_mask=~seen)[0]
    expected = heard + outer(nn.functional.gelu(inner(norms[1](heard))))
    found = block(states, states, seen.expand(3, 5, 5), rate=0.5, generator=None)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_some_places_have_the_states_that_they_have_among_all(transform: FeatureTransform, layers: int):
    encoder = shaken(transform, sequence={"length": LENGTH, "heads": 2, "layers": layers})
    items, places = histories([3, 9, 4], [7], [1] * (LENGTH - 1)), torch.tensor([[11, 9], [11, 10], [0, 5]])
    whole = encoder.codes(items)
    torch.testing.assert_close(encoder.codes(items, places), whole[torch.arange(3)[:, None], places])
    assert encoder.codes(items, places[:, :0]).shape == (3, 0, encoder.dim)


def test_some_places_have_the_interests_that_they_have_among_all(transform: FeatureTransform):
    encoder = shaken(transform, sequence={"length": LENGTH, "heads": 2, "layers": 0, "interests": 3})
    items, places = histories([3, 9, 4], [7]), torch.tensor([[11, 9], [11, 10]])
    assert encoder.pooling is not None
    whole = encoder.pooling(encoder.codes(items), idle(items < 0))
    torch.testing.assert_close(encoder.reach(items, places), whole[torch.arange(2)[:, None], places])


def test_entries_are_dropped_as_the_generator_says_and_only_in_training(encoder: SequenceEncoder):
    items = histories([3, 9, 4])
    once, again = (vectors_at(encoder, items, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(vectors_at(encoder, items), vectors_at(encoder, items))
    assert not torch.allclose(once, vectors_at(encoder, items))


def test_under_cosine_all_vectors_have_length_one_and_the_popular_are_stretched(transform: FeatureTransform):
    encoder = shaken(transform, output="cosine", popularity=0.5)
    assert torch.allclose(vectors_at(encoder, histories([3, 9]))[0, -1].norm(), torch.ones(()))
    vectors = encoder.vectors_of(torch.arange(ITEMS))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(ITEMS))
    stretched = encoder.stretch(vectors, torch.arange(ITEMS).float())
    torch.testing.assert_close(stretched.norm(dim=1), torch.arange(ITEMS).float().clamp(min=1).sqrt())


def test_a_sparse_table_has_the_gradient_of_a_dense_one(transform: FeatureTransform, monkeypatch: pytest.MonkeyPatch):
    gradients = []
    for limit in (ITEMS + 1, ITEMS):
        monkeypatch.setattr("amity.encoder.sequence_encoder.DENSE_ITEMS", limit)
        encoder = shaken(transform)
        (vectors_at(encoder, histories([3, 9, 4])).sum() + encoder.vectors_of(torch.tensor([3, 5])).sum()).backward()
        gradients.append(encoder.items.weight.grad)
    dense, sparse = gradients
    assert sparse.is_sparse
    assert not dense.is_sparse
    torch.testing.assert_close(sparse.to_dense(), dense)
    assert set(sparse.coalesce().indices()[0].tolist()) == {3, 4, 5, 9, ITEMS}


def test_heads_that_do_not_share_the_width_are_refused(transform: FeatureTransform):
    with pytest.raises(ConfigError, match=r"encoder\.sequence\.heads"):
        SequenceEncoder(config(dim=9), transform, seed=0)


def test_a_model_of_histories_comes_back_whole_and_refuses_other_candidates(split: Split, tmp_path: Path):
    model = build_model(split.train, config(), seed=3)
    model.save(tmp_path / "model.safetensors")
    read = Model.open(tmp_path / "model.safetensors")
    assert isinstance(read.encoder, SequenceEncoder)
    assert read.encoder.config == model.encoder.config
    items = histories([1, 2])
    assert torch.equal(vectors_at(read.encoder, items), vectors_at(model.encoder, items))
    check_items(read.transform, split.train)
    users, candidates = split.train.kinds
    fewer = replace(candidates, vocabulary=users.vocabulary)
    with pytest.raises(DataError, match="Embed the graph that it was trained on"):
        check_items(read.transform, replace(split.train, kinds=(users, fewer)))
