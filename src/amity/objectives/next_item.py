"""Retrieval from histories: at each place the item that comes next, against items that were never taken."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from amity.encoder import SequenceEncoder
from amity.objectives.retrieval import RetrievalConfig
from amity.objectives.step import generator_of
from amity.sampling import HistoryBatch


class NextItem(nn.Module):
    """The objective; it has no head."""

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, encoder: SequenceEncoder, batch: HistoryBatch, *, seed: int) -> Float[Tensor, ""]:
        """The mean of the losses of the places that are learned from."""
        device = encoder.positions.device
        states, targets, owners = learned_states(encoder, batch, generator=generator_of(seed, "encoder"))
        columns = encoder.vectors_of(torch.from_numpy(batch.columns).to(device))
        masked = torch.from_numpy(batch.masked).to(device)
        true = (states * encoder.vectors_of(targets)).sum(1) / self.config.temperature
        if self.config.loss == "bce":
            drawn = torch.randint(len(columns), owners.shape, generator=generator_of(seed, "negatives")).to(device)
            false = (states * columns[drawn]).sum(1) / self.config.temperature
            return bce_losses(true, false, masked[owners, drawn]).sum() / max(len(owners), 1)
        log_rates = torch.from_numpy(batch.log_rates).to(device) * self.config.logq
        others = states @ columns.T / self.config.temperature - log_rates
        return softmax_losses(true, others, masked, owners).sum() / max(len(owners), 1)


def learned_states(
    encoder: SequenceEncoder, batch: HistoryBatch, *, generator: Generator | None
) -> tuple[Float[Tensor, "places dim"], Int64[Tensor, "places"], Int64[Tensor, "places"]]:
    """The state at each place that is learned from, the item that follows it, and whose history it is of."""
    device = encoder.positions.device
    items, targets = torch.from_numpy(batch.items), torch.from_numpy(batch.targets)
    states = []
    for rows, places in batch.alike():
        reached = encoder.encode(items[rows, places].to(device), generator=generator)
        states.append(reached[(targets[rows, places] >= 0).to(device)])
    owners, places = (targets >= 0).nonzero(as_tuple=True)
    return torch.cat(states), targets[owners, places].to(device), owners.to(device)


def softmax_losses(
    true: Float[Tensor, "places"],
    others: Float[Tensor, "places columns"],
    masked: Bool[Tensor, "histories columns"],
    owners: Int64[Tensor, "places"],
) -> Float[Tensor, "places"]:
    """Softmax cross-entropy of the score of what came next among those of columns.

        -log exp(s) / (exp(s) + Σ_{c not masked} exp(s_c))

    `others` are scores less the logarithm of how often their column is drawn: with all candidates as columns the
    softmax is whole, and with some its sum is right in the mean. What came next is itself of the history, so that its
    own column, like those of all that the `owners` took, is masked and plays no part.
    """
    logits = others.masked_fill(masked[owners], -torch.inf)
    return torch.logaddexp(true, logits.logsumexp(1)) - true


def bce_losses(
    true: Float[Tensor, "places"], false: Float[Tensor, "places"], masked: Bool[Tensor, "places"]
) -> Float[Tensor, "places"]:
    """Binary cross-entropy of what came next and of one item drawn for it: -log σ(s) - log(1 - σ(s_c)).

    The loss of SASRec as published (arXiv 1808.09781, section 3.5); a drawn item that was taken plays no part.
    """
    return softplus(-true) + softplus(false) * ~masked
