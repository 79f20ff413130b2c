"""The training loop: sample, encode, weigh the losses, update; validate now and then; never lose much."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from amity.encoder import EncoderConfig, GraphEncoder, Inputs, InputSource, Model, build_model
from amity.errors import ConfigError, TrainingError
from amity.log import JsonLines, Progress, say
from amity.objectives import Objectives, ObjectivesConfig, multitask_loss
from amity.objectives.cca_ssg import ROWS_PER_DIM
from amity.sampling import Batch, BatchMaker, SamplingConfig, prefetch
from amity.sampling.draws import keyed
from amity.section import Section
from amity.splitting import Split
from amity.training.checkpoint import Standing, Trainable, load_checkpoint, save_checkpoint
from amity.training.determinism import deterministic
from amity.training.optimizer import make_optimizers

UPDATES = 4
"""What the seed is used for here; numbers 0 to 3 are sampling's."""
VALID_RECALL = "valid_recall"
"""Under what name the log keeps what a validation finds."""


class TrainingConfig(Section):
    """How long, how fast, and when to stop."""

    steps: PositiveInt = 2000
    """At most this many steps."""
    learning_rate: PositiveFloat = 5e-3
    """Step size of Adam."""
    weight_decay: NonNegativeFloat = 0.0
    """Decay of the weights (not of the vectors of ids), decoupled as in AdamW (arXiv 1711.05101)."""
    first_validation: PositiveInt = 25
    """The step after which the model is first validated, and the least distance between two validations."""
    validation_growth: float = Field(default=1.2, ge=1.0)
    """Each further validation comes at so many times the step of the one before: small graphs need fewer steps."""
    patience: float = Field(default=2.0, gt=1.0)
    """Stop at the first validation that comes at so many times the step of the best one; its parameters are kept."""
    checkpoint_every_s: PositiveFloat = 60.0
    """Seconds between two checkpoints; there is one at each validation too."""


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

    checkpoint: Path
    """The file from which an interrupted training goes on."""
    log: Path
    """One JSON line a step."""


Validate = Callable[[Model], float]
"""A model to the share of the held-out validation friends that it finds."""


def train_model(
    split: Split, recipe: Recipe, *, seed: int, validate: Validate, journal: Journal | None = None
) -> Model:
    """Train on the train part until the validation part is found no better, and return the best parameters.

    Everything drawn is a function of `seed` and the step, so that a run repeats itself, and one that goes on from
    its checkpoint ends with the very parameters of one that was never stopped (on the CPU, with as many threads).

    Raises `ConfigError` where the settings do not fit each other, `TrainingError` where the loss is no number, and
    `ArtifactError` where the checkpoint is torn. A checkpoint of another training is said to be so, and not taken up.
    """
    settings = recipe.training
    model, trainable = _start(split, recipe, seed)
    fingerprint, standing = _fingerprint(split, model, recipe, seed) if journal else "", Standing()
    if journal is not None and journal.checkpoint.exists():
        standing = load_checkpoint(journal.checkpoint, trainable, fingerprint=fingerprint)
    steps, validations = range(standing.step, settings.steps), validation_steps(settings)
    end, saved_s = last_step(settings, best_step=standing.best_step), time.monotonic()
    with (
        deterministic(),
        prefetch(_batch_maker(split, model, recipe.sampling, seed), steps, depth=recipe.sampling.prefetched) as batches,
        JsonLines(journal.log if journal else None, steps=standing.step) as log,
        Progress("train", total=end) as progress,
    ):
        progress.advance(standing.step)
        for step, (batch, inputs) in zip(steps, batches, strict=False):
            losses = _update(trainable, model.encoder, batch, inputs, seed=seed)
            entry, standing = {"step": step, **losses}, replace(standing, step=step + 1)
            if standing.step in validations:
                entry[VALID_RECALL] = validate(model)
                standing = _judge(standing, entry[VALID_RECALL], trainable)
                end = last_step(settings, best_step=standing.best_step)
            log.write({**entry, "waited_s": round(batches.waited_s, 3)})
            progress.show(standing.step, end, _note(losses, standing))
            if standing.step >= end:
                break
            due = standing.step in validations or time.monotonic() - saved_s >= settings.checkpoint_every_s
            if journal is not None and due:
                save_checkpoint(journal.checkpoint, trainable, standing, fingerprint=fingerprint)
                saved_s = time.monotonic()
    trainable.modules.load_state_dict(trainable.best)
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
    patience_ends = settings.patience * max(best_step, settings.first_validation)
    return min((step for step in validation_steps(settings) if step >= patience_ends), default=settings.steps)


