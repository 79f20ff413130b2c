"""Intent as an objective: the cluster of a row's positive, foretold by the query's code (arXiv 2302.02657)."""

from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amity.objectives.step import Step
from amity.section import Section


class IntentConfig(Section):
    """Settings of the intent objective; it is computed at every step, where candidates are divided."""

    weight: NonNegativeFloat = 1.0
    """Factor on this loss in the total; 0 turns the objective off."""
    reaches_encoder: bool = False
    """Whether its gradient shapes the codes too, or the head alone learns from them as they are."""


class Intent(nn.Module):
    """The objective; its head is the encoder's, which keeps it."""

    def __init__(self, config: IntentConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the batch's rows."""
        assert step.encoder.intent is not None
        codes = step.codes[step.on_device(step.batch.queries)]
        logits = step.encoder.intent(codes if self.config.reaches_encoder else codes.detach())
        return intent_loss(logits, step.clusters[step.on_device(step.batch.positives)])


def intent_loss(logits: Float[Tensor, "queries clusters"], clusters: Int64[Tensor, "queries"]) -> Float[Tensor, ""]:
    """Cross-entropy of the cluster k of each row's positive: the mean of -log p_k, p = softmax(logits)."""
    return cross_entropy(logits, clusters)
