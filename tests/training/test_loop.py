"""Training repeats itself, goes on where it was stopped, keeps its best, and learns."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from amity.clustering import Clusters, undivided
from amity.embedding import embed_graph
from amity.encoder import EncoderConfig, Model, PromptsConfig, build_model
from amity.errors import ConfigError, TrainingError
from amity.graph import Category, Graph
from amity.objectives import CcaSsgConfig, ObjectivesConfig, ViewsConfig
from amity.sampling import SamplingConfig
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Journal, Recipe, TrainingConfig, train_model
from amity.training.loop import last_step, validation_steps
from amity.training.recipe import step_factor
from amity.training.step import batch_maker
from dying import Killed, dying
from laws import EVERYWHERE

STEPS = 12


@pytest.fixture(scope="module")
def split(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    rng = np.random.default_rng(0)
    town = Category("town", rng.integers(0, 5, 120).astype(np.int32), tuple("abcde"))
    graph = make_random_friend_graph(120, 700, 1, columns=(town,))
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=0)


@pytest.fixture(scope="module")
def planted(make_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Eight groups of twenty people; friends are of one group."""
    rng = np.random.default_rng(0)
    groups, sources, targets = rng.integers(0, 8, 1600), rng.integers(0, 20, 1600), rng.integers(0, 20, 1600)
    graph = make_friend_graph(20 * groups + sources, 20 * groups + targets, num_nodes=160)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("planted"), seed=0)


def recipe(**training: float) -> Recipe:
    """Everything that can be learned is, at every step."""
    encoder = {"dim": 8, "layer": "gat", "heads": 2, "dropout": 0.1, "features": {"ids": "learned"}}
    return Recipe(
        SamplingConfig(fanout=(4, 3), batch_size=64, negatives=32),
        EncoderConfig.model_validate(encoder),
        ObjectivesConfig.model_validate({"cca_ssg": {"weight": 0.1}, "graphmae": {"weight": 0.1}, "views": EVERYWHERE}),
        TrainingConfig.model_validate({"steps": STEPS, "first_validation": 3, "patience": 1e9} | training),
    )


def rare_recipe(**training: float) -> Recipe:
    """The same on LightGCN, with views as seldom and as small as they are unless it is said."""
    whole = recipe(**training)
    encoder = whole.encoder.model_copy(update={"layer": EncoderConfig().layer})
    return replace(whole, encoder=encoder, objectives=whole.objectives.model_copy(update={"views": ViewsConfig()}))


def divided_recipe(**training: float) -> Recipe:
    """Three clusters of 120 people, asked with a product each."""
    clusters = Clusters(np.random.default_rng(1).integers(0, 3, 120).astype(np.int32), ("a", "b", "c"))
    return replace(rare_recipe(**training), clusters=clusters)


def parameters(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.encoder.state_dict().items()}


def rising() -> Callable[[Model], float]:
    """A validation that is better every time, so that the last parameters are the best."""
    scores = iter(range(1, 1000))
    return lambda _: float(next(scores))


def never(_: Model) -> float:
    """A validation that must not be asked."""
    raise AssertionError


def by_norm(model: Model) -> float:
    """A validation that hangs on the parameters alone, and is not best at the end."""
    return 1.0 / float(sum(value.detach().square().sum() for value in model.encoder.parameters()))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_parameters(split: Split):
    once, again = (parameters(train_model(split, recipe(), seed=3, validate=rising())) for _ in range(2))
    assert_same(once, again)


@pytest.mark.parametrize("layer", ["gat", "lightgcn"])
def test_the_same_seed_gives_the_same_parameters_on_two_threads(split: Split, layer: str):
    """Rows long enough for torch to share their sums between threads."""
    wide = replace(
        recipe(steps=6),
        sampling=SamplingConfig(fanout=(4, 3), batch_size=512, negatives=64),
        encoder=EncoderConfig.model_validate({"dim": 128, "layer": layer, "features": {"ids": "learned"}}),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, *others = (parameters(train_model(split, wide, seed=3, validate=rising())) for _ in range(4))
    finally:
        torch.set_num_threads(threads)
    for other in others:
        assert_same(first, other)


def test_another_seed_gives_other_parameters(split: Split):
    once, other = (parameters(train_model(split, recipe(), seed=seed, validate=rising())) for seed in (3, 4))
    assert not torch.equal(once["tokens"], other["tokens"])


def killed_and_continued(
    split: Split, often: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch, *, at: int
) -> dict[str, torch.Tensor]:
    """What a training ends with that died at a step, and was started again; its journal lies in the folder."""
    journal = Journal(folder / "checkpoint", folder / "log.jsonl")
    with monkeypatch.context() as patch:
        dying(patch, at=at)
        with pytest.raises(Killed):
            train_model(split, often, seed=1, validate=by_norm, journal=journal)
    return parameters(train_model(split, often, seed=1, validate=by_norm, journal=journal))


@pytest.mark.parametrize("make", [recipe, rare_recipe, divided_recipe])
@pytest.mark.parametrize("stop", [2, 6, 7, 11])
def test_a_resumed_training_ends_with_the_very_parameters_of_an_uninterrupted_one(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, make: Callable[..., Recipe]
):
    often = make(checkpoint_every_s=1e-9)
    expected = parameters(train_model(split, often, seed=1, validate=by_norm))
    assert_same(killed_and_continued(split, often, tmp_path, monkeypatch, at=stop), expected)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(STEPS))


