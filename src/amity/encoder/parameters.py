"""Parameters as they are drawn before training."""

import torch
from torch import Generator, nn


def matrix(rows: int, columns: int, *, generator: Generator) -> nn.Parameter:
    """A linear map, drawn evenly within the bounds of Glorot and Bengio (2010)."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns), generator=generator))
