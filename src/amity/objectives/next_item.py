"""Retrieval from histories: at each place the item that comes next, against items that were never taken."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from amity.encoder import SequenceEncoder
from amity.objectives.intent import intent_loss
from amity.objectives.multitask import ObjectivesConfig
from amity.objectives.step import generator_of
from amity.sampling import HistoryBatch

AT_ONCE = 128
"""Places whose scores are in memory at once: those of 4,000 columns stay in the cache."""


UNPROMPTED = 8
"""Where prompts are at the inputs, intent is learned from one history in so many."""


class NextItem(nn.Module):
    """The objective, and that of intent beside it; neither has a head that is not the encoder's."""

    def __init__(self, config: ObjectivesConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, encoder: SequenceEncoder, batch: HistoryBatch, *, seed: int) -> dict[str, Float[Tensor, ""]]:
        """The mean loss of the places that are learned from, and that of intent where the encoder learns it."""
        prompted, generator = torch.from_numpy(batch.prompted), generator_of(seed, "encoder")
        codes, places = learned_codes(encoder, batch, prompted=prompted, generator=generator)
        asking = encoder.ask(codes) if encoder.pooling is None else encoder.scale(codes)
        found = {"retrieval": self._retrieval(encoder, batch, asking, places, seed)}
        if encoder.intent is not None:
            shaping, clusters = self.config.intent.reaches_encoder, places.clusters
            if encoder.prompted_inputs:
                codes, clusters = self._unprompted(encoder, batch)
            logits = encoder.intent(codes if shaping else codes.detach())
            found["intent"] = intent_loss(logits, clusters) if len(codes) else logits.sum()
        return found

    def _unprompted(self, encoder: SequenceEncoder, batch: HistoryBatch) -> tuple[Tensor, Tensor]:
        """Codes that know of no cluster, at places of some histories, and the clusters of all that follows there.

        A prompt would tell them what they are to foretell; a pass of their own for all histories would cost too much.
        """
        some = slice(None, None, UNPROMPTED)
        whole = replace(batch, items=batch.items[some], targets=batch.clusters[some], clusters=batch.clusters[some])
        with torch.set_grad_enabled(self.config.intent.reaches_encoder):
            codes, places = learned_codes(encoder, whole, prompted=None, generator=None)
        return codes, places.clusters

    def _retrieval(
        self,
        encoder: SequenceEncoder,
        batch: HistoryBatch,
        asking: Float[Tensor, "prompts places dim"] | Float[Tensor, "places interests dim"],
        places: "Places",
        seed: int,
    ) -> Float[Tensor, ""]:
        device, config, targets = asking.device, self.config.retrieval, encoder.vectors_of(places.targets)
        states = asking if encoder.pooling is None else nearest_interests(asking, targets)[None]
        own = states[places.clusters if len(states) > 1 else 0, torch.arange(len(targets), device=device)]
        columns = encoder.vectors_of(torch.from_numpy(batch.columns).to(device))
        masked, owners = torch.from_numpy(batch.masked).to(device), places.owners
        true = (own * targets).sum(1) / config.temperature
        if config.loss == "bce":
            drawn = torch.randint(len(columns), owners.shape, generator=generator_of(seed, "negatives")).to(device)
            false = (own * columns[drawn]).sum(1) / config.temperature
            return bce_loss(true, false, masked[owners, drawn])
        log_rates = torch.from_numpy(batch.log_rates).to(device)
        log_rates = log_rates if config.logq else torch.where(log_rates.isinf(), log_rates, 0.0)
        homes = torch.from_numpy(batch.homes if len(states) > 1 else np.zeros_like(batch.homes)).to(device)
        rates, taken = (log_rates, places.clusters), (masked, owners)
        return softmax_loss(states / config.temperature, (columns, homes), true, rates, taken)


@dataclass(frozen=True, slots=True)
class Places:
    """The places that a step learns from."""

    targets: Int64[Tensor, "places"]
    """What follows each of them."""
    clusters: Int64[Tensor, "places"]
    """In which cluster that is."""
    owners: Int64[Tensor, "places"]
    """Whose history it is, a row of the batch."""


def learned_codes(
    encoder: SequenceEncoder,
    batch: HistoryBatch,
    *,
    prompted: Int64[Tensor, "histories"] | None,
    generator: Generator | None,
) -> tuple[Float[Tensor, "places *interests dim"], Places]:
    """The code, or the codes of all interests, at each place that is learned from.

    Each history may be prompted for a cluster at the inputs.
    """
    device = encoder.positions.device
    items, targets = torch.from_numpy(batch.items), torch.from_numpy(batch.targets)
    codes = []
    for rows, places in batch.alike():
        clusters = None if prompted is None else prompted[rows].to(device)
        reached = encoder.reach(items[rows, places].to(device), clusters=clusters, generator=generator)
        codes.append(reached[(targets[rows, places] >= 0).to(device)])
    owners, places = (targets >= 0).nonzero(as_tuple=True)
    clusters = torch.from_numpy(batch.clusters)[owners, places]
    return torch.cat(codes), Places(*(one.to(device) for one in (targets[owners, places], clusters, owners)))


