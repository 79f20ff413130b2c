"""The sequence encoder: what somebody took, in the order of time, to a vector (SASRec, Kang and McAuley, 2018)."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Generator, Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from amity.encoder.asking import AskingEncoder
from amity.encoder.config import EncoderConfig
from amity.encoder.features import FeaturesConfig, FeatureTransform, fit_features
from amity.encoder.graph_encoder import drop_entries
from amity.encoder.interests import InterestPooling
from amity.encoder.parameters import matrix
from amity.encoder.prompts import UNDIVIDED, Division
from amity.encoder.structure import fingerprint
from amity.errors import ConfigError, DataError
from amity.graph import Graph

FIRST = 0.02
"""Standard deviation of what tables hold at the start; items enter the first block √dim times as long."""
DENSE_ITEMS = 20_000
"""Up to so many items every row of their table moves at each step; beyond, those that a step looks up."""


class SequenceEncoder(AskingEncoder):
    """Parameters that turn histories into vectors: arXiv 1808.09781, with the norms before what they feed.

    An item has one vector, as what was taken and as what is found. A history is the start, then its items. The start
    has a vector too, the last of the table, and no position, so that its state is the same before every history: who
    has none is told by what follows the start of all others.
    """

    def __init__(
        self, config: EncoderConfig, transform: FeatureTransform, *, seed: int, division: Division = UNDIVIDED
    ) -> None:
        _check(config, division)
        super().__init__(config, division, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        dim, sequence = config.dim, config.sequence
        table = torch.randn(transform.num_ids + 1, dim, generator=generator) * FIRST
        self.items = nn.Embedding.from_pretrained(table, freeze=False, sparse=len(table) > DENSE_ITEMS)
        self.positions = nn.Parameter(torch.randn(sequence.length, dim, generator=generator) * FIRST)
        blocks = (Block(dim, heads=sequence.heads, generator=generator) for _ in range(sequence.layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.Parameter(torch.ones(dim))
        self.shift = nn.Parameter(torch.zeros(dim))
        count = sequence.interests
        self.pooling = InterestPooling(dim, interests=count, generator=generator) if count else None

    @property
    def num_asked(self) -> int:
        """How many vectors of their own clusters, or interests, are asked with."""
        return super().num_asked if self.pooling is None else self.config.sequence.interests

    def codes(
        self,
        items: Int64[Tensor, "users length"],
        places: Int64[Tensor, "users places"] | None = None,
        *,
        clusters: Int64[Tensor, "users"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "users places dim"]:
        """The state at each place of some histories, at most `length` places, that of a user at the last.

        `items` are positions among the candidates, oldest first, -1 on the left for places before the first item;
        the last of these is the start, and one that stands alone is told as the start is. Given `places`, only these of
        each history are computed in the last block. With `clusters`, and prompts at the inputs, what enters but for
        the position is prompted for a cluster each. With a generator, as in training, entries are dropped at random.
        """
        missing = items < 0
        first = self.items(items.masked_fill(missing, len(self.items.weight) - 1)) * self.dim**0.5
        if clusters is not None and self.prompted_inputs and self.prompts is not None:
            first = self.prompts(first, missing, clusters)
        states = first + self.positions[-items.shape[1] :] * ~missing[..., None]
        seen, rate = attended(missing), self.config.sequence.dropout
        states = _drop(states, rate, generator)
        for block in self.blocks[:-1]:
            states = block(states, states, seen, rate=rate, generator=generator)
        asking = at_places(states, places)
        for block in self.blocks[-1:]:
            asking = block(asking, states, at_places(seen, places), rate=rate, generator=generator)
        return layer_norm(asking, (self.dim,), self.norm, self.shift)

    def reach(
        self,
        items: Int64[Tensor, "users length"],
        places: Int64[Tensor, "users places"],
        *,
        clusters: Int64[Tensor, "users"] | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "users places *interests dim"]:
        """What asks at some places of each history: the codes there, or, where there are interests, those of these."""
        if self.pooling is None:
            return self.codes(items, places, clusters=clusters, generator=generator)
        codes = self.codes(items, clusters=clusters, generator=generator)
        return at_places(self.pooling(codes, idle(items < 0)), places)

    def vectors_of(self, items: Int64[Tensor, "items"]) -> Float[Tensor, "items dim"]:
        """The vectors by which items are found, as training compares them."""
        return self.scale(self.items(items))


class Block(nn.Module):
    """Causal self-attention, then two maps of each place alone, each added to what it was given."""

    def __init__(self, dim: int, *, heads: int, generator: Generator) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.Parameter(torch.ones(2, dim))
        self.shifts = nn.Parameter(torch.zeros(2, dim))
        self.asking = matrix(dim, 3 * dim, generator=generator)
        self.asking_bias = nn.Parameter(torch.zeros(3 * dim))
        self.heard = matrix(dim, dim, generator=generator)
        self.heard_bias = nn.Parameter(torch.zeros(dim))
        self.inner = matrix(dim, dim, generator=generator)
        self.inner_bias = nn.Parameter(torch.zeros(dim))
        self.outer = matrix(dim, dim, generator=generator)
        self.outer_bias = nn.Parameter(torch.zeros(dim))

    def forward(
        self,
        states: Float[Tensor, "users places dim"],
        told: Float[Tensor, "users length dim"],
        seen: Bool[Tensor, "users places length"],
        *,
        rate: float,
        generator: Generator | None,
    ) -> Float[Tensor, "users places dim"]:
        """The next states of some places; `told` are those of all, and `seen` says which of these each attends to."""
        own = states.shape[-1]
        asking = self._standardize(states, 0) @ self.asking[:, :own] + self.asking_bias[:own]
        offering = self._standardize(told, 0) @ self.asking[:, own:] + self.asking_bias[own:]
        query, key, value = (self._by_head(one) for one in (asking, *offering.chunk(2, dim=-1)))
        heard = scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None]).transpose(1, 2).flatten(2)
        states = states + _drop(heard @ self.heard + self.heard_bias, rate, generator)
        inner = self._standardize(states, 1) @ self.inner + self.inner_bias
        return states + _drop(gelu(inner) @ self.outer + self.outer_bias, rate, generator)

    def _standardize(self, states: Tensor, number: int) -> Tensor:
        return layer_norm(states, states.shape[-1:], self.norms[number], self.shifts[number])

    def _by_head(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def at_places(
    rows: Shaped[Tensor, "users length *rest"], places: Int64[Tensor, "users places"] | None
) -> Shaped[Tensor, "users places *rest"]:
    """What stands at some places of each history; at all of them where none are given."""
    if places is None:
        return rows
    firsts = torch.arange(len(rows), device=rows.device)[:, None] * rows.shape[1]
    return rows.flatten(0, 1).index_select(0, (firsts + places).flatten()).unflatten(0, places.shape)


def attended(missing: Bool[Tensor, "users length"]) -> Bool[Tensor, "users length length"]:
    """Which places each place attends to: itself, and of those before it the items and the start next to them."""
    place = torch.arange(missing.shape[1], device=missing.device)
    before = place[None, :] < place[:, None]
    itself = place[None, :] == place[:, None]
    return itself | (before & ~idle(missing)[:, None, :])


def idle(missing: Bool[Tensor, "users length"]) -> Bool[Tensor, "users length"]:
    """Which places come before the start of a history."""
    place = torch.arange(missing.shape[1], device=missing.device)
    return missing & missing.roll(-1, 1) & (place < missing.shape[1] - 1)


def fit_items(graph: Graph) -> FeatureTransform:
    """The transform of a sequence encoder: every candidate has a vector of its own, and nothing else is known of it."""
    bare = replace(graph.candidates, columns=())
    return fit_features(replace(graph, kinds=(bare,)), FeaturesConfig(ids="learned"))


def check_items(transform: FeatureTransform, graph: Graph) -> None:
    """Raise `DataError` where the candidates of a graph are not those that the encoder was trained on."""
    kind, (record,) = graph.candidates, transform.kinds
    if (kind.name, kind.count, fingerprint(kind.vocabulary.keys)) != (record.name, record.count, record.fingerprint):
        raise DataError(
            f"The graph has {kind.count:,} candidates ({kind.name}), and they are not the {record.count:,} "
            f"({record.name}) whose vectors the model has learned. Embed the graph that it was trained on, or train on "
            "this one."
        )


def _check(config: EncoderConfig, division: Division) -> None:
    if config.sequence.interests and division.clusters > 1:
        raise ConfigError(
            f"There are {config.sequence.interests} interests (`encoder.sequence.interests`) and {division.clusters} "
            "clusters: a user would ask with the ones or for the others. Set interests to 0, or `clustering.by` to "
            '"none".'
        )
    if config.dim % config.sequence.heads:
        raise ConfigError(
            "The heads of the attention share the width of the vectors between them, but "
            f"{config.dim} (`encoder.dim`) is no multiple of {config.sequence.heads} (`encoder.sequence.heads`). "
            "Choose a multiple."
        )


def _drop(states: Tensor, rate: float, generator: Generator | None) -> Tensor:
    return drop_entries(states, rate=rate, generator=generator) if generator is not None and rate else states