def test_the_parameters_of_the_best_validation_are_kept(split: Split):
    seen: list[dict[str, torch.Tensor]] = []

    def best_at_second(model: Model) -> float:
        seen.append(parameters(model))
        return 1.0 if len(seen) == 2 else 0.5

    kept = parameters(train_model(split, recipe(), seed=0, validate=best_at_second))
    assert_same(kept, seen[1])
    assert not torch.equal(kept["tokens"], seen[-1]["tokens"])


def test_without_a_step_the_parameters_stay_as_they_were_drawn(split: Split, tmp_path: Path):
    journal, untrained = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), recipe(steps=0)
    train_model(split, recipe(), seed=5, validate=rising(), journal=journal)
    kept = parameters(train_model(split, untrained, seed=5, validate=never, journal=journal))
    assert_same(kept, parameters(build_model(split.train, untrained.encoder, seed=5)))
    assert journal.log.read_text() == ""


@pytest.mark.parametrize("layer", ["lightgcn", "gat"])
def test_untrained_propagation_keeps_the_angles_between_propagated_features(split: Split, layer: str):
    """SGC without training: X S² by its formula, against random maps of tokens, within a few dim^-1/2."""
    changed = {"layer": layer, "residual": False, "combine": "last", "dim": 4096, "popularity": 0}
    encoder = EncoderConfig.model_validate(changed | {"features": {"ids": "none"}})
    model = train_model(split, replace(recipe(steps=0), encoder=encoder), seed=0, validate=never)
    vectors = embed_graph(model, split.train).vectors
    (town,) = split.train.candidates.columns
    assert isinstance(town, Category)
    edges = split.train.messages
    A, degrees = np.zeros((120, 120)), edges.degrees()
    A[edges.sources(), edges.indices] = 1
    S = {
        "lightgcn": A / np.sqrt(np.maximum(np.outer(degrees, degrees), 1)),
        "gat": (A + np.eye(120)) / (degrees + 1)[:, None],
    }[layer]
    X = S @ S @ np.eye(5)[town.codes]
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, X @ X.T, atol=5 / 4096**0.5)


def test_training_stops_at_the_multiple_of_the_best_step(split: Split, tmp_path: Path):
    journal = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl")
    scores = iter([0.2, 0.5, *[0.1] * 50])
    stopping = recipe(steps=100, patience=1.5, least_steps=1)
    train_model(split, stopping, seed=0, validate=lambda _: next(scores), journal=journal)
    assert len(journal.log.read_text().splitlines()) == 9  # Best at step 6: 1.5 x 6.


@pytest.mark.parametrize(("best_step", "end"), [(0, 20), (10, 20), (67, 150), (150, 337), (225, 400), (400, 400)])
def test_training_ends_at_a_validation_or_with_its_steps(best_step: int, end: int):
    settings = TrainingConfig(steps=400, least_steps=1, first_validation=10, validation_growth=1.5, patience=2.0)
    assert last_step(settings, best_step=best_step) == end


def test_training_does_not_end_before_its_least_steps():
    settings = TrainingConfig(steps=400, least_steps=120, first_validation=10, validation_growth=1.5, patience=2.0)
    assert last_step(settings, best_step=10) == 150
    assert last_step(settings, best_step=150) == 337


