"""One step on neighbourhoods: a batch with its inputs, the losses, and what they change."""

from collections.abc import Callable
from typing import Any

import torch

from amity.encoder import GraphEncoder, Inputs, InputSource, Model, build_model
from amity.errors import ConfigError
from amity.log import say
from amity.objectives import Objectives, multitask_loss
from amity.objectives.cca_ssg import ROWS_PER_DIM
from amity.sampling import Batch, BatchMaker
from amity.sampling.draws import keyed
from amity.splitting import Split
from amity.training.checkpoint import Trainable
from amity.training.descent import descend, make_trainable
from amity.training.recipe import Recipe

UPDATES = 3
"""What the seed is used for here; numbers 0 to 2 are sampling's."""


def start(split: Split, recipe: Recipe, *, seed: int, device: torch.device | str = "cpu") -> tuple[Model, Trainable]:
    """An untrained model on a device, drawn on the CPU whatever the device is, and its optimizers.

    Raises `ConfigError` where the settings do not fit each other.
    """
    layers, hops = recipe.encoder.layers, len(recipe.sampling.fanout)
    if layers != hops:
        raise ConfigError(
            f"Each message pass needs neighbours to hear: the encoder has {layers} (`encoder.layers`), but {hops} "
            "hops are sampled (`sampling.fanout`). Give the fan-out one number for each layer."
        )
    if recipe.objectives.retrieval.loss == "bce":
        raise ConfigError(
            'The binary loss is that of histories (`objectives.retrieval.loss` is "bce"), and this encoder reads '
            'neighbourhoods (`encoder.kind` is "graph"). Set the loss to "softmax".'
        )
    _warn_of_noise(recipe, min(split.train.num_nodes, 2 * recipe.sampling.batch_size + recipe.sampling.negatives))
    model = build_model(split.train, recipe.encoder, seed=seed, division=recipe.division)
    objectives = Objectives(recipe.objectives, model, seed=seed)
    return model, make_trainable(model, objectives, recipe.training, device=device)


def batch_maker(
    split: Split, model: Model, recipe: Recipe, *, seed: int, device: torch.device | str = "cpu"
) -> Callable[[int], tuple[Batch, Inputs]]:
    """What makes the batch of any step with the inputs of its nodes, these on the device."""
    make = BatchMaker.prepare(split, recipe.sampling, recipe.standing_clusters, seed=seed)
    source = InputSource.of(model.transform, split.train).of_training()

    def make_with_inputs(step: int) -> tuple[Batch, Inputs]:
        batch = make(step)
        return batch, source.gather(batch.block.nodes, nameless=batch.duplicates).to(device)

    return make_with_inputs


def update(trainable: Trainable, encoder: GraphEncoder, batch: Batch, inputs: Inputs, *, seed: int) -> dict[str, Any]:
    """One step of every optimizer; gives the losses, before weighing, and `gradients`: see `Objectives.backward`."""
    objectives = trainable.modules.get_submodule("objectives")
    assert isinstance(objectives, Objectives)
    step = objectives.prepare(encoder, batch, inputs, seed=int(keyed(seed, UPDATES, batch.step)))
    losses = objectives(step)
    total = multitask_loss(losses, objectives.config.weights())
    gradients = descend(trainable, total, step=batch.step, backward=lambda: objectives.backward(step, losses))
    found = {"loss": total.item(), **{name: loss.item() for name, loss in losses.items()}}
    return found | ({"gradients": gradients} if gradients else {})


def _warn_of_noise(recipe: Recipe, seeds: int) -> None:
    objectives, roots = recipe.objectives, round(seeds * recipe.objectives.views.share)
    for name, title in (("cca_ssg", "CCA-SSG"), ("barlow_twins", "Barlow Twins")):
        section = getattr(objectives, name)
        if section.weight and roots < ROWS_PER_DIM * section.dim:
            say(
                f"{title} correlates {section.dim} dimensions over at most {roots} nodes a step, which is noise: it "
                f"takes {ROWS_PER_DIM} nodes a dimension. Raise `sampling.batch_size`, or lower "
                f"`objectives.{name}.dim`."
            )
