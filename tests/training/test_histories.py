"""Training on histories repeats itself, goes on where it was stopped, sees nothing held out, and learns an order."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from amity.clustering import Clusters, undivided
from amity.embedding import AtHand, EmbeddingConfig, SpectralConfig, embed_graph
from amity.encoder import EncoderConfig, Model
from amity.errors import ConfigError
from amity.evaluation import EvaluationConfig, evaluate, fit_confidence
from amity.index import IndexConfig
from amity.objectives import ObjectivesConfig
from amity.pipeline.validation import as_validated, validation
from amity.retrieval import Confidence, DividedRetriever
from amity.sampling import SamplingConfig, histories_before
from amity.splitting import Split
from amity.training import Journal, Recipe, TrainingConfig, train_model
from dying import Killed, dying

STEPS, ITEMS = 12, 40


@pytest.fixture(scope="module")
def split(make_history_split: Callable[..., Split]) -> Split:
    return make_history_split(60, ITEMS, seed=0)


@pytest.fixture(scope="module")
def planted(make_history_split: Callable[..., Split]) -> Split:
    """Whatever was taken, the item seven further on mostly follows."""
    return make_history_split(300, ITEMS, seed=0, chain=lambda item: (item + 7) % ITEMS)


def recipe(loss: str = "softmax", *, sampling: dict | None = None, **training: float) -> Recipe:
    sequence = {"length": 10, "dropout": 0.1, "layers": 2, "heads": 2}
    return Recipe(
        SamplingConfig.model_validate({"batch_size": 32, "negatives": 20, "positions": 0.8} | (sampling or {})),
        EncoderConfig.model_validate({"kind": "sequence", "dim": 16, "output": "dot", "sequence": sequence}),
        ObjectivesConfig.model_validate({"retrieval": {"loss": loss, "temperature": 1.0}}),
        TrainingConfig.model_validate(
            {"steps": STEPS, "first_validation": 3, "patience": 1e9, "learning_rate": 0.01} | training
        ),
    )


def parameters(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.encoder.state_dict().items()}


def by_norm(model: Model) -> float:
    """A validation that hangs on the parameters alone, and is not best at the end."""
    return 1.0 / float(sum(value.detach().square().sum() for value in model.encoder.parameters()))


def rising() -> Callable[[Model], float]:
    scores = iter(range(1, 1000))
    return lambda _: float(next(scores))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_the_same_seed_gives_the_same_parameters_and_another_others(split: Split, loss: str):
    once, again, other = (parameters(train_model(split, recipe(loss), seed=s, validate=rising())) for s in (3, 3, 4))
    assert_same(once, again)
    assert not torch.equal(once["positions"], other["positions"])


@pytest.mark.parametrize("table", ["dense", "sparse"])
@pytest.mark.parametrize("stop", [2, 6, 11])
def test_a_resumed_training_ends_with_the_very_parameters_of_an_uninterrupted_one(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, table: str
):
    if table == "sparse":
        monkeypatch.setattr("amity.encoder.sequence_encoder.DENSE_ITEMS", 0)
    often = recipe(checkpoint_every_s=1e-9)
    expected = parameters(train_model(split, often, seed=1, validate=by_norm))
    journal = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl")
    with monkeypatch.context() as patch:
        dying(patch, at=stop)
        with pytest.raises(Killed):
            train_model(split, often, seed=1, validate=by_norm, journal=journal)
    assert_same(parameters(train_model(split, often, seed=1, validate=by_norm, journal=journal)), expected)


def test_a_checkpoint_of_another_order_is_not_taken_up(
    split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    journal = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl")
    train_model(split, recipe(checkpoint_every_s=1e-9), seed=1, validate=rising(), journal=journal)
    edges = split.train.target.adjacency
    assert edges.times is not None
    turned = replace(split.train.target, adjacency=replace(edges, times=-edges.times))
    other = replace(split, train=split.train.with_edges((turned,), split.train.messages))
    resumed = train_model(other, recipe(checkpoint_every_s=1e-9), seed=1, validate=rising(), journal=journal)
    assert "training starts anew" in capsys.readouterr().err
    assert not torch.equal(parameters(resumed)["positions"], parameters(train(split))["positions"])


def train(split: Split) -> Model:
    return train_model(split, recipe(), seed=1, validate=rising())


def interested(**training: float) -> Recipe:
    """ComiRec-SA: no blocks, three interests."""
    whole = recipe(**training)
    sequence = whole.encoder.sequence.model_copy(update={"layers": 0, "interests": 3})
    return replace(whole, encoder=whole.encoder.model_copy(update={"sequence": sequence}))


def test_interests_repeat_themselves_and_go_on_where_they_were(split: Split, tmp_path: Path):
    once, again = (parameters(train_model(split, interested(), seed=1, validate=rising())) for _ in range(2))
    assert_same(once, again)
    assert once["pooling.outer"].shape[1] == 3
    assert (
        (
            once["pooling.outer"]
            != parameters(train_model(split, interested(steps=0), seed=1, validate=rising()))["pooling.outer"]
        )
        .any(0)
        .all()
    )


def test_nothing_held_out_changes_what_is_learned(split: Split):
    """The parameters stay as they are when the held-out edges are other ones."""
    swapped = replace(split, valid=split.test, test=split.valid)
    assert_same(parameters(train(split)), parameters(train(swapped)))


def hits(model: Model, split: Split, k: int) -> float:
    """The share of the test items among the k best that were not taken."""
    graph, histories = split.train, histories_before(split, split.test)
    vectors = embed_nodes_of(model, split)
    users, items = vectors[graph.queries.rows], vectors[graph.candidates.rows]
    scores = users @ items.T
    for user in range(len(users)):
        scores[user, histories.items[histories.indptr[user] : histories.indptr[user + 1]]] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :k]
    truth = split.test.truth.indices - graph.candidates.first
    return float((best == truth[:, None]).any(1).mean())


def embed_nodes_of(model: Model, split: Split) -> np.ndarray:
    return embed_graph(model, split.train, at_hand=AtHand(histories=histories_before(split, split.test))).vectors


@pytest.mark.parametrize(
    ("loss", "sampling"), [("softmax", {"negatives": 100}), ("softmax", {"negatives": 8}), ("bce", {"negatives": 100})]
)
def test_a_planted_order_is_learned(planted: Split, loss: str, sampling: dict):
    """Nine times in ten the next item is the one seven further on; chance finds one in forty."""
    model = train_model(planted, recipe(loss, sampling=sampling, steps=150), seed=0, validate=rising())
    assert hits(model, planted, 1) > 0.6
    assert hits(train_model(planted, recipe(loss, steps=0), seed=0, validate=rising()), planted, 1) < 0.2


def divided_recipe(kind: str, at: str, **training: float) -> Recipe:
    """Three clusters of forty items."""
    whole = recipe(**training)
    encoder = EncoderConfig.model_validate(whole.encoder.model_dump() | {"prompts": {"kind": kind, "at": at}})
    clusters = Clusters((np.arange(ITEMS) % 3).astype(np.int32), tuple("abc"))
    return replace(whole, encoder=encoder, clusters=clusters)


WAYS = [
    ("none", "head"),
    ("product", "head"),
    ("token", "head"),
    ("mmoe", "head"),
    ("product", "inputs"),
    ("token", "inputs"),
]


def losses_of(split: Split, one: Recipe, folder: Path) -> list[dict]:
    journal = Journal(folder / "checkpoint", folder / "log.jsonl")
    folder.mkdir()
    train_model(split, one, seed=1, validate=rising(), journal=journal)
    return [json.loads(line) for line in journal.log.read_text().splitlines()]


def test_training_in_one_cluster_is_training_undivided_to_the_bit(split: Split):
    one = replace(recipe(), clusters=undivided(ITEMS))
    trained = (parameters(train_model(split, each, seed=1, validate=rising())) for each in (recipe(), one))
    assert_same(*trained)


@pytest.mark.parametrize("at", ["head", "inputs"])
def test_the_first_loss_of_a_divided_training_does_not_hang_on_how_clusters_are_prompted(
    split: Split, tmp_path: Path, at: str
):
    ways = [kind for kind, place in WAYS if place == at and kind != "none"]
    found = {kind: losses_of(split, divided_recipe(kind, at), tmp_path / kind) for kind in ways}
    assert len({entries[0]["retrieval"] for entries in found.values()}) == 1
    assert len({entries[-1]["retrieval"] for entries in found.values()}) == len(ways)
    for entries in found.values():
        assert entries[0]["intent"] == pytest.approx(np.log(3), rel=1e-5)
        assert all(np.isfinite(entry["loss"]) for entry in entries)
    if at == "head":
        plain = losses_of(split, divided_recipe("none", "head"), tmp_path / "none")
        assert plain[0]["retrieval"] == found["product"][0]["retrieval"]


@pytest.mark.parametrize(("kind", "at"), WAYS)
def test_a_divided_training_repeats_itself_and_its_embeddings_ask_every_cluster(split: Split, kind: str, at: str):
    one = divided_recipe(kind, at)
    once, again = (train_model(split, one, seed=1, validate=rising()) for _ in range(2))
    assert_same(parameters(once), parameters(again))
    told = AtHand(histories=histories_before(split, split.test))
    made = embed_graph(once, split.train, at_hand=told)
    assert made.intent is not None
    np.testing.assert_allclose(made.intent.sum(1), 1, rtol=1e-5)
    assert (made.asking is None) == (kind == "none")
    vectors, first = made.vectors[split.train.queries.rows], split.train.queries.first
    asked = made.asked_each(first + np.arange(len(vectors)), clusters=3)
    for cluster in range(3) if made.asking is not None else ():
        assert not np.allclose(asked[cluster], vectors, atol=1e-4)
        alone = made.asked(np.array([first + 2]), cluster=cluster)
        np.testing.assert_allclose(alone, asked[cluster][[2]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "at"), WAYS)
def test_validation_asks_every_cluster_by_what_came_before(split: Split, kind: str, at: str):
    one = divided_recipe(kind, at)
    model = train_model(split, one, seed=1, validate=rising())
    found = validation(split, one, seed=0)(model)
    made = embed_graph(model, split.train, at_hand=AtHand(histories=histories_before(split, split.valid)))
    assert one.clusters is not None
    retriever = DividedRetriever.build(made, one.clusters, IndexConfig(kind="exact"))
    retriever = replace(retriever, confidence=Confidence(1.0))
    retriever = replace(retriever, confidence=fit_confidence(retriever, split.valid, seed=0))
    config = EvaluationConfig(queries=2000, k=(50,), headline=50)
    whole = evaluate(retriever, split.train, split.valid, config).values["recall@50"].mean()
    assert found == pytest.approx(whole, abs=2e-3)


@pytest.mark.parametrize(("kind", "at"), WAYS)
def test_as_validated_every_cluster_is_asked_as_if_the_validation_part_had_never_been_told(
    split: Split, kind: str, at: str
):
    one, config = divided_recipe(kind, at), EmbeddingConfig(spectral=SpectralConfig(dim=4, power=1.0, share=0.5))
    model = train_model(split, one, seed=1, validate=rising())
    later, before = (
        embed_graph(model, split.train, None, config, at_hand=AtHand(histories=histories_before(split, part)))
        for part in (split.test, split.valid)
    )
    assert one.clusters is not None
    told = as_validated(DividedRetriever.build(later, one.clusters), model, split).embeddings
    queries = np.arange(split.train.num_nodes)[split.train.queries.rows]
    found, wanted, kept = (np.stack(made.asked_each(queries, clusters=3)) for made in (told, before, later))
    dim = model.encoder.dim
    np.testing.assert_allclose(found[..., :dim], wanted[..., :dim], atol=1e-5)
    np.testing.assert_array_equal(found[..., dim:], kept[..., dim:])
    assert not np.allclose(found[..., :dim], kept[..., :dim], atol=1e-3)
    np.testing.assert_allclose(told.intent, before.intent, atol=1e-5)


def test_the_binary_loss_in_clusters_is_refused(split: Split):
    one = replace(recipe("bce"), clusters=Clusters((np.arange(ITEMS) % 3).astype(np.int32), tuple("abc")))
    with pytest.raises(ConfigError, match="The binary loss knows no clusters"):
        train_model(split, one, seed=1, validate=rising())


@pytest.mark.parametrize("loss", ["softmax", "bce"])
@pytest.mark.parametrize(
    ("sampling", "weight", "named"),
    [
        ({"negatives": 0}, 1, r"`sampling\.negatives` is 0"),
        ({"duplicates": True}, 1, r"`sampling\.duplicates` is true"),
        ({"clusters_per_step": 2}, 1, r"`sampling\.clusters_per_step` is 2"),
        ({}, 0, r"`objectives\.retrieval\.weight`"),
    ],
)
def test_settings_that_would_teach_histories_nothing_are_refused(
    split: Split, loss: str, sampling: dict, weight: float, named: str
):
    whole = recipe(loss, sampling=sampling)
    retrieval = whole.objectives.retrieval.model_copy(update={"weight": weight})
    one = replace(whole, objectives=whole.objectives.model_copy(update={"retrieval": retrieval}))
    with pytest.raises(ConfigError, match=named):
        train_model(split, one, seed=1, validate=rising())