@pytest.mark.parametrize(("make", "every"), [(recipe, 1), (rare_recipe, 3)])
def test_the_log_holds_every_loss_of_a_step_and_what_each_validation_finds(
    split: Split, tmp_path: Path, make: Callable[..., Recipe], every: int
):
    journal = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl")
    train_model(split, make(), seed=0, validate=rising(), journal=journal)
    entries = [json.loads(line) for line in journal.log.read_text().splitlines()]
    weights = {name: weight for name, weight in make().objectives.weights().items() if weight}
    del weights["intent"]  # Nothing is divided.
    assert set(weights) == {"retrieval", "cca_ssg", "graphmae"}
    for entry in entries:
        known = set(weights) if entry["step"] % every == 0 else {"retrieval"}
        assert known == set(weights) & set(entry)
        assert entry["loss"] == pytest.approx(sum(weights[name] * entry[name] for name in known), rel=1e-5)
    found = {entry["step"] + 1: entry["valid_recall"] for entry in entries if "valid_recall" in entry}
    assert found == {3: 1.0, 6: 2.0, 9: 3.0, 12: 4.0}


def test_what_objectives_remember_goes_on_too(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Slow copies of the encoder and moving averages of gradients are part of the checkpoint."""
    objectives = ObjectivesConfig.model_validate(
        {
            "bgrl": {"weight": 0.1},
            "graphmae2": {"weight": 0.1},
            "weighing": {"method": "metabalance"},
            "views": EVERYWHERE,
        }
    )
    often = replace(recipe(checkpoint_every_s=1e-9), objectives=objectives)
    continued = killed_and_continued(split, often, tmp_path, monkeypatch, at=6)
    assert_same(continued, parameters(train_model(split, often, seed=1, validate=by_norm)))


def test_a_checkpoint_of_other_supervision_is_not_taken_up(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Even where all degrees are the same."""
    journal, often = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), recipe(checkpoint_every_s=1e-9)
    with monkeypatch.context() as patch:
        dying(patch, at=6)
        with pytest.raises(Killed):
            train_model(split, often, seed=1, validate=by_norm, journal=journal)
    edges = split.supervision
    turned = replace(split, supervision=replace(edges, indices=edges.indices[::-1].copy()))
    resumed = parameters(train_model(turned, often, seed=1, validate=by_norm, journal=journal))
    assert "training starts anew" in capsys.readouterr().err
    assert_same(resumed, parameters(train_model(turned, often, seed=1, validate=by_norm)))


def moved(split: Split) -> Split:
    """Everybody is elsewhere, and every town has as many people as before."""
    (users,) = split.train.kinds
    (town,) = users.columns
    assert isinstance(town, Category)
    people = replace(users, columns=(replace(town, codes=town.codes[::-1].copy()),))
    return replace(split, train=replace(split.train, kinds=(people,)))


def judged_otherwise(split: Split) -> Split:
    return replace(split, valid=replace(split.valid, truth=split.test.truth))


@pytest.mark.parametrize("change", [moved, judged_otherwise])
def test_a_checkpoint_of_other_features_or_another_validation_part_is_not_taken_up(
    split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Split], Split]
):
    journal, often = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), recipe(checkpoint_every_s=1e-9)
    train_model(split, often, seed=1, validate=by_norm, journal=journal)
    train_model(change(split), often, seed=1, validate=by_norm, journal=journal)
    assert "training starts anew" in capsys.readouterr().err


def test_a_checkpoint_of_other_clusters_is_not_taken_up(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    journal, often = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), divided_recipe(checkpoint_every_s=1e-9)
    with monkeypatch.context() as patch:
        dying(patch, at=6)
        with pytest.raises(Killed):
            train_model(split, often, seed=1, validate=by_norm, journal=journal)
    assert often.clusters is not None
    turned = replace(often, clusters=replace(often.clusters, of=often.clusters.of[::-1].copy()))
    resumed = parameters(train_model(split, turned, seed=1, validate=by_norm, journal=journal))
    assert "training starts anew" in capsys.readouterr().err
    assert_same(resumed, parameters(train_model(split, turned, seed=1, validate=by_norm)))


def test_training_in_one_cluster_is_training_undivided_to_the_bit(split: Split, tmp_path: Path):
    logs = []
    for name, clusters in (("undivided", None), ("one", undivided(120))):
        journal = Journal(tmp_path / name, tmp_path / f"{name}.jsonl")
        one = replace(recipe(), clusters=clusters)
        kept = parameters(train_model(split, one, seed=1, validate=by_norm, journal=journal))
        entries = [json.loads(line) for line in journal.log.read_text().splitlines()]
        logs.append(([entry["loss"] for entry in entries], kept))
    assert logs[0][0] == logs[1][0]
    assert_same(logs[0][1], logs[1][1])


