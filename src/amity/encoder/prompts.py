"""Prompts: what becomes of a user's code h before it asks cluster k (divide and conquer, arXiv 2302.02657).

Every way begins at h itself, to the bit, so that training starts from the model that all clusters share.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import PositiveInt
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from amity.encoder.parameters import matrix
from amity.errors import ConfigError
from amity.section import Section

EVERY = slice(None)
"""All clusters."""
TOKEN_SCALE = 0.1
"""Standard deviation of the entries of a token at the start."""


class PromptsConfig(Section):
    """How one encoder serves many clusters."""

    kind: Literal["none", "product", "token", "mmoe"] = "product"
    """Not at all; by a vector that is multiplied with the code; by one that is added to it; or by a mixture of experts
    that all clusters share. Without clusters there are no prompts."""
    at: Literal["head", "inputs"] = "head"
    """Whether prompts change the finished code, or, as published and for the sequence encoder alone, what enters it."""
    hidden: PositiveInt = 16
    """Width between the two maps W₁ and W₂ behind the encoder: what clusters ask beyond the code passes through it."""
    experts: PositiveInt = 4
    """Experts of `mmoe`."""


@dataclass(frozen=True, slots=True)
class Division:
    """What an encoder is to know of clusters."""

    clusters: int = 1
    """How many there are."""
    intent: bool = False
    """Whether it learns how likely a user asks each of them."""


UNDIVIDED = Division()


class ProductHead(nn.Module):
    """A prompt t_k for each cluster, multiplied with the code before a non-linearity.

        e^(k) = t_k ⊙ h + W₂ σ(W₁ (t_k ⊙ h)),  t_k = 1 and W₂ = 0 at the start

    Paper B multiplies what enters the encoder; this needs one pass of the encoder and K of the head. A prompt without
    the second term would be no more than a diagonal metric for each cluster.
    """

    def __init__(self, clusters: int, dim: int, *, hidden: int, generator: Generator) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.ones(clusters, dim))
        self.inner = matrix(dim, hidden, generator=generator)
        self.outer = nn.Parameter(torch.zeros(hidden, dim))

    def forward(
        self, codes: Float[Tensor, "queries dim"], clusters: slice = EVERY
    ) -> Float[Tensor, "clusters queries dim"]:
        """The codes with which queries ask some clusters."""
        prompts = self.prompts[clusters]
        inner = prompts[:, :, None] * self.inner
        return codes * prompts[:, None] + relu(codes @ inner) @ self.outer


class TokenHead(nn.Module):
    """A token v_k for each cluster, beside the code: e^(k) = h + W₂ σ(W₁ h + v_k), W₂ = 0 at the start.

    What W₁ would make of a token that is concatenated with the code is itself such a vector.
    """

    def __init__(self, clusters: int, dim: int, *, hidden: int, generator: Generator) -> None:
        super().__init__()
        self.inner = matrix(dim, hidden, generator=generator)
        self.tokens = nn.Parameter(torch.randn(clusters, hidden, generator=generator) * TOKEN_SCALE)
        self.outer = nn.Parameter(torch.zeros(hidden, dim))

    def forward(
        self, codes: Float[Tensor, "queries dim"], clusters: slice = EVERY
    ) -> Float[Tensor, "clusters queries dim"]:
        """The codes with which queries ask some clusters."""
        return codes + relu(codes @ self.inner + self.tokens[clusters, None]) @ self.outer


class ExpertsHead(nn.Module):
    """Experts that all clusters share, and a gate for each cluster (MMoE, Ma et al., KDD 2018).

        e^(k) = h + Σ_m g_m^(k)(h) W₂ₘ σ(W₁ₘ h),  g^(k)(h) = softmax(G_k h);  W₂ₘ = 0 and G_k = 0 at the start

    Its eq. 6 and 7, beside the code itself.
    """

    def __init__(self, clusters: int, dim: int, *, hidden: int, experts: int, generator: Generator) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.stack([matrix(dim, hidden, generator=generator).data for _ in range(experts)]))
        self.outer = nn.Parameter(torch.zeros(experts, hidden, dim))
        self.gates = nn.Parameter(torch.zeros(clusters, dim, experts))

    def forward(
        self, codes: Float[Tensor, "queries dim"], clusters: slice = EVERY
    ) -> Float[Tensor, "clusters queries dim"]:
        """The codes with which queries ask some clusters."""
        weights = torch.einsum("qd,kdm->kqm", codes, self.gates[clusters]).softmax(-1)
        said = relu(codes @ self.inner) @ self.outer
        return codes + torch.einsum("kqm,mqe->kqe", weights, said)


PromptedHead = ProductHead | TokenHead | ExpertsHead


class ProductInputs(nn.Module):
    """A prompt t_k for each cluster, multiplied into all that enters the encoder: t_k ⊙ s_j, as published; t_k = 1."""

    def __init__(self, clusters: int, dim: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.ones(clusters, dim))

    def forward(
        self,
        first: Float[Tensor, "users length dim"],
        start: Bool[Tensor, "users length"],  # noqa: ARG002 (the signature of all prompts at the inputs)
        clusters: Int64[Tensor, "users"],
    ) -> Float[Tensor, "users length dim"]:
        """What enters at each place of histories, each prompted for a cluster."""
        return first * self.prompts[clusters][:, None]


class TokenInputs(nn.Module):
    """A token v_k for each cluster before the history: added to the start, which all places hear; v_k = 0 at first."""

    def __init__(self, clusters: int, dim: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(clusters, dim))

    def forward(
        self,
        first: Float[Tensor, "users length dim"],
        start: Bool[Tensor, "users length"],
        clusters: Int64[Tensor, "users"],
    ) -> Float[Tensor, "users length dim"]:
        """What enters at each place of histories, each prompted for a cluster."""
        return first + start[..., None] * self.tokens[clusters][:, None]


PromptedInputs = ProductInputs | TokenInputs


def make_prompts(
    config: PromptsConfig, *, clusters: int, dim: int, generator: Generator
) -> PromptedHead | PromptedInputs | None:
    """The prompts that a config calls for; none where they are off or there is nothing to tell apart.

    Raises `ConfigError` for experts at the inputs.
    """
    if clusters == 1 or config.kind == "none":
        return None
    if config.kind == "mmoe" and config.at == "inputs":
        raise ConfigError(
            'A mixture of experts stands behind the encoder (`encoder.prompts.kind` is "mmoe"), but '
            '`encoder.prompts.at` is "inputs". Set it to "head".'
        )
    hidden = config.hidden
    if config.kind == "mmoe":
        return ExpertsHead(clusters, dim, hidden=hidden, experts=config.experts, generator=generator)
    if config.at == "inputs":
        return {"product": ProductInputs, "token": TokenInputs}[config.kind](clusters, dim)
    return {"product": ProductHead, "token": TokenHead}[config.kind](clusters, dim, hidden=hidden, generator=generator)
