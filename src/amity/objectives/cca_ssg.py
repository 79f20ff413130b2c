"""CCA-SSG: two views of a node agree while features stay decorrelated (Zhang et al., 2021)."""

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn

from amity.objectives.correlation import standardize
from amity.objectives.heads import ProjectionHead
from amity.objectives.step import Step
from amity.section import Section

ROWS_PER_DIM = 8
"""Fewer rows than so many a dimension make the correlations noise."""


class CcaSsgConfig(Section):
    """Settings of the CCA-SSG objective."""

    weight: NonNegativeFloat = 0.1
    """Factor on this loss in the total; 0 turns the objective off."""
    dim: PositiveInt = 64
    """Width of the views that are compared; a step should have 8 nodes for each, or their correlations are noise."""
    decorrelation: NonNegativeFloat = 1e-3
    """Trade-off λ between agreement of the views and decorrelation of the features."""


class CcaSsg(nn.Module):
    """The objective and its head; a last bias of the head would be standardised away."""

    def __init__(self, config: CcaSsgConfig, dim: int, *, generator: Generator) -> None:
        super().__init__()
        self.config = config
        self.head = ProjectionHead(dim, config.dim, generator=generator)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the step's two views."""
        return cca_ssg_loss(*(self.head(codes) for codes in step.view_codes), decorrelation=self.config.decorrelation)


def cca_ssg_loss(
    first: Float[Tensor, "nodes dim"],
    second: Float[Tensor, "nodes dim"],
    *,
    decorrelation: float = 1e-3,
) -> Float[Tensor, ""]:
    """Pull two views of the same nodes together without letting them collapse.

    With the columns of Z standardized and divided by √nodes, so that ZᵀZ is their correlation:

        (‖Z₁ - Z₂‖² + λ (‖Z₁ᵀZ₁ - I‖² + ‖Z₂ᵀZ₂ - I‖²)) / dim

    Eq. 3 of Kolodner et al. (2024, arXiv 2409.14682), as a mean over the dimensions, so that one weight serves all
    widths. It takes at least 8 rows a dimension for the correlations to mean anything.
    """
    z1, z2 = standardize(first), standardize(second)
    agreement = (z1 - z2).square().sum()
    redundancy = _off_identity(z1.T @ z1) + _off_identity(z2.T @ z2)
    return (agreement + decorrelation * redundancy) / first.shape[1]


def _off_identity(correlation: Tensor) -> Tensor:
    return (
        (correlation - torch.eye(len(correlation), dtype=correlation.dtype, device=correlation.device)).square().sum()
    )
