"""The training loop: sample, encode, three losses, one update; validate now and then; never lose much."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from amity.encoder import EncoderConfig, Inputs, InputSource, Model, build_model
from amity.errors import TrainingError
from amity.log import JsonLines, Progress
from amity.objectives import Objectives, ObjectivesConfig, multitask_loss
from amity.sampling import Batch, SamplingConfig, make_batch, prefetch
from amity.section import Section
from amity.splitting import Split
from amity.training.checkpoint import Standing, Trainable, load_checkpoint, save_checkpoint
from amity.training.optimizer import make_optimizers


class TrainingConfig(Section):
    """How long, how fast, and when to stop."""

    steps: PositiveInt = 4000
    """At most this many steps."""
    learning_rate: PositiveFloat = 3e-3
    """Step size of Adam."""
    weight_decay: NonNegativeFloat = 0.0
    """Decay of the weights (not of the ids' vectors), decoupled as in AdamW (1711.05101)."""
    validate_every: PositiveInt = 250
    """Steps between two validations."""
    patience: PositiveInt = 4
    """Stop after this many validations in a row without a gain, and keep the best parameters."""
    prefetch: PositiveInt = 4
    """Batches sampled ahead of the encoder."""
    checkpoint_every_s: PositiveFloat = 60.0
    """Seconds between two checkpoints."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The sections that decide what is learned."""

    sampling: SamplingConfig
    encoder: EncoderConfig
    objectives: ObjectivesConfig
    training: TrainingConfig


@dataclass(frozen=True, slots=True)
class Journal:
    """Where training writes while it runs."""

    checkpoint: Path | None = None
    """The file from which an interrupted training goes on; absent: it starts anew."""
    log: Path | None = None
    """One JSON line a step; absent: none."""


Validate = Callable[[Model], float]
"""A model to the share of its held-out validation friends that it finds."""


def train_model(
    split: Split, recipe: Recipe, *, seed: int, validate: Validate, journal: Journal | None = None
) -> Model:
    """Train on the train part until the validation part is found no better, and return the best parameters.

    Everything drawn is a function of `seed` and the step, so that a run repeats itself, and one that goes on from
    its checkpoint ends with the very parameters of one that was never stopped (on the CPU, with as many threads).

    Raises `TrainingError` where the loss is no number, and `ArtifactError` where the checkpoint is another training's.
    """
    journal = journal or Journal()
    settings = recipe.training
    model, objectives = _start(split, recipe, seed)
    modules = nn.ModuleDict({"encoder": model.encoder, "objectives": objectives})
    optimizers = make_optimizers(
        modules, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
    )
    trainable = Trainable(modules, optimizers, best={})
    standing, fingerprint = Standing(), _fingerprint(split, recipe, seed)
    if journal.checkpoint is not None and journal.checkpoint.exists():
        standing = load_checkpoint(journal.checkpoint, trainable, fingerprint=fingerprint)
    ...
