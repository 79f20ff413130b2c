"""Barlow Twins: two views of a feature correlate fully, and different features not at all (Zbontar et al., 2021)."""

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Generator, Tensor, nn

from amity.objectives.correlation import standardize
from amity.objectives.heads import ProjectionHead
from amity.objectives.step import Step
from amity.section import Section


class BarlowTwinsConfig(Section):
    """Settings of the Barlow Twins objective."""

    weight: NonNegativeFloat = 0.0
    """Factor on this loss in the total; 0 turns the objective off."""
    dim: PositiveInt = 64
    """Width of the views that are compared; a step should have 8 nodes for each, or their correlations are noise."""
    decorrelation: NonNegativeFloat = 5e-3
    """Trade-off λ between agreement of the views and decorrelation of the features."""


class BarlowTwins(nn.Module):
    """The objective and its head."""

    def __init__(self, config: BarlowTwinsConfig, dim: int, *, generator: Generator) -> None:
        super().__init__()
        self.config = config
        self.head = ProjectionHead(dim, config.dim, generator=generator)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the step's two views."""
        views = (self.head(codes) for codes in step.view_codes)
        return barlow_twins_loss(*views, decorrelation=self.config.decorrelation)


def barlow_twins_loss(
    first: Float[Tensor, "nodes dim"], second: Float[Tensor, "nodes dim"], *, decorrelation: float = 5e-3
) -> Float[Tensor, ""]:
    """Pull the correlation C of one view's features with the other's towards the identity.

        (Σ_i (1 - C_ii)² + λ Σ_{i ≠ j} C_ij²) / dim

    Eq. 1 of Zbontar et al. (2021, arXiv 2103.03230), as a mean over the dimensions, so that one weight serves all
    widths.
    """
    correlation = standardize(first).T @ standardize(second)
    agreement = correlation.diagonal()
    redundancy = correlation.square().sum() - agreement.square().sum()
    return ((1 - agreement).square().sum() + decorrelation * redundancy) / first.shape[1]