def test_the_first_losses_of_a_divided_training_do_not_hang_on_how_clusters_are_prompted(split: Split, tmp_path: Path):
    found = {}
    for kind in ("none", "product", "token", "mmoe"):
        journal, plain = Journal(tmp_path / kind, tmp_path / f"{kind}.jsonl"), divided_recipe()
        encoder = plain.encoder.model_copy(update={"prompts": PromptsConfig(kind=kind)})
        train_model(split, replace(plain, encoder=encoder), seed=1, validate=by_norm, journal=journal)
        found[kind] = [json.loads(line)["retrieval"] for line in journal.log.read_text().splitlines()]
    assert len({losses[0] for losses in found.values()}) == 1
    assert len({losses[-1] for losses in found.values()}) == 4


def test_intent_is_learned_at_every_step_of_a_divided_training_and_leaves_the_codes_alone(split: Split, tmp_path: Path):
    journal, steady = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), divided_recipe(steps=60)
    kept = parameters(train_model(split, steady, seed=1, validate=rising(), journal=journal))
    losses = [json.loads(line)["intent"] for line in journal.log.read_text().splitlines()]
    assert losses[0] == pytest.approx(np.log(3), rel=1e-6)
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    without = ObjectivesConfig.model_validate(steady.objectives.model_dump() | {"intent": {"weight": 0}})
    others = parameters(train_model(split, replace(steady, objectives=without), seed=1, validate=rising()))
    assert_same(others, {name: value for name, value in kept.items() if not name.startswith("intent.")})
    shaping = ObjectivesConfig.model_validate(steady.objectives.model_dump() | {"intent": {"reaches_encoder": True}})
    shaped = parameters(train_model(split, replace(steady, objectives=shaping), seed=1, validate=rising()))
    assert not torch.equal(shaped["tokens"], kept["tokens"])


@pytest.mark.parametrize("reaches", [False, True])
def test_gradients_of_intent_are_looked_at_only_where_it_shapes_the_codes(split: Split, tmp_path: Path, reaches: bool):
    journal, steady = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl"), divided_recipe()
    alone = {"cca_ssg": {"weight": 0}, "graphmae": {"weight": 0}, "intent": {"reaches_encoder": reaches}}
    train_model(
        split,
        replace(steady, objectives=ObjectivesConfig.model_validate(alone)),
        seed=1,
        validate=by_norm,
        journal=journal,
    )
    entries = [json.loads(line) for line in journal.log.read_text().splitlines()]
    looked_at = [entry["step"] for entry in entries if "gradients" in entry]
    assert looked_at == ([0, 3, 6] if reaches else [])  # Where auxiliary objectives would be.


def test_the_step_size_stays_and_then_falls_to_nothing():
    settings = TrainingConfig(steps=100, cooling=0.25)
    assert [step_factor(settings, step) for step in (0, 75, 80, 99)] == pytest.approx([1, 1, 0.8, 0.04])
    assert [step_factor(TrainingConfig(steps=100, cooling=0), step) for step in (0, 99)] == [1, 1]
    assert step_factor(TrainingConfig(steps=100, cooling=1), 50) == 0.5


def test_a_training_that_cools_moves_less_at_its_end(split: Split):
    """Each ends with its steps: the last of one is as large as the first, that of the other a twelfth of it."""
    before, plain, cooled = (
        parameters(train_model(split, recipe(**change), seed=1, validate=rising()))
        for change in ({"steps": 1}, {"cooling": 0.0}, {"cooling": 1.0})
    )
    moved = [sum((end[name] - before[name]).abs().sum() for name in before) for end in (plain, cooled)]
    assert moved[1] < 0.8 * moved[0]


def test_validations_grow_apart_and_end_with_the_last_step():
    steps = sorted(validation_steps(TrainingConfig(steps=400, first_validation=10, validation_growth=1.5)))
    assert steps == [10, 20, 30, 45, 67, 100, 150, 225, 337, 400]


@pytest.mark.parametrize("make", [recipe, rare_recipe])
def test_training_finds_held_out_friends_that_chance_does_not(planted: Split, make: Callable[..., Recipe]):
    model = train_model(planted, make(steps=150), seed=0, validate=rising())
    vectors = embed_graph(model, planted.train).vectors
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    train = planted.train.target.adjacency
    scores[train.sources(), train.indices] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :20]
    truth = planted.test.truth
    found = np.mean([target in best[query] for query, target in zip(truth.sources(), truth.indices, strict=True)])
    assert found > 3 * 20 / 160


