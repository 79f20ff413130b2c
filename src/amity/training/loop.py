"""The training loop: sample, encode, weigh the losses, update; validate now and then; never lose much."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amity.encoder import Model
from amity.log import JsonLines, Progress
from amity.splitting import Split
from amity.training.checkpoint import Standing, Trainable, load_checkpoint, save_checkpoint
from amity.training.course import COURSES
from amity.training.determinism import deterministic
from amity.training.memory import kept_memory
from amity.training.recipe import Recipe, TrainingConfig
from amity.training.supply import Supply

VALID_RECALL = "valid_recall"
"""Under what name the log keeps what a validation finds."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Where training writes while it runs."""

    checkpoint: Path
    """The file from which an interrupted training goes on."""
    log: Path
    """One JSON line a step."""
    purpose: str = ""
    """A hash of what it is for: a checkpoint of another purpose is not taken up."""


Validate = Callable[[Model], float]
"""A model to the share of the held-out validation friends that it finds."""


def train_model(
    split: Split,
    recipe: Recipe,
    *,
    seed: int,
    validate: Validate,
    journal: Journal | None = None,
    device: torch.device | str = "cpu",
) -> Model:
    """Train on the train part until the validation part is found no better, and return the best parameters.

    Everything drawn is a function of `seed` and the step, so that a run repeats itself, and one that goes on from
    its checkpoint ends with the very parameters of one that was never stopped (on the CPU, with as many threads; on a
    GPU sums come in any order, and no two runs agree to the last bit). The model stays on the device. Without a step
    there is no validation, and the model is as it was drawn.

    Raises `ConfigError` where the settings do not fit each other, `TrainingError` where the loss is no number, and
    `ArtifactError` where the checkpoint is torn. A checkpoint of another training is said to be so, and not taken up.
    """
    settings, course = recipe.training, COURSES[recipe.encoder.kind]
    model, trainable = _start(split, recipe, seed=seed, device=device)
    fingerprint, standing = journal.purpose + _fingerprint(split, model, recipe, seed) if journal else "", Standing()
    if journal is not None and journal.checkpoint.exists():
        standing = load_checkpoint(journal.checkpoint, trainable, fingerprint=fingerprint)
    steps, validations = range(standing.step, settings.steps), validation_steps(settings)
    end, saved_s = last_step(settings, best_step=standing.best_step), time.monotonic()
    with (
        deterministic(device),
        kept_memory(),
        Supply(
            partial(course.batch_maker, split, model, recipe, seed=seed, device=device), steps, model, recipe
        ) as batches,
        JsonLines(journal.log if journal else None, steps=standing.step) as log,
        Progress("train", total=end) as progress,
    ):
        progress.advance(standing.step)
        for step, batch in zip(steps, batches, strict=False):
            found = course.update(trainable, model.encoder, *batch, seed=seed)
            entry, standing = {"step": step, **found}, replace(standing, step=step + 1)
            if standing.step in validations:
                entry[VALID_RECALL] = validate(model)
                standing = _judge(standing, entry[VALID_RECALL], trainable)
                end = last_step(settings, best_step=standing.best_step)
            log.write(entry)
            progress.show(standing.step, end, _note(found, standing))
            if standing.step >= end:
                break
            due = standing.step in validations or time.monotonic() - saved_s >= settings.checkpoint_every_s
            if journal is not None and due:
                save_checkpoint(journal.checkpoint, trainable, standing, fingerprint=fingerprint)
                saved_s = time.monotonic()
    trainable.modules.load_state_dict(trainable.best or trainable.modules.state_dict())
    return model


def validation_steps(settings: TrainingConfig) -> frozenset[int]:
    """The numbers of steps after which the model is validated; the last one is always among them."""
    steps, last = [settings.steps], settings.first_validation
    while last < settings.steps:
        steps.append(last)
        last = max(last + settings.first_validation, int(last * settings.validation_growth))
    return frozenset(steps)


def last_step(settings: TrainingConfig, *, best_step: int) -> int:
    """The validation at which training stops, unless one before it finds more; progress counts time left by it."""
    patience_ends = max(settings.patience * max(best_step, settings.first_validation), settings.least_steps)
    return min((step for step in validation_steps(settings) if step >= patience_ends), default=settings.steps)


def _start(split: Split, recipe: Recipe, *, seed: int, device: torch.device | str) -> tuple[Model, Trainable]:
    """An untrained model, and all that training changes: clusters too, where they are made again."""
    model, trainable = COURSES[recipe.encoder.kind].start(split, recipe, seed=seed, device=device)
    if recipe.redivision is not None:
        recipe.redivision.restart()
        trainable.modules.add_module("division", recipe.redivision)
    return model, trainable


def _judge(standing: Standing, score: float, trainable: Trainable) -> Standing:
    """Keep the parameters where validation finds more than ever."""
    if score <= standing.best_score:
        return standing
    trainable.best.update({name: value.clone() for name, value in trainable.modules.state_dict().items()})
    return Standing(standing.step, best_step=standing.step, best_score=score)


def _note(found: dict[str, Any], standing: Standing) -> str:
    parts = (f"{name} {loss:.3f}" for name, loss in found.items() if isinstance(loss, float))
    return ", ".join([f"best recall {max(standing.best_score, 0):.3f}", *parts])


def _fingerprint(split: Split, model: Model, recipe: Recipe, seed: int) -> str:
    """What is being trained: settings, seed, what was fitted on the features, clusters, and what is learned from."""
    records = (recipe.sampling, recipe.encoder, recipe.objectives, recipe.training, model.transform)
    digest = sha256(json.dumps([seed, *(record.model_dump(mode="json") for record in records)]).encode())
    if recipe.clusters is not None:
        digest.update(recipe.clusters.of.data)
    if recipe.redivision is not None:
        digest.update(str(recipe.redivision.every).encode())
    for values in COURSES[recipe.encoder.kind].learned_from(split):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
