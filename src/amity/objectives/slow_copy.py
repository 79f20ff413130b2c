"""A copy of the encoder that follows it slowly and has no gradients: what bootstrapped objectives foretell."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amity.encoder import GraphEncoder
from amity.encoder.states import whole
from amity.objectives.step import Step, View


class SlowCopy(nn.Module):
    """An exponential moving average of an encoder's parameters (Grill et al., 2020, arXiv 2006.07733)."""

    def __init__(self, encoder: GraphEncoder, *, momentum: float) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.momentum = momentum

    @torch.no_grad()
    def follow(self, encoder: GraphEncoder) -> None:
        """One step towards the encoder, in place: ξ ← m ξ + (1 - m) θ."""
        for slow, fast in zip(self.encoder.parameters(), encoder.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)

    @torch.no_grad()
    def codes(self, step: Step, *views: View) -> list[Float[Tensor, "roots dim"]]:
        """What the copy makes of each view."""
        around = step.within(whole(self.encoder.encode_inputs(step.inputs)))
        return [step.encode(view, self.encoder, around) for view in views]
