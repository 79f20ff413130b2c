"""Interests: several vectors of one history, each a mean of it under an attention of its own (ComiRec-SA)."""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from amity.encoder.parameters import matrix

WIDER = 4
"""So many times wider than the vectors is the layer from which attention is read."""
LEAST = -1e9
"""The score of what is idle: it weighs nothing beside anything else, and a mean of nothing but it stays finite."""


class InterestPooling(nn.Module):
    """Self-attentive pooling (Cen et al., 2020, arXiv 2005.09347, section 3.3), at every place of what is before it.

    v_k = Σ_j a_jk h_j,  a_k = softmax over j of w_kᵀ tanh(W h_j)
    """

    def __init__(self, dim: int, *, interests: int, generator: Generator) -> None:
        super().__init__()
        self.inner = matrix(dim, WIDER * dim, generator=generator)
        self.outer = matrix(WIDER * dim, interests, generator=generator)

    def forward(
        self, states: Float[Tensor, "users length dim"], idle: Bool[Tensor, "users length"]
    ) -> Float[Tensor, "users length interests dim"]:
        """The interests at each place, from the states of it and of those before it that are not `idle`."""
        scores = (torch.tanh(states @ self.inner) @ self.outer).masked_fill(idle[..., None], LEAST)
        length = states.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=states.device).triu(1)
        weights = scores.permute(0, 2, 1)[:, :, None].masked_fill(later, -torch.inf).softmax(-1)
        return (weights @ states.masked_fill(idle[..., None], 0.0)[:, None]).transpose(1, 2)
