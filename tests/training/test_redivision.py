"""Clusters that are made again while training goes on: when, by what, and that nothing is lost when it is stopped."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from amity.clustering import Clusters
from amity.encoder import EncoderConfig, Model
from amity.graph import Graph
from amity.objectives import ObjectivesConfig
from amity.sampling import SamplingConfig
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Journal, Recipe, Redivision, TrainingConfig, train_model
from dying import Killed, dying

PEOPLE, COUNT, STEPS = 120, 3, 12


@pytest.fixture(scope="module")
def split(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    graph = make_random_friend_graph(PEOPLE, 700, 1)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=0)


def by_ids(model: Model, before: Clusters) -> Clusters:
    """A division that hangs on the parameters, and on the one before."""
    told = (model.encoder.ids.weight[:PEOPLE].detach().sum(1) * 1e4).long().numpy()
    return Clusters(((told + before.of) % COUNT).astype(np.int32), before.names)


def recipe(*, every: int = 5, divide: Callable[[Model, Clusters], Clusters] = by_ids) -> Recipe:
    clusters = Clusters((np.arange(PEOPLE) % COUNT).astype(np.int32), ("a", "b", "c"))
    return Recipe(
        SamplingConfig(fanout=(4, 3), batch_size=64, negatives=32),
        EncoderConfig.model_validate({"dim": 8, "features": {"ids": "learned"}}),
        ObjectivesConfig(),
        TrainingConfig(steps=STEPS, first_validation=3, patience=1e9, checkpoint_every_s=1e-9),
        clusters,
        Redivision(clusters, divide, every=every),
    )


def standing(one: Recipe) -> np.ndarray:
    assert one.standing_clusters is not None
    return one.standing_clusters.of


def by_norm(model: Model) -> float:
    """A validation that hangs on the parameters alone, and is best at the end."""
    return float(sum(value.detach().square().sum() for value in model.encoder.parameters()))


def rising() -> Callable[[Model], float]:
    scores = iter(range(1, 1000))
    return lambda _: float(next(scores))


@pytest.mark.parametrize("every", [1, 5, 12, 40])
def test_clusters_are_made_again_at_each_multiple_but_not_before_the_first_step(split: Split, every: int):
    seen = []

    def divide(_: Model, before: Clusters) -> Clusters:
        seen.append(before.of.copy())
        return Clusters((before.of + 1) % COUNT, before.names)

    one = recipe(every=every, divide=divide)
    train_model(split, one, seed=1, validate=rising())
    assert len(seen) == (STEPS - 1) // every
    for turn, of in enumerate(seen):
        np.testing.assert_array_equal(of, (np.arange(PEOPLE) + turn) % COUNT)
    np.testing.assert_array_equal(standing(one), (np.arange(PEOPLE) + len(seen)) % COUNT)


def test_a_recipe_that_is_trained_twice_begins_with_its_first_clusters(split: Split):
    one = recipe()
    once, again = (train_model(split, one, seed=1, validate=rising()).encoder.state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in once.items())


def test_clusters_that_stay_what_they_are_change_nothing(split: Split):
    stays, plain = recipe(divide=lambda _, before: before), recipe(every=STEPS)
    once, again = (train_model(split, one, seed=1, validate=rising()).encoder for one in (stays, plain))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in once.state_dict().items())


def test_what_is_learned_afterwards_is_learned_in_the_new_clusters(split: Split):
    moved, plain = recipe(), recipe(every=STEPS)
    once, other = (train_model(split, one, seed=1, validate=rising()).encoder for one in (moved, plain))
    assert not torch.equal(once.ids.weight, other.ids.weight)


@pytest.mark.parametrize("stop", [4, 5, 6, 9, 10])
def test_a_resumed_training_ends_with_the_clusters_and_parameters_of_an_uninterrupted_one(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
):
    whole = recipe()
    expected = train_model(split, whole, seed=1, validate=by_norm).encoder
    journal = Journal(tmp_path / "checkpoint", tmp_path / "log.jsonl")
    with monkeypatch.context() as patch:
        dying(patch, at=stop)
        with pytest.raises(Killed):
            train_model(split, recipe(), seed=1, validate=by_norm, journal=journal)
    continued = recipe()
    found = train_model(split, continued, seed=1, validate=by_norm, journal=journal).encoder
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in found.state_dict().items())
    np.testing.assert_array_equal(standing(continued), standing(whole))
    assert not np.array_equal(standing(whole), np.arange(PEOPLE) % COUNT)


def test_the_clusters_of_the_best_step_are_kept(split: Split):
    def divide(_: Model, before: Clusters) -> Clusters:
        return Clusters((before.of + 1) % COUNT, before.names)

    scores = iter([0.1, 0.9, *[0.2] * 50])  # Best at step 6, after one division.
    one = recipe(divide=divide)
    train_model(split, one, seed=1, validate=lambda _: next(scores))
    np.testing.assert_array_equal(standing(one), (np.arange(PEOPLE) + 1) % COUNT)
