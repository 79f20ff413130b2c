"""Retrieval from histories: at each place the item that comes next, against items that were never taken."""

from collections.abc import Iterator
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

AT_ONCE = 256
"""Places whose scores are in memory at once: those of 4,000 columns are 4 MB."""


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
        """Codes that know of no cluster, at the drawn places of some histories, and the clusters of what follows there.

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
        device, config = asking.device, self.config.retrieval
        targets = encoder.vectors_of(places.targets) / config.temperature
        columns = encoder.vectors_of(torch.from_numpy(batch.columns).to(device)) / config.temperature
        states = asking if encoder.pooling is None else nearest_interests(asking, targets)[None]
        masked, owners = torch.from_numpy(batch.masked).to(device), places.owners
        if config.loss == "bce":
            drawn = torch.randint(len(columns), owners.shape, generator=generator_of(seed, "negatives")).to(device)
            true, false = (torch.linalg.vecdot(states[0], against) for against in (targets, columns[drawn]))
            return bce_loss(true, false, masked[owners, drawn])
        log_rates = torch.from_numpy(batch.log_rates).to(device)
        log_rates = log_rates if config.logq else torch.where(log_rates.isinf(), log_rates, 0.0)
        homes = torch.from_numpy(batch.homes if len(states) > 1 else np.zeros_like(batch.homes)).to(device)
        return softmax_loss(states, (columns, homes), targets, (log_rates, places.clusters), (masked, owners))


@dataclass(frozen=True, slots=True)
class Places:
    """The places that a step learns from."""

    targets: Int64[Tensor, "places"]
    """What follows each of them."""
    clusters: Int64[Tensor, "places"]
    """In which cluster that is, ascending."""
    owners: Int64[Tensor, "places"]
    """Whose history it is, a row of the batch."""


def learned_codes(
    encoder: SequenceEncoder,
    batch: HistoryBatch,
    *,
    prompted: Int64[Tensor, "histories"] | None,
    generator: Generator | None,
) -> tuple[Float[Tensor, "places *interests dim"], Places]:
    """The code, or the codes of all interests, at each place that is learned from, one cluster after another.

    Each history may be prompted for a cluster at the inputs.
    """
    device = encoder.device
    items, targets = torch.from_numpy(batch.items), torch.from_numpy(batch.targets)
    codes = []
    for rows, inside in batch.alike():
        clusters = None if prompted is None else prompted[rows].to(device)
        places, real = set_places(targets[rows, inside] >= 0)
        reached = encoder.reach(
            items[rows, inside].to(device), places.to(device), clusters=clusters, generator=generator
        )
        codes.append(reached[real.to(device)])
    owners, places = (targets >= 0).nonzero(as_tuple=True)
    clusters, order = torch.from_numpy(batch.clusters)[owners, places].sort(stable=True)
    learned = (targets[owners, places][order], clusters, owners[order])
    return torch.cat(codes)[order.to(device)], Places(*(one.to(device) for one in learned))


def set_places(chosen: Bool[Tensor, "rows length"]) -> tuple[Int64[Tensor, "rows most"], Bool[Tensor, "rows most"]]:
    """The places that are set in each row, ascending, then others up to the most that any has; and which are set."""
    counts = chosen.sum(1, keepdim=True)
    most = int(counts.max()) if len(chosen) else 0
    return (~chosen).sort(dim=1, stable=True).indices[:, :most], torch.arange(most) < counts


def nearest_interests(
    interests: Float[Tensor, "places interests dim"], targets: Float[Tensor, "places dim"]
) -> Float[Tensor, "places dim"]:
    """Of the interests at each place the one whose product with the target is largest (arXiv 2005.09347, eq. 8)."""
    chosen = torch.einsum("pid,pd->pi", interests, targets).argmax(1)
    return interests[torch.arange(len(interests), device=interests.device), chosen]


def softmax_loss(
    states: Float[Tensor, "prompts places dim"],
    columns: tuple[Float[Tensor, "columns dim"], Int64[Tensor, "columns"]],
    targets: Float[Tensor, "places dim"],
    log_rates: tuple[Float[Tensor, "clusters columns"], Int64[Tensor, "places"]],
    taken: tuple[Bool[Tensor, "histories columns"], Int64[Tensor, "places"]],
) -> Float[Tensor, ""]:
    """The mean softmax cross-entropy of what came next, the targets t, among columns c.

        -log exp(h · t) / (exp(h · t) + Σ_{c not taken} exp(h_c · c - log r_c))

    `columns` are vectors, and for each, ascending, which of the states h meets it; a target meets that of its cluster.
    `log_rates` is log r, how often a column is drawn, for each cluster, and the cluster of each place, ascending: with
    all candidates as columns r is 1 and the softmax whole, and with some its sum is right in the mean; a column whose r
    is infinite plays no part. `taken` says which columns each history holds, and whose history each place is of; what
    came next is itself of the history, so that its own column never stands against it.
    """
    return _Softmax.apply(states, columns[0], targets, columns[1], -log_rates[0], log_rates[1], *taken)  # pyright: ignore[reportReturnType]


class _Softmax(torch.autograd.Function):
    """Scores and gradients of a few places at a time, as in arXiv 2411.09009: the whole table is never in memory.

    Nothing but a mean is ever differentiated, so that its gradient is known with its value.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, columns: Tensor, targets: Tensor, homes: Tensor, *rest: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        shifts, clusters, masked, owners = rest
        gradients = torch.empty_like(states), torch.zeros_like(columns), torch.empty_like(targets)
        loss, count = targets.new_zeros(()), max(len(targets), 1)
        for cluster, seen, groups in _of_clusters(shifts, clusters):
            table, by_table = columns[seen], torch.zeros_like(columns[seen])
            parts = _parts(homes[seen], len(states))
            shifted = torch.cat([table, shifts[cluster, seen, None]], dim=1)
            home = cluster if len(states) > 1 else 0
            for rows in groups:
                asking, known = states[:, rows], masked[owners[rows]][:, seen]
                true = torch.linalg.vecdot(asking[home], targets[rows])
                scores = _scores(asking, shifted, parts, true)
                scores[:, :-1].masked_fill_(known, -torch.inf)
                peaks = scores.amax(1)
                chances = scores.sub_(peaks[:, None]).exp_()
                sums = chances.sum(1)
                loss += (sums.log() + peaks - true).sum()
                shares = 1 / (sums * count)
                asking, by_true = asking * shares[:, None], chances[:, -1] * shares - 1 / count
                for prompt, part in enumerate(parts):
                    torch.mm(chances[:, part], table[part], out=gradients[0][prompt, rows])
                    by_table[part].addmm_(chances[:, part].T, asking[prompt])
                gradients[0][:, rows] *= shares[:, None]
                gradients[0][home, rows].addcmul_(by_true[:, None], targets[rows])
                gradients[2][rows] = by_true[:, None] * states[home, rows]
            gradients[1][seen] += by_table
        ctx.save_for_backward(*gradients)
        return loss / count

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return *(gradient * given for gradient in ctx.saved_tensors), None, None, None, None, None