def _start(split: Split, recipe: Recipe, seed: int) -> tuple[Model, Trainable]:
    layers, hops = recipe.encoder.layers, len(recipe.sampling.fanout)
    if layers != hops:
        raise ConfigError(
            f"Each message pass needs neighbours to hear: the encoder has {layers} (`encoder.layers`), but {hops} "
            "hops are sampled (`sampling.fanout`). Give the fan-out one number for each layer."
        )
    _warn_of_noise(recipe, min(split.train.num_nodes, 2 * recipe.sampling.batch_size + recipe.sampling.negatives))
    model = build_model(split.train, recipe.encoder, seed=seed)
    objectives = Objectives(recipe.objectives, model.transform, model.encoder.dim, seed=seed)
    modules = nn.ModuleDict({"encoder": model.encoder, "objectives": objectives})
    settings = recipe.training
    optimizers = make_optimizers(modules, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    return model, Trainable(modules, optimizers, best={})


def _warn_of_noise(recipe: Recipe, seeds: int) -> None:
    cca = recipe.objectives.cca_ssg
    if cca.weight and seeds < ROWS_PER_DIM * cca.dim:
        say(
            f"CCA-SSG correlates {cca.dim} dimensions over at most {seeds} nodes a step, which is noise: it takes "
            f"{ROWS_PER_DIM} nodes a dimension. Raise `sampling.batch_size`, or lower `objectives.cca_ssg.dim`."
        )


def _batch_maker(
    split: Split, model: Model, config: SamplingConfig, seed: int
) -> Callable[[int], tuple[Batch, Inputs]]:
    make, source = BatchMaker.prepare(split, config, seed=seed), InputSource.of(model.transform, split.train)

    def make_with_inputs(step: int) -> tuple[Batch, Inputs]:
        batch = make(step)
        return batch, source.gather(batch.block.nodes)

    return make_with_inputs


def _update(
    trainable: Trainable, encoder: GraphEncoder, batch: Batch, inputs: Inputs, *, seed: int
) -> dict[str, float]:
    """One step of every optimizer; gives the losses, before weighing."""
    objectives = trainable.modules.get_submodule("objectives")
    assert isinstance(objectives, Objectives)
    losses = objectives(encoder, batch, inputs, seed=int(keyed(seed, UPDATES, batch.step)))
    total = multitask_loss(losses, objectives.config.weights())
    if not torch.isfinite(total):
        raise TrainingError(
            f"The loss is {total.item()} at step {batch.step}: training has diverged. Lower "
            "`training.learning_rate`, or look for features with extreme values in the summary of ingestion."
        )
    for optimizer in trainable.optimizers:
        optimizer.zero_grad()
    total.backward()
    for optimizer in trainable.optimizers:
        optimizer.step()
    return {"loss": total.item(), **{name: loss.item() for name, loss in losses.items()}}


def _judge(standing: Standing, score: float, trainable: Trainable) -> Standing:
    """Keep the parameters where validation finds more than ever."""
    if score <= standing.best_score:
        return standing
    trainable.best.update({name: value.clone() for name, value in trainable.modules.state_dict().items()})
    return Standing(standing.step, best_step=standing.step, best_score=score)


def _note(losses: dict[str, float], standing: Standing) -> str:
    parts = (f"{name} {loss:.3f}" for name, loss in losses.items())
    return ", ".join([f"best recall {max(standing.best_score, 0):.3f}", *parts])


def _fingerprint(split: Split, model: Model, recipe: Recipe, seed: int) -> str:
    """What is being trained: the settings, the seed, what was fitted on the features, every edge and its order."""
    records = (recipe.sampling, recipe.encoder, recipe.objectives, recipe.training, model.transform)
    digest = sha256(json.dumps([seed, *(record.model_dump(mode="json") for record in records)]).encode())
    messages, supervision = split.train.messages, split.supervision
    for values in (messages.indptr, messages.indices, supervision.sources, supervision.targets):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
