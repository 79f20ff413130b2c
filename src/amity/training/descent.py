"""What a step of any kind ends with: gradients, and what they move."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amity.encoder import Model
from amity.errors import TrainingError
from amity.training.checkpoint import Trainable
from amity.training.optimizer import make_optimizers
from amity.training.recipe import TrainingConfig, step_factor

T = TypeVar("T")


def make_trainable(
    model: Model, objectives: nn.Module, settings: TrainingConfig, *, device: torch.device | str
) -> Trainable:
    """The encoder and what the objectives learn beside it, moved to a device, with their optimizers."""
    modules = nn.ModuleDict({"encoder": model.encoder, "objectives": objectives}).to(device)
    optimizers = make_optimizers(modules, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    return Trainable(modules, optimizers, best={}, factor=partial(step_factor, settings))


def descend(trainable: Trainable, total: Float[Tensor, ""], *, step: int, backward: Callable[[], T]) -> T:
    """One step of every optimizer by the gradients that `backward` leaves.

    Raises `TrainingError` where the loss is no number.
    """
    if not torch.isfinite(total):
        raise TrainingError(
            f"The loss is {total.item()} at step {step}: training has diverged. Lower "
            "`training.learning_rate`, or look for features with extreme values in the summary of ingestion."
        )
    for optimizer in trainable.optimizers:
        optimizer.zero_grad()
    found = backward()
    for optimizer in trainable.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * trainable.factor(step)
        optimizer.step()
    return found