def nearest_interests(
    interests: Float[Tensor, "places interests dim"], targets: Float[Tensor, "places dim"]
) -> Float[Tensor, "places dim"]:
    """Of the interests at each place the one whose product with the target is largest (arXiv 2005.09347, eq. 8)."""
    chosen = torch.einsum("pid,pd->pi", interests, targets).argmax(1)
    return interests[torch.arange(len(interests), device=interests.device), chosen]


def softmax_loss(
    states: Float[Tensor, "prompts places dim"],
    columns: tuple[Float[Tensor, "columns dim"], Int64[Tensor, "columns"]],
    true: Float[Tensor, "places"],
    log_rates: tuple[Float[Tensor, "clusters columns"], Int64[Tensor, "places"]],
    taken: tuple[Bool[Tensor, "histories columns"], Int64[Tensor, "places"]],
) -> Float[Tensor, ""]:
    """The mean softmax cross-entropy of what came next, whose scores s are `true`, among columns.

        -log exp(s) / (exp(s) + Σ_{c not taken} exp(h_c · c - log r_c))

    `columns` are vectors, and for each, ascending, which of the states h meets it. `log_rates` is log r, how often a
    column is drawn, for each cluster, and the cluster of each place: with all candidates as columns r is 1 and the
    softmax whole, and with some its sum is right in the mean; a column whose r is infinite plays no part. `taken` says
    which columns each history holds, and whose history each place is of; what came next is itself of the history, so
    that its own column never stands against it.
    """
    return _Softmax.apply(states, columns[0], true, columns[1], -log_rates[0], log_rates[1], *taken)  # pyright: ignore[reportReturnType]


class _Softmax(torch.autograd.Function):
    """Scores and gradients of a few places at a time, as in arXiv 2411.09009: the whole table is never in memory.

    Nothing but a mean is ever differentiated, so that its gradient is known with its value.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, columns: Tensor, true: Tensor, homes: Tensor, *rest: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        shifts, clusters, masked, owners = rest
        by_states, by_columns, by_true = torch.empty_like(states), torch.zeros_like(columns), torch.empty_like(true)
        loss = true.new_zeros(())
        for shift, seen, groups in _of_clusters(shifts, clusters):
            table, gradient = columns[seen], torch.zeros_like(columns[seen])
            parts = _parts(homes[seen], len(states))
            for rows in groups:
                known = masked[owners[rows]][:, seen]
                scores = shift[seen].repeat(len(known), 1)
                for asking, part in zip(states, parts, strict=True):
                    scores[:, part].addmm_(asking[rows], table[part].T)
                scores.masked_fill_(known, -torch.inf)
                totals = torch.logaddexp(true[rows], scores.logsumexp(1))
                loss += (totals - true[rows]).sum()
                chances = scores.sub_(totals[:, None]).exp_()
                for prompt, part in enumerate(parts):
                    by_states[prompt, rows] = chances[:, part] @ table[part]
                    gradient[part].addmm_(chances[:, part].T, states[prompt, rows])
                by_true[rows] = (true[rows] - totals).exp() - 1
            by_columns[seen] += gradient
        count = max(len(true), 1)
        ctx.save_for_backward(*(gradient / count for gradient in (by_states, by_columns, by_true)))
        return loss / count

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return *(gradient * given for gradient in ctx.saved_tensors), None, None, None, None, None


def _parts(homes: Tensor, count: int) -> list[slice]:
    """Where the columns of each of so many homes stand, ascending as they are."""
    ends = torch.bincount(homes, minlength=count).cumsum(0).tolist()
    return [slice(*bounds) for bounds in zip([0, *ends[:-1]], ends, strict=True)]


Rows = slice | Tensor


def _of_clusters(shifts: Tensor, clusters: Tensor) -> Iterator[tuple[Tensor, Rows, Iterable[Rows]]]:
    """For each cluster what is added to its scores, the columns it sees, and its places, a few at a time."""
    if len(shifts) == 1:
        starts = range(0, len(clusters), AT_ONCE)
        yield shifts[0], slice(None), (slice(first, first + AT_ONCE) for first in starts)
        return
    sizes = torch.bincount(clusters, minlength=len(shifts)).tolist()
    for shift, places in zip(shifts, clusters.argsort(stable=True).split(sizes), strict=True):
        finite = shift.isfinite()
        seen = slice(None) if finite.all() else finite.nonzero()[:, 0]
        yield shift, seen, places.split(AT_ONCE) if len(places) else ()


def bce_loss(
    true: Float[Tensor, "places"], false: Float[Tensor, "places"], masked: Bool[Tensor, "places"]
) -> Float[Tensor, ""]:
    """The mean binary cross-entropy of what came next and of one item drawn for it: -log σ(s) - log(1 - σ(s_c)).

    The loss of SASRec as published (arXiv 1808.09781, section 3.5); a drawn item that was taken plays no part.
    """
    return (softplus(-true) + softplus(false) * ~masked).sum() / max(len(true), 1)
