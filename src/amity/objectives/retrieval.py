"""The retrieval softmax: a query's true candidate against the batch's others (Kolodner et al., 2024)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amity.objectives.step import Step
from amity.section import Section


class RetrievalConfig(Section):
    """Settings of the retrieval objective."""

    weight: NonNegativeFloat = 1.0
    """Factor on this loss in the total; 0 turns the objective off."""
    loss: Literal["softmax", "bce"] = "softmax"
    """Against all columns at once; or, of a sequence encoder alone, against one: the published baseline."""
    temperature: PositiveFloat = 0.14
    """What scores are divided by; 1 is right where `encoder.output` is `dot`."""
    logq: bool = True
    """Whether candidates that are drawn more often are corrected for it."""
    edge_drop: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the edges that the retrieval pass loses: plain augmentation, without any auxiliary objective."""
    feature_drop: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the columns of the first states that the retrieval pass loses."""


class Retrieval(nn.Module):
    """The objective; it has no head."""

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The mean of the losses of the batch's rows."""
        return self.row_losses(step).mean()

    def row_losses(self, step: Step) -> Float[Tensor, "queries"]:
        """The loss of each of the batch's rows."""
        batch, candidates = step.batch, step.vectors[step.on_device(step.batch.candidates)]
        return retrieval_losses(
            compare(step.asking, candidates, step.clusters) / self.config.temperature,
            positives=step.on_device(batch.positives),
            masked=step.on_device(batch.masked),
            log_rates=step.on_device(batch.log_rates) if self.config.logq else None,
        )


def compare(
    asking: Float[Tensor, "prompts queries dim"],
    candidates: Float[Tensor, "candidates dim"],
    clusters: Int64[Tensor, "candidates"],
) -> Float[Tensor, "queries candidates"]:
    """The product of each query with each candidate, by what it asks the candidate's own cluster with.

    So scores of all clusters compare; there is one way of asking where prompts tell no clusters apart. The clusters
    ascend.
    """
    if len(asking) == 1:
        return asking[0] @ candidates.T
    sizes = torch.bincount(clusters, minlength=len(asking)).tolist()
    return torch.cat([queries @ some.T for queries, some in zip(asking, candidates.split(sizes), strict=True)], dim=1)


def retrieval_losses(
    scores: Float[Tensor, "queries candidates"],
    *,
    positives: Int64[Tensor, "queries"],
    masked: Bool[Tensor, "queries candidates"],
    log_rates: Float[Tensor, "*queries candidates"] | None = None,
) -> Float[Tensor, "queries"]:
    """Softmax cross-entropy of each query's positive p among the candidates.

        -log exp(s_qp) / (exp(s_qp) + Σ_{c ≠ p, not masked} exp(s_qc - log r_c))

    Eq. 5 of arXiv 2409.14682, with scores s = q · c / T. `positives` are columns; `masked` columns (the query itself,
    its other friends) play no part; `log_rates` is log r, how likely each candidate is to be among the columns, for
    all queries or for each. The positive is not corrected, since it is not drawn (arXiv 2507.09331); it counts even
    where it is masked.
    """
    rows = torch.arange(len(scores), device=scores.device)
    logits = scores if log_rates is None else scores - log_rates
    logits = logits.masked_fill(masked, -torch.inf).index_put((rows, positives), scores[rows, positives])
    return cross_entropy(logits, positives, reduction="none")
