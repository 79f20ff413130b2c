"""XSimGCL: noise in every layer of the one pass, and a contrast between two layers (Yu et al., 2022)."""

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from amity.objectives.step import Step
from amity.section import Section


class XSimGclConfig(Section):
    """Settings of the XSimGCL objective; it costs no pass of its own: the retrieval pass carries its noise."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off, and its noise."""
    noise: NonNegativeFloat = 0.1
    """Length ε of the noise that is added to every node's state after every layer."""
    temperature: PositiveFloat = 0.2
    """What cosines are divided by."""
    layer: PositiveInt = 1
    """The layer whose states are held against the vectors; the last one where there are fewer."""


class XSimGcl(nn.Module):
    """The objective; it has no head."""

    def __init__(self, config: XSimGclConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The mean of the losses of the queries and of the candidates of the retrieval pass."""
        layer = min(self.config.layer, len(step.reached) - 1)
        final, early = step.codes, step.reached[layer]
        losses = [
            xsimgcl_loss(final[nodes], early[nodes], temperature=self.config.temperature)
            for nodes in (step.on_device(np.unique(step.batch.queries)), step.on_device(step.batch.candidates))
        ]
        return (losses[0] + losses[1]) / 2


def xsimgcl_loss(
    first: Float[Tensor, "nodes dim"], second: Float[Tensor, "nodes dim"], *, temperature: float = 0.2
) -> Float[Tensor, ""]:
    """The mean over the nodes of -log exp(cos(z_i, z'_i) / T) / Σ_j exp(cos(z_i, z'_j) / T).

    The contrast across layers of Yu et al. (2022, arXiv 2209.02544), with a mean for its sum.
    """
    cosines = normalize(first, dim=1) @ normalize(second, dim=1).T
    return cross_entropy(cosines / temperature, torch.arange(len(first), device=first.device))
