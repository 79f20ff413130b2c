"""Uniformity: vectors spread over the sphere (DirectAU, Wang et al., 2022)."""

import numpy as np
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn, pdist
from torch.nn.functional import normalize

from amity.objectives.step import Step
from amity.section import Section


class UniformityConfig(Section):
    """Settings of the uniformity objective; it costs no pass of its own."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off."""
    sharpness: PositiveFloat = 2.0
    """How much more near pairs count than far ones."""


class Uniformity(nn.Module):
    """The objective; it has no head."""

    def __init__(self, config: UniformityConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The mean of the losses of the queries and of the candidates of the retrieval pass."""
        sides = (np.unique(step.batch.queries), step.batch.candidates)
        losses = [
            uniformity_loss(step.vectors[step.on_device(side)], sharpness=self.config.sharpness) for side in sides
        ]
        return (losses[0] + losses[1]) / 2


def uniformity_loss(vectors: Float[Tensor, "nodes dim"], *, sharpness: float = 2.0) -> Float[Tensor, ""]:
    """Log of the mean over pairs of distinct nodes of exp(-t ‖x - y‖²), vectors at length 1; from -4t to 0.

    One node alone has no pair, and is at 0.

    Wang et al. (2022, arXiv 2206.12811), after Wang and Isola (2020, arXiv 2005.10242).
    """
    squares = pdist(normalize(vectors, dim=1)).square()
    return (-sharpness * squares).exp().mean().log() if len(squares) else 0.0 * vectors.sum()
