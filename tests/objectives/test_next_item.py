"""The losses over histories are their formulas; columns that were taken and places that are empty play no part."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.clustering import Clusters
from amity.encoder import Division, EncoderConfig, SequenceEncoder, build_model
from amity.objectives import NextItem, ObjectivesConfig
from amity.objectives.next_item import (
    AT_ONCE,
    bce_loss,
    learned_codes,
    nearest_interests,
    set_places,
    softmax_loss,
)
from amity.sampling import HistoryBatch, HistoryMaker, SamplingConfig
from amity.splitting import Split

LENGTH, ITEMS = 12, 30


@pytest.fixture(scope="module")
def split(make_history_split: Callable[..., Split]) -> Split:
    return make_history_split(40, ITEMS, seed=0)


@pytest.fixture
def encoder(split: Split) -> SequenceEncoder:
    page = {"kind": "sequence", "dim": 8, "output": "dot", "sequence": {"length": LENGTH, "dropout": 0.0}}
    encoder = build_model(split.train, EncoderConfig.model_validate(page), seed=0).encoder
    assert isinstance(encoder, SequenceEncoder)
    with torch.no_grad():
        encoder.items.weight *= 20
    return encoder


def batch_of(split: Split, *, negatives: int = 100, step: int = 0) -> HistoryBatch:
    config = SamplingConfig(batch_size=40, negatives=negatives, positions=0.7)
    return HistoryMaker.prepare(split, config, length=LENGTH, seed=1)(step)


def retrieval_of(encoder: SequenceEncoder, batch: HistoryBatch, **settings: float) -> torch.Tensor:
    config = ObjectivesConfig.model_validate({"retrieval": settings})
    return NextItem(config)(encoder, batch, seed=0)["retrieval"]


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 3), st.booleans(), st.integers(0, 10_000))
def test_the_softmax_is_its_formula_and_so_is_its_gradient(
    places: int, columns: int, kinds: int, prompted: bool, seed: int
):
    torch.manual_seed(seed)
    prompts = kinds if prompted else 1
    given_ = [torch.randn(*shape, dtype=torch.float64) for shape in ((prompts, places, 4), (columns, 4), (places, 4))]
    homes = torch.randint(prompts, (columns,)).sort().values
    states, table, targets = (one.requires_grad_() for one in given_)
    log_rates, masked = torch.randn(kinds, columns).double(), torch.rand(3, columns) < 0.3
    log_rates[torch.rand(kinds, columns) < 0.2] = torch.inf
    clusters = torch.randint(kinds, (places,)).sort().values
    owners = torch.randint(3, (places,))
    found = softmax_loss(states, (table, homes), targets, (log_rates, clusters), (masked, owners))
    true = (states[clusters if prompted else 0, torch.arange(places)] * targets).sum(1)
    scores = torch.einsum("cpd,cd->pc", states[homes], table)
    others = ((scores - log_rates[clusters]).exp() * ~masked[owners]).sum(1)
    expected = -(true.exp() / (true.exp() + others)).log().mean()
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(3 * loss, (states, table, targets)) for loss in (found, expected))
    for ours, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, oracle)


def test_places_beyond_what_is_computed_at_once_count():
    torch.manual_seed(0)
    states, table = torch.randn(1, 3 * AT_ONCE + 5, 4), (torch.randn(9, 4), torch.zeros(9, dtype=torch.int64))
    targets = torch.randn(states.shape[1], 4)
    nothing = torch.zeros(1, 9, dtype=torch.bool), torch.zeros(len(targets), dtype=torch.int64)
    rates = torch.zeros(1, 9), nothing[1]
    whole = softmax_loss(states, table, targets, rates, nothing)
    one = (rates[0], rates[1][:1]), (nothing[0], nothing[1][:1])
    each = [softmax_loss(states[:, i : i + 1], table, targets[i : i + 1], *one) for i in range(len(targets))]
    torch.testing.assert_close(whole, torch.stack(each).mean())


@pytest.mark.parametrize("prompts", [1, 2])
def test_gradients_of_clusters_beyond_what_is_computed_at_once_are_those_of_the_formula(prompts: int):
    torch.manual_seed(0)
    sizes, columns = (2 * AT_ONCE + 3, AT_ONCE + 7), 11
    clusters = torch.arange(2).repeat_interleave(torch.tensor(sizes))
    shapes = (prompts, len(clusters), 4), (columns, 4), (len(clusters), 4)
    states, table, targets = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    homes, log_rates = torch.randint(prompts, (columns,)).sort().values, torch.randn(2, columns).double()
    masked, owners = torch.rand(5, columns) < 0.3, torch.randint(5, (len(clusters),))
    found = softmax_loss(states, (table, homes), targets, (log_rates, clusters), (masked, owners))
    true = (states[clusters if prompts > 1 else 0, torch.arange(len(clusters))] * targets).sum(1)
    logits = torch.einsum("cpd,cd->pc", states[homes], table) - log_rates[clusters]
    logits = torch.cat([logits.masked_fill(masked[owners], -torch.inf), true[:, None]], dim=1)
    expected = (logits.logsumexp(1) - true).mean()
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(loss, (states, table, targets)) for loss in (found, expected))
    for ours, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, oracle)


def test_over_all_items_the_loss_is_a_softmax_over_what_was_never_taken(split: Split, encoder: SequenceEncoder):
    batch = batch_of(split)
    found = retrieval_of(encoder, batch, temperature=0.5)
    states = encoder.scale(encoder.codes(torch.from_numpy(batch.items)))
    losses = []
    for row, place in zip(*np.nonzero(batch.targets >= 0), strict=True):
        scores = (encoder.items.weight[:-1] @ states[row, place] / 0.5).tolist()
        target = batch.targets[row, place]
        rivals = [math.exp(score) for item, score in enumerate(scores) if not batch.masked[row, item]]
        losses.append(math.log(math.exp(scores[target]) + sum(rivals)) - scores[target])
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_with_some_columns_the_sum_is_right_in_the_mean(split: Split, encoder: SequenceEncoder):
    """Of one place: what stands below the fraction, over many draws of the columns."""
    weight = encoder.items.weight[:-1].detach()
    state, history = weight[3] * 0.5, batch_of(split).masked[0]
    whole = ((weight @ state).exp() * ~torch.from_numpy(history)).sum()
    sums = []
    for step in range(800):
        batch = batch_of(split, negatives=10, step=step)
        columns, rates = torch.from_numpy(batch.columns), torch.from_numpy(batch.log_rates[0])
        free = ~torch.from_numpy(history)[columns]
        sums.append(((weight[columns] @ state - rates).exp() * free).sum().item())
    assert np.mean(sums) == pytest.approx(whole.item(), abs=4 * np.std(sums) / 800**0.5)


def test_a_column_that_was_taken_has_no_gradient(split: Split, encoder: SequenceEncoder):
    batch = batch_of(split)
    everywhere = replace(batch, masked=np.ones_like(batch.masked))
    loss = retrieval_of(encoder, everywhere)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_states_are_those_of_all_histories_at_once(split: Split, encoder: SequenceEncoder):
    batch = batch_of(split)
    codes, learned = learned_codes(encoder, batch, prompted=None, generator=None)
    rows, places = np.nonzero(batch.targets >= 0)
    torch.testing.assert_close(codes, encoder.codes(torch.from_numpy(batch.items))[rows, places])
    assert np.array_equal(learned.targets, batch.targets[rows, places])
    assert np.array_equal(learned.owners, rows)


def test_places_that_are_set_come_first_and_in_order():
    chosen = torch.tensor([[False, True, False, True], [False, False, False, False], [False, False, True, False]])
    places, real = set_places(chosen)
    assert torch.equal(real, torch.tensor([[True, True], [False, False], [True, False]]))
    assert places[real].tolist() == [1, 3, 2]
    assert set_places(chosen[1:2])[0].shape == (1, 0)


def test_a_target_picks_the_interest_that_is_nearest_to_it():
    interests, targets = torch.randn(7, 3, 4), torch.randn(7, 4)
    found = nearest_interests(interests, targets)
    for place in range(7):
        products = [float(one @ targets[place]) for one in interests[place]]
        assert torch.equal(found[place], interests[place, int(np.argmax(products))])


def test_the_binary_loss_is_its_formula_and_leaves_out_what_was_taken():
    true, false = torch.tensor([0.3, -1.2]), torch.tensor([2.0, 0.1])
    expected = -true.sigmoid().log() - torch.tensor([1.0, 0.0]) * (1 - false.sigmoid()).log()
    torch.testing.assert_close(bce_loss(true, false, torch.tensor([False, True])), expected.mean())


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_a_loss_is_a_function_of_the_seed_and_nobody_learns_from_an_empty_batch(
    split: Split, encoder: SequenceEncoder, loss: str
):
    config, batch = ObjectivesConfig.model_validate({"retrieval": {"loss": loss}}), batch_of(split)
    once, again = (NextItem(config)(encoder, batch, seed=4) for _ in range(2))
    assert torch.equal(once["retrieval"], again["retrieval"])
    nothing = replace(batch, targets=np.full_like(batch.targets, -1))
    assert NextItem(config)(encoder, nothing, seed=4)["retrieval"].item() == 0


def divided_encoder(split: Split, at: str) -> SequenceEncoder:
    prompts, sequence = {"kind": "product", "at": at}, {"length": LENGTH, "dropout": 0}
    page = {"kind": "sequence", "dim": 8, "output": "dot", "prompts": prompts, "sequence": sequence}
    config = EncoderConfig.model_validate(page)
    encoder = build_model(split.train, config, seed=0, division=Division(4, intent=True)).encoder
    assert isinstance(encoder, SequenceEncoder)
    return encoder


def divided_batch(split: Split, clusters: Clusters, share: float, *, one_cluster: bool, negatives: int) -> HistoryBatch:
    config = SamplingConfig(batch_size=40, negatives=negatives, positions=0.7, global_share=share)
    make = HistoryMaker.prepare(split, config, clusters, length=LENGTH, seed=1, one_cluster=one_cluster)
    return make(0)


CLUSTERS = Clusters((np.arange(ITEMS) % 4).astype(np.int32), tuple("abcd"))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("at", ["head", "inputs"])
def test_over_all_items_a_divided_loss_is_the_softmax_in_the_targets_cluster_beside_the_global_share(
    split: Split, share: float, at: str
):
    prompts = {"kind": "product", "at": at}
    page = {
        "kind": "sequence",
        "dim": 8,
        "output": "dot",
        "prompts": prompts,
        "sequence": {"length": LENGTH, "dropout": 0},
    }
    config = EncoderConfig.model_validate(page)
    encoder = build_model(split.train, config, seed=0, division=Division(4, intent=True)).encoder
    assert isinstance(encoder, SequenceEncoder)
    for parameter in encoder.parameters():
        parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 5
    batch = divided_batch(split, CLUSTERS, share, one_cluster=at == "inputs", negatives=100)
    found = retrieval_of(encoder, batch, temperature=0.5)
    losses = []
    for row, place in zip(*np.nonzero(batch.targets >= 0), strict=True):
        target = batch.targets[row, place]
        prompted = torch.tensor([CLUSTERS.of[target]]).long()
        code = encoder.codes(torch.from_numpy(batch.items[row : row + 1]), clusters=prompted)[:, place]
        asking = encoder.ask(code)[batch.homes if at == "head" else 0, 0]
        scores = ((encoder.items.weight[batch.columns] * asking).sum(1) / 0.5).tolist()
        weights = np.where(batch.homes == CLUSTERS.of[target], 1.0, share) * ~batch.masked[row]
        rivals = sum(weight * math.exp(score) for weight, score in zip(weights, scores, strict=True))
        true = scores[batch.columns.tolist().index(target)]
        losses.append(math.log(math.exp(true) + rivals) - true)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_places_foretell_of_clusters_knows_of_no_prompt(split: Split):
    """At the inputs, where a prompt would tell the cluster of what comes next."""
    prompts = {"kind": "product", "at": "inputs"}
    page = {"kind": "sequence", "dim": 8, "prompts": prompts, "sequence": {"length": LENGTH, "dropout": 0}}
    encoder = build_model(
        split.train, EncoderConfig.model_validate(page), seed=0, division=Division(4, intent=True)
    ).encoder
    assert isinstance(encoder, SequenceEncoder)
    assert encoder.intent is not None
    encoder.intent.weights.data += torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    batch = divided_batch(split, CLUSTERS, 0.5, one_cluster=True, negatives=100)
    before = NextItem(ObjectivesConfig())(encoder, batch, seed=0)
    assert encoder.prompts is not None
    for parameter in encoder.prompts.parameters():
        parameter.data += 1.0
    after = NextItem(ObjectivesConfig())(encoder, batch, seed=0)
    assert torch.equal(before["intent"], after["intent"])
    assert before["retrieval"] != after["retrieval"]
