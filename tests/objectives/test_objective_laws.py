"""Every objective obeys the laws of `laws.py`, and its bounds."""

import pytest
import torch
from torch import Tensor

from amity.objectives import (
    barlow_twins_loss,
    bgrl_loss,
    cca_ssg_loss,
    grace_loss,
    graphmae_loss,
    retrieval_losses,
    uniformity_loss,
    xsimgcl_loss,
)
from laws import OBJECTIVE_LAWS


def retrieval(first: Tensor, second: Tensor) -> Tensor:
    size = len(first)
    masked = torch.zeros(size, size, dtype=torch.bool)
    return retrieval_losses(first @ second.T / 0.5, positives=torch.arange(size), masked=masked).mean()


def uniformity(first: Tensor, second: Tensor) -> Tensor:
    return (uniformity_loss(first) + uniformity_loss(second)) / 2


OBJECTIVES = {
    "retrieval": (retrieval, 0.0),
    "cca_ssg": (cca_ssg_loss, 0.0),
    "graphmae": (graphmae_loss, 0.0),
    "grace": (grace_loss, 0.0),
    "bgrl": (bgrl_loss, 0.0),
    "barlow_twins": (barlow_twins_loss, 0.0),
    "uniformity": (uniformity, -8.0),
    "xsimgcl": (xsimgcl_loss, 0.0),
}
"""Each loss of two views, and the least that it can be."""


def draw(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(12, 4, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("law", OBJECTIVE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_law(name, law, seed):
    law(OBJECTIVES[name][0], *draw(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_loss_is_below_its_bound(name, seed):
    loss, lowest = OBJECTIVES[name]
    first, second = draw(seed)
    assert loss(first, second) >= lowest - 1e-6
    assert loss(first, first) >= lowest - 1e-6
