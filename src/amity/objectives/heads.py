"""What stands between the shared codes and one objective alone."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from amity.encoder.parameters import matrix


class ProjectionHead(nn.Module):
    """Linear, ReLU, Linear: paper A's task head (arXiv 2409.14682, section 3.1), without a last bias."""

    def __init__(self, dim: int, width: int, *, generator: Generator) -> None:
        super().__init__()
        self.inner = matrix(dim, dim, generator=generator)
        self.inner_bias = nn.Parameter(torch.zeros(dim))
        self.outer = matrix(dim, width, generator=generator)

    def forward(self, codes: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes width"]:
        """The objective's own view of the codes."""
        return relu(codes @ self.inner + self.inner_bias) @ self.outer
