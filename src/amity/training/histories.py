"""One step on histories: the item that comes next at every place of them, and what that changes."""

from collections.abc import Callable
from typing import Any

import torch

from amity.encoder import Model, SequenceEncoder, build_model
from amity.errors import ConfigError
from amity.objectives import NextItem, multitask_loss
from amity.sampling import HistoryBatch, HistoryMaker
from amity.sampling.draws import keyed
from amity.splitting import Split
from amity.training.checkpoint import Trainable
from amity.training.descent import descend, make_trainable
from amity.training.recipe import Recipe
from amity.training.step import UPDATES


def start(split: Split, recipe: Recipe, *, seed: int, device: torch.device | str = "cpu") -> tuple[Model, Trainable]:
    """An untrained model on a device, drawn on the CPU whatever the device is, and its optimizers.

    Retrieval and intent are all that it is trained for: the other objectives look at neighbourhoods. Raises
    `ConfigError` without retrieval, and for clusters under a loss that knows none.
    """
    objectives, division = recipe.objectives, recipe.division
    if not objectives.retrieval.weight:
        raise ConfigError(
            "Histories are read for retrieval, and its weight is 0 (`objectives.retrieval.weight`). Give it one above "
            '0, or set `encoder.kind` to "graph".'
        )
    if division.clusters > 1 and objectives.retrieval.loss == "bce":
        raise ConfigError(
            f'The binary loss knows no clusters (`objectives.retrieval.loss` is "bce"), and there are '
            f'{division.clusters}. Set it to "softmax", or `clustering.by` to "none".'
        )
    model = build_model(split.train, recipe.encoder, seed=seed, division=division)
    return model, make_trainable(model, NextItem(objectives), recipe.training, device=device)


def batch_maker(
    split: Split,
    model: Model,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",  # noqa: ARG001 (a course's signature; a batch is moved when it is used)
) -> Callable[[int], tuple[HistoryBatch]]:
    """What makes the batch of any step; raises `ConfigError` where the train edges have no order."""
    encoder = model.encoder
    make = HistoryMaker.prepare(
        split,
        recipe.sampling,
        recipe.standing_clusters,
        length=encoder.config.sequence.length,
        seed=seed,
        one_cluster=encoder.prompted_inputs,
    )
    return lambda step: (make(step),)


def update(trainable: Trainable, encoder: SequenceEncoder, batch: HistoryBatch, *, seed: int) -> dict[str, Any]:
    """One step of every optimizer; gives the losses, before weighing."""
    objective = trainable.modules.get_submodule("objectives")
    assert isinstance(objective, NextItem)
    losses = objective(encoder, batch, seed=int(keyed(seed, UPDATES, batch.step)))
    total = multitask_loss(losses, objective.config.weights())
    descend(trainable, total, step=batch.step, backward=total.backward)
    return {"loss": total.item(), **{name: loss.item() for name, loss in losses.items()}}
