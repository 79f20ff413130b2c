"""What every encoder does with a code: the vector to compare, with what each cluster is asked, how likely it is."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn.functional import normalize

from amity.encoder.config import EncoderConfig
from amity.encoder.intent import IntentHead
from amity.encoder.prompts import Division, PromptedHead, PromptedInputs, make_prompts

HEADS = 0x4EAD
"""Keeps the draws of heads apart from others under the same seed, so that these do not hang on clusters."""


class AskingEncoder(nn.Module):
    """What stands behind the codes of an encoder of any kind."""

    def __init__(self, config: EncoderConfig, division: Division, *, seed: int) -> None:
        super().__init__()
        self.config, self.division = config, division
        clusters, generator = division.clusters, torch.Generator().manual_seed(seed ^ HEADS)
        self.prompts = make_prompts(config.prompts, clusters=clusters, dim=config.dim, generator=generator)
        self.intent = IntentHead(clusters, config.dim) if division.intent else None

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.config.dim

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device

    @property
    def prompted_inputs(self) -> bool:
        """Whether prompts change what enters the encoder, so that each cluster takes a pass of its own."""
        return isinstance(self.prompts, PromptedInputs)

    @property
    def head(self) -> PromptedHead | None:
        """The prompts that stand behind the encoder, so that one pass of it serves all clusters; none elsewhere."""
        return None if isinstance(self.prompts, PromptedInputs) else self.prompts

    @property
    def num_asked(self) -> int:
        """How many clusters are asked with vectors of their own."""
        return 0 if self.prompts is None else self.division.clusters

    @property
    def num_intended(self) -> int:
        """How many clusters it is known of how likely they are."""
        return 0 if self.intent is None else self.division.clusters

    def scale(self, codes: Float[Tensor, "*nodes dim"]) -> Float[Tensor, "*nodes dim"]:
        """The vectors that training compares: see `scale`."""
        return scale(codes, self.config)

    def ask(self, codes: Float[Tensor, "queries dim"]) -> Float[Tensor, "prompts queries dim"]:
        """The vectors with which queries ask each cluster, as training compares them.

        They are one for all clusters where no prompt stands behind the encoder: where prompts are at the inputs, the
        codes are to be those of an encoder that was prompted for the cluster that is asked.
        """
        return self.scale(codes[None] if self.head is None else self.head(codes))

    def stretches(self, degrees: Float32[Tensor, "nodes"]) -> Float32[Tensor, "nodes"]:
        """By what vectors are stretched for retrieval, where the popular would else rank no higher than the unknown."""
        power = self.config.popularity if self.config.output == "cosine" else 0.0
        return degrees.clamp(min=1.0).pow(power)

    def stretch(
        self, vectors: Float[Tensor, "nodes dim"], degrees: Float32[Tensor, "nodes"]
    ) -> Float[Tensor, "nodes dim"]:
        """The vectors that retrieval compares."""
        return vectors * self.stretches(degrees)[:, None]


def scale(codes: Float[Tensor, "*nodes dim"], config: EncoderConfig) -> Float[Tensor, "*nodes dim"]:
    """The vectors that training compares, of codes: of length 1 under `cosine`."""
    return normalize(codes, dim=-1) if config.output == "cosine" else codes
