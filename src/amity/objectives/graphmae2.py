"""GraphMAE2's latent target: a masked node's code, foretold from its neighbours (Hou et al., 2023)."""

from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Generator, Tensor, nn

from amity.encoder import GraphEncoder
from amity.objectives.graphmae import graphmae_loss, mask_token
from amity.objectives.heads import ProjectionHead
from amity.objectives.slow_copy import SlowCopy
from amity.objectives.step import Step
from amity.section import Section


class GraphMae2Config(Section):
    """Settings of GraphMAE2's latent target; its slow copy of the encoder takes as much memory as the encoder."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off."""
    gamma: float = Field(default=3.0, ge=1.0)
    """Power of the cosine error: above 1, nodes that are nearly right matter less."""
    edge_drop: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Share of the edges that the masked view loses."""
    momentum: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Share of itself that the slow copy keeps at each step; the rest is the encoder's."""


class GraphMae2(nn.Module):
    """The objective, its mask token, the head that foretells, and the slow copy."""

    def __init__(self, config: GraphMae2Config, encoder: GraphEncoder, *, generator: Generator) -> None:
        super().__init__()
        self.config = config
        self.mask = mask_token(encoder.dim, generator=generator)
        self.head = ProjectionHead(encoder.dim, encoder.dim, generator=generator)
        self.slow = SlowCopy(encoder, momentum=config.momentum)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The scaled cosine error of the masked queries' codes, as the slow copy sees them without mask or drop.

        After the latent target of Hou et al. (2023, arXiv 2304.04779), with one head and no projector of its own.
        """
        self.slow.follow(step.encoder)
        block = step.dropped(self.config.edge_drop, "graphmae2")
        codes = step.encoder.blend(step.propagate(block, step.hide(self.mask)))
        (target,) = self.slow.codes(step, step.whole)
        return graphmae_loss(self.head(codes[step.masked]), target[step.masked], gamma=self.config.gamma)
