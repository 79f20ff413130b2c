"""Intent: in which cluster a user's next positive lies, told by the user's code (arXiv 2302.02657)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize


class IntentHead(nn.Module):
    """Logits over the clusters, W h / ‖h‖ √dim + b, so that the length of the code plays no part; 0 at the start."""

    def __init__(self, clusters: int, dim: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(dim, clusters))
        self.bias = nn.Parameter(torch.zeros(clusters))

    def forward(self, codes: Float[Tensor, "queries dim"]) -> Float[Tensor, "queries clusters"]:
        """The logits of each query; their softmax is p(cluster | query)."""
        return normalize(codes, dim=1) * codes.shape[1] ** 0.5 @ self.weights + self.bias

    @torch.no_grad()
    def cool(self, temperature: float) -> None:
        """Divide all logits by a temperature, in place."""
        self.weights /= temperature
        self.bias /= temperature
