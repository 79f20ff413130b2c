"""GRACE: a node is told from all others, in its own view and in another (Zhu et al., 2020)."""

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from amity.objectives.heads import ProjectionHead
from amity.objectives.step import Step
from amity.section import Section


class GraceConfig(Section):
    """Settings of the GRACE objective."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off."""
    dim: PositiveInt = 64
    """Width of the views that are compared."""
    temperature: PositiveFloat = 0.5
    """What cosines are divided by."""


class Grace(nn.Module):
    """The objective and its head."""

    def __init__(self, config: GraceConfig, dim: int, *, generator: Generator) -> None:
        super().__init__()
        self.config = config
        self.head = ProjectionHead(dim, config.dim, generator=generator)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the step's two views."""
        return grace_loss(*(self.head(codes) for codes in step.view_codes), temperature=self.config.temperature)


def grace_loss(
    first: Float[Tensor, "nodes dim"], second: Float[Tensor, "nodes dim"], *, temperature: float = 0.5
) -> Float[Tensor, ""]:
    """Tell each node u from all others by its other view v, as a mean over the nodes of either view.

        -log exp(θ(u, v) / T) / (Σ_k exp(θ(u, v_k) / T) + Σ_{k ≠ u} exp(θ(u, u_k) / T)),  θ the cosine

    Eq. 1 and 2 of Zhu et al. (2020, arXiv 2006.04131).
    """
    return (_one_sided(first, second, temperature) + _one_sided(second, first, temperature)) / 2


def _one_sided(anchors: Tensor, others: Tensor, temperature: float) -> Tensor:
    u, v = normalize(anchors, dim=1), normalize(others, dim=1)
    across, within = u @ v.T / temperature, u @ u.T / temperature
    within = within.masked_fill(torch.eye(len(u), dtype=torch.bool, device=u.device), -torch.inf)
    return (torch.cat([across, within], dim=1).logsumexp(1) - across.diagonal()).mean()