@pytest.mark.parametrize("layer", ["gat", "lightgcn"])
@pytest.mark.parametrize("ids", ["learned", "hashed"])
def test_nobody_without_friends_is_told_apart_from_another_with_the_same_features(
    make_friend_graph: Callable[..., Graph], tmp_path: Path, ids: str, layer: str
):
    """All of them are drawn as negatives, yet no vector of their own comes between them."""
    rng = np.random.default_rng(0)
    town = Category("town", np.append(rng.integers(0, 3, 100), [0, 0, 1]).astype(np.int32), tuple("abc"))
    graph = make_friend_graph(rng.integers(0, 100, 600), rng.integers(0, 100, 600), num_nodes=103, columns=(town,))
    split = split_edges(graph, SplittingConfig(), tmp_path, seed=0)
    settings = {"dim": 8, "layer": layer, "features": {"ids": ids, "id_dropout": 0.2}}
    cold = replace(recipe(), encoder=EncoderConfig.model_validate(settings))
    vectors = embed_graph(train_model(split, cold, seed=0, validate=rising()), split.train).vectors
    assert np.array_equal(vectors[100], vectors[101])
    assert not np.allclose(vectors[100], vectors[102])
    assert len(np.unique(vectors[:100], axis=0)) == 100


def test_duplicates_have_the_features_of_their_originals_and_no_vector_of_their_own(split: Split):
    sampling = SamplingConfig(fanout=(4, 3), batch_size=64, negatives=32, duplicates=True, duplicate_degree=9)
    model = build_model(split.train, recipe().encoder, seed=0)
    batch, inputs = batch_maker(split, model, replace(recipe(), sampling=sampling), seed=0)(0)
    assert batch.duplicates
    originals = batch.candidates[batch.positives[np.isin(batch.queries, batch.duplicates)]]
    assert torch.equal(inputs.tokens[list(batch.duplicates)], inputs.tokens[originals])
    strangers = np.flatnonzero(inputs.ids == model.transform.num_ids)
    assert strangers.tolist() == list(batch.duplicates)


def test_a_training_with_duplicates_goes_on_to_the_very_parameters(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sampling = recipe().sampling.model_copy(update={"duplicates": True, "duplicate_degree": 9})
    often = replace(recipe(checkpoint_every_s=1e-9), sampling=sampling)
    continued = killed_and_continued(split, often, tmp_path, monkeypatch, at=7)
    assert_same(continued, parameters(train_model(split, often, seed=1, validate=by_norm)))
    assert not torch.equal(
        continued["tokens"], parameters(train_model(split, recipe(), seed=1, validate=by_norm))["tokens"]
    )


def test_the_loss_of_histories_is_refused_on_neighbourhoods(split: Split):
    objectives = ObjectivesConfig.model_validate({"retrieval": {"loss": "bce"}})
    with pytest.raises(ConfigError, match=r"this encoder reads neighbourhoods"):
        train_model(split, replace(recipe(), objectives=objectives), seed=1, validate=rising())


def test_one_hop_for_each_layer_is_asked_for(split: Split):
    uneven = replace(recipe(), sampling=SamplingConfig(fanout=(3,)))
    with pytest.raises(ConfigError, match=r"has 2 .*but 1 hops"):
        train_model(split, uneven, seed=0, validate=rising())


def test_a_loss_that_is_no_number_is_an_error_that_says_what_to_do(split: Split):
    with pytest.raises(TrainingError, match=r"step \d+: training has diverged. Lower"):
        train_model(split, recipe(steps=200, learning_rate=1e30), seed=0, validate=rising())


@pytest.mark.parametrize(("make", "nodes"), [(recipe, 120), (rare_recipe, 60)])
def test_too_few_nodes_for_correlations_are_warned_of(
    split: Split, capsys: pytest.CaptureFixture[str], make: Callable[..., Recipe], nodes: int
):
    few = make(steps=1)
    train_model(split, few, seed=0, validate=rising())
    assert f"64 dimensions over at most {nodes} nodes" in capsys.readouterr().err
    narrow = few.objectives.model_copy(update={"cca_ssg": CcaSsgConfig(dim=nodes // 8)})
    train_model(split, replace(few, objectives=narrow), seed=0, validate=rising())
    assert "dimensions over" not in capsys.readouterr().err
