"""Every objective obeys the laws of `laws.py`."""

import pytest
import torch

from amity.objectives import cca_ssg_loss, graphmae_loss, retrieval_loss
from laws import OBJECTIVE_LAWS


def retrieval(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    size = len(first)
    return retrieval_loss(
        first,
        second,
        positives=torch.arange(size),
        masked=torch.zeros(size, size, dtype=torch.bool),
        temperature=0.5,
    )


OBJECTIVES = {"retrieval": retrieval, "cca_ssg": cca_ssg_loss, "graphmae": graphmae_loss}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("law", OBJECTIVE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_law(name, law, seed):
    generator = torch.Generator().manual_seed(seed)
    law(OBJECTIVES[name], *(torch.randn(12, 4, generator=generator) for _ in range(2)))
