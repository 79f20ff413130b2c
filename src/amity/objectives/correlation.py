"""Columns of mean 0 and length 1, whose products are correlations."""

from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6
"""Added to variances, so that a dead dimension stays dead instead of dividing by zero."""


def standardize(values: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
    """Each column less its mean, over its standard deviation and √nodes: ZᵀZ is then the correlation of the columns."""
    centred = values - values.mean(0)
    return centred / (centred.square().mean(0) + EPSILON).sqrt() / len(values) ** 0.5
