"""One step on histories: the item that comes next at every place of them, and what that changes."""

from collections.abc import Callable
from typing import Any

import torch

from amity.encoder import Model, SequenceEncoder, build_model
from amity.objectives import NextItem
from amity.sampling import HistoryBatch, HistoryMaker
from amity.sampling.draws import keyed
from amity.splitting import Split
from amity.training.checkpoint import Trainable
from amity.training.descent import descend, make_trainable
from amity.training.recipe import Recipe
from amity.training.step import UPDATES


def start(split: Split, recipe: Recipe, *, seed: int, device: torch.device | str = "cpu") -> tuple[Model, Trainable]:
    """An untrained model on a device, drawn on the CPU whatever the device is, and its optimizers.

    Retrieval is all that it is trained for: the other objectives look at neighbourhoods.
    """
    model = build_model(split.train, recipe.encoder, seed=seed, division=recipe.division)
    return model, make_trainable(model, NextItem(recipe.objectives.retrieval), recipe.training, device=device)


def batch_maker(
    split: Split,
    model: Model,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",  # noqa: ARG001 (a course's signature; a batch is moved when it is used)
) -> Callable[[int], tuple[HistoryBatch]]:
    """What makes the batch of any step; raises `ConfigError` where the train edges have no order."""
    make = HistoryMaker.prepare(split, recipe.sampling, length=model.encoder.config.sequence.length, seed=seed)
    return lambda step: (make(step),)


def update(trainable: Trainable, encoder: SequenceEncoder, batch: HistoryBatch, *, seed: int) -> dict[str, Any]:
    """One step of every optimizer; gives the loss."""
    objective = trainable.modules.get_submodule("objectives")
    assert isinstance(objective, NextItem)
    loss = objective(encoder, batch, seed=int(keyed(seed, UPDATES, batch.step)))
    descend(trainable, loss, step=batch.step, backward=loss.backward)
    return {"loss": loss.item(), "retrieval": loss.item()}
