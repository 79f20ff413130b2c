"""Retrieval from histories: at each place the item that comes next, against items that were never taken."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from amity.encoder import SequenceEncoder
from amity.objectives.retrieval import RetrievalConfig
from amity.objectives.step import generator_of
from amity.sampling import HistoryBatch

AT_ONCE = 128
"""Places whose scores are in memory at once: those of 4,000 columns stay in the cache."""


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
            return bce_loss(true, false, masked[owners, drawn])
        log_rates = torch.from_numpy(batch.log_rates).to(device) * self.config.logq
        return softmax_loss(states / self.config.temperature, columns, true, log_rates, (masked, owners))


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


def softmax_loss(
    states: Float[Tensor, "places dim"],
    columns: Float[Tensor, "columns dim"],
    true: Float[Tensor, "places"],
    log_rates: Float[Tensor, "columns"],
    taken: tuple[Bool[Tensor, "histories columns"], Int64[Tensor, "places"]],
) -> Float[Tensor, ""]:
    """The mean softmax cross-entropy of what came next, whose scores s are `true`, among columns.

        -log exp(s) / (exp(s) + Σ_{c not taken} exp(h · c - log r_c))

    `log_rates` is log r, how often a column is drawn: with all candidates as columns r is 1 and the softmax whole, and
    with some its sum is right in the mean. `taken` says which columns each history holds, and whose history each place
    is of; what came next is itself of the history, so that its own column never stands against it.
    """
    return _Softmax.apply(states, columns, true, -log_rates, *taken)  # pyright: ignore[reportReturnType]


class _Softmax(torch.autograd.Function):
    """Scores and gradients of a few places at a time, as in arXiv 2411.09009: the whole table is never in memory.

    Nothing but a mean is ever differentiated, so that its gradient is known with its value.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, columns: Tensor, true: Tensor, shifts: Tensor, *taken: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        masked, owners = taken
        by_states, by_columns, by_true = torch.empty_like(states), torch.zeros_like(columns), torch.empty_like(true)
        loss = true.new_zeros(())
        for first in range(0, len(states), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            scores = torch.addmm(shifts, states[rows], columns.T).masked_fill_(masked[owners[rows]], -torch.inf)
            totals = torch.logaddexp(true[rows], scores.logsumexp(1))
            loss += (totals - true[rows]).sum()
            chances = scores.sub_(totals[:, None]).exp_()
            by_states[rows] = chances @ columns
            by_columns.addmm_(chances.T, states[rows])
            by_true[rows] = (true[rows] - totals).exp() - 1
        count = max(len(states), 1)
        ctx.save_for_backward(*(gradient / count for gradient in (by_states, by_columns, by_true)))
        return loss / count

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return *(gradient * given for gradient in ctx.saved_tensors), None, None, None


def bce_loss(
    true: Float[Tensor, "places"], false: Float[Tensor, "places"], masked: Bool[Tensor, "places"]
) -> Float[Tensor, ""]:
    """The mean binary cross-entropy of what came next and of one item drawn for it: -log σ(s) - log(1 - σ(s_c)).

    The loss of SASRec as published (arXiv 1808.09781, section 3.5); a drawn item that was taken plays no part.
    """
    return (softplus(-true) + softplus(false) * ~masked).sum() / max(len(true), 1)
