"""CCA-SSG: two views of a node agree while features stay decorrelated (Zhang et al., 2021)."""

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from amity.section import Section

ROWS_PER_DIM = 8
"""Fewer rows than so many a dimension make the correlations noise."""
EPSILON = 1e-6
"""Added to variances, so that a dead dimension stays dead instead of dividing by zero."""


class CcaSsgConfig(Section):
    """Settings of the CCA-SSG objective."""

    weight: NonNegativeFloat = 0.1
    """Factor on this loss in the total; 0 turns the objective off."""
    dim: PositiveInt = 64
    """Width of the views that are compared; a step should have 8 nodes for each, or their correlations are noise."""
    decorrelation: NonNegativeFloat = 1e-3
    """Trade-off λ between agreement of the views and decorrelation of the features."""
    edge_drop: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the edges that each view loses."""
    feature_drop: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the columns of the first states that each view loses."""


class CcaSsgHead(nn.Module):
    """Linear, ReLU, Linear: what stands between the shared codes and this objective alone."""

    def __init__(self, dim: int, width: int, *, generator: Generator) -> None:
        super().__init__()
        self.inner = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, dim), generator=generator))
        self.inner_bias = nn.Parameter(torch.zeros(dim))
        self.outer = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, width), generator=generator))

    def forward(self, codes: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes width"]:
        """The head's own view of the codes; a last bias would be standardised away."""
        return relu(codes @ self.inner + self.inner_bias) @ self.outer


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
    z1, z2 = _standardize(first), _standardize(second)
    agreement = (z1 - z2).square().sum()
    redundancy = _off_identity(z1.T @ z1) + _off_identity(z2.T @ z2)
    return (agreement + decorrelation * redundancy) / first.shape[1]


def drop_columns(
    states: Float[Tensor, "nodes dim"], *, rate: float, generator: Generator
) -> Float[Tensor, "nodes dim"]:
    """The states without some of their columns, the same ones for all nodes: the feature drop of CCA-SSG."""
    kept = torch.rand(states.shape[1], generator=generator) >= rate
    return states * kept.to(states.device)


def _standardize(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    return centred / (centred.square().mean(0) + EPSILON).sqrt() / len(values) ** 0.5


def _off_identity(correlation: Tensor) -> Tensor:
    return (
        (correlation - torch.eye(len(correlation), dtype=correlation.dtype, device=correlation.device)).square().sum()
    )
