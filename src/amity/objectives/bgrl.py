"""BGRL: a view foretells what a slow copy of the encoder makes of the other one (Thakoor et al., 2022)."""

from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Generator, Tensor, nn
from torch.nn.functional import cosine_similarity

from amity.encoder import GraphEncoder
from amity.objectives.heads import ProjectionHead
from amity.objectives.slow_copy import SlowCopy
from amity.objectives.step import Step
from amity.section import Section


class BgrlConfig(Section):
    """Settings of the BGRL objective; its slow copy of the encoder takes as much memory as the encoder."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off."""
    momentum: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Share of itself that the slow copy keeps at each step; the rest is the encoder's."""


class Bgrl(nn.Module):
    """The objective, the head that foretells, and the slow copy."""

    def __init__(self, config: BgrlConfig, encoder: GraphEncoder, *, generator: Generator) -> None:
        super().__init__()
        self.head = ProjectionHead(encoder.dim, encoder.dim, generator=generator)
        self.slow = SlowCopy(encoder, momentum=config.momentum)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the step's two views, from either one to the other."""
        self.slow.follow(step.encoder)
        first, second = self.slow.codes(step, *step.views)
        foretold = [self.head(codes) for codes in step.view_codes]
        return (bgrl_loss(foretold[0], second) + bgrl_loss(foretold[1], first)) / 2


def bgrl_loss(foretold: Float[Tensor, "nodes dim"], target: Float[Tensor, "nodes dim"]) -> Float[Tensor, ""]:
    """The mean over the nodes of 2 - 2 cos(z, h), from 0 to 4.

    Thakoor et al. (2022, arXiv 2102.06514), whose loss is without the constant.
    """
    return (2.0 - 2.0 * cosine_similarity(foretold, target, dim=1)).mean()