def _scores(
    asking: Float[Tensor, "prompts places dim"],
    shifted: Float[Tensor, "columns dim_and_one"],
    parts: list[slice],
    true: Float[Tensor, "places"],
) -> Float[Tensor, "places columns_and_one"]:
    """What each place scores each column at, with the shift that stands behind its vector, and then the target."""
    scores, one = true.new_empty(len(true), len(shifted) + 1), true.new_ones(len(true), 1)
    for prompt, part in enumerate(parts):
        torch.mm(torch.cat([asking[prompt], one], dim=1), shifted[part].T, out=scores[:, part])
    scores[:, -1] = true
    return scores


def _parts(homes: Tensor, count: int) -> list[slice]:
    """Where the columns of each of so many homes stand, ascending as they are."""
    ends = torch.bincount(homes, minlength=count).cumsum(0).tolist()
    return [slice(*bounds) for bounds in zip([0, *ends[:-1]], ends, strict=True)]


def _of_clusters(shifts: Tensor, clusters: Tensor) -> Iterator[tuple[int, slice | Tensor, Iterator[slice]]]:
    """Each cluster, the columns that it sees, and its places, a few at a time."""
    for cluster, places in enumerate(_parts(clusters, len(shifts))):
        finite = shifts[cluster].isfinite()
        starts = range(places.start, places.stop, AT_ONCE)
        groups = (slice(first, min(first + AT_ONCE, places.stop)) for first in starts)
        yield cluster, slice(None) if finite.all() else finite.nonzero()[:, 0], groups


def bce_loss(
    true: Float[Tensor, "places"], false: Float[Tensor, "places"], masked: Bool[Tensor, "places"]
) -> Float[Tensor, ""]:
    """The mean binary cross-entropy of what came next and of one item drawn for it: -log σ(s) - log(1 - σ(s_c)).

    The loss of SASRec as published (arXiv 1808.09781, section 3.5); a drawn item that was taken plays no part.
    """
    return (softplus(-true) + softplus(false) * ~masked).sum() / max(len(true), 1)
