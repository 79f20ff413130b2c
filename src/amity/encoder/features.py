"""Raw columns to numbers and tokens that a network can learn from, by rules fitted on the training graph."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from amity.encoder.structure import StructureTransform, fingerprint, fit_structure
from amity.graph import Bag, Category, Column, Graph, Number, Vector
from amity.graph.vocabulary import hash_strings
from amity.kernels import kernel
from amity.section import Section

CHUNK = 1 << 18
"""Rows of a memory-mapped column that are read at once."""
HEAVY_TAIL = 10.0
"""A column that is never negative, with a maximum of so many times its mean, is a count: its logarithm is taken."""


class FeaturesConfig(Section):
    """What is known of a node before any message: its own columns, its place in the graph, who it is."""

    min_count: PositiveInt = 2
    """Values of a category or bag that fewer nodes have share one token, `rare`."""
    max_tokens: PositiveInt = 50_000
    """The most frequent values of a column that get a token of their own; the others are hashed."""
    buckets: PositiveInt = 1024
    """Tokens that the hashed values of a column share."""
    log_degree: bool = False
    """Whether the logarithm of a node's number of neighbours is an input."""
    projections: NonNegativeInt = 0
    """Width of the propagated random projections (FastRP, 1908.11512) among the inputs; 0 leaves them out.

    They are computed once, from all train edges: those that a step is to predict have left their trace in them.
    """
    ids: Literal["none", "hashed", "learned"] = "learned"
    """Whether a node has a vector of its own: by its row (of the training graph only), or by a hash of its raw id."""
    id_buckets: PositiveInt = 100_000
    """Vectors that hashed ids share."""
    id_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the nodes whose own vector is left out of a training step, so that features and neighbours must do
    (DropoutNet, Volkovs et al., 2017)."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """The kind of node that has the column."""
    name: str
    """The name of the column."""


class NumbersTransform(_Record):
    """A number or a vector: log1p where it counts, standardised, and a last input that marks it missing."""

    log: bool
    """Whether log1p is taken first."""
    mean: tuple[float, ...]
    """Mean of each dimension, over nodes that have it."""
    deviation: tuple[float, ...]
    """Standard deviation of each dimension; 1 where it is constant."""


class TokensTransform(_Record):
    """A category or a bag: frequent values have tokens, then come `rare`, `missing`, and the hash buckets."""

    bag: bool
    """Whether a node has any number of values."""
    first: int
    """The token of the first value."""
    values: tuple[str, ...]
    """Values with a token of their own, most frequent first."""
    rarity: tuple[float, ...]
    """log(nodes / nodes with the value) for each token up to `rare`; weighs the entries of a bag.

    The last one is that of all values without a token, or of the average bucket where those are hashed.
    """
    buckets: int
    """Tokens for hashed values; 0 where the values that are not `rare` all have their own."""

    @property
    def rare(self) -> int:
        """The token of values that are not frequent, or were never seen."""
        return self.first + len(self.values)

    @property
    def missing(self) -> int:
        """The token of a node without a value."""
        return self.rare + 1

    @property
    def count(self) -> int:
        """How many tokens the column has."""
        return len(self.values) + 2 + self.buckets

    def tokens(self, dictionary: tuple[str, ...]) -> Int64[ndarray, "values"]:
        """The token of each value of a dictionary, found by its text: another graph may number values otherwise."""
        known = {value: self.first + place for place, value in enumerate(self.values)}
        tokens = np.array([known.get(value, -1) for value in dictionary], np.int64)
        unknown = np.flatnonzero(tokens < 0)
        tokens[unknown] = self.rare
        if self.buckets and len(unknown):
            hashes = _hash_texts([dictionary[place] for place in unknown])
            tokens[unknown] = self.missing + 1 + (hashes & 0x7FFFFFFFFFFFFFFF) % self.buckets
        return tokens


class KindRecord(BaseModel):
    """The nodes of one kind of the training graph, to know them again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The kind."""
    count: int
    """How many nodes there were."""
    fingerprint: str
    """Hash of their raw ids in order."""


class FeatureTransform(BaseModel):
    """All that turns the columns of a graph into inputs; fitted once, stored with the model, applied to any graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[KindRecord, ...]
    """The training graph's kinds of nodes; where there are several, token i marks a node of kind i."""
    numbers: tuple[NumbersTransform, ...]
    """Dense columns, in the order of the inputs."""
    tokens: tuple[TokensTransform, ...]
    """Categories and bags."""
    structure: StructureTransform
    """Inputs that the graph itself gives."""
    ids: Literal["none", "hashed", "learned"]
    """Which nodes have vectors of their own."""
    num_ids: int
    """Rows of the table of ids; the row after them is all zeros, for strangers."""

    @property
    def num_numbers(self) -> int:
        """Width of the dense inputs, without the structural ones."""
        return sum(len(column.mean) + 1 for column in self.numbers)

    @property
    def num_tokens(self) -> int:
        """Rows of the table of tokens."""
        return self.first_token + sum(column.count for column in self.tokens)

    @property
    def first_token(self) -> int:
        """How many tokens mark kinds of nodes."""
        return len(self.kinds) if len(self.kinds) > 1 else 0

    @property
    def num_columns(self) -> int:
        """How many columns add up to the input of a node."""
        return len(self.numbers) + len(self.tokens) + bool(self.first_token)


def fit_features(graph: Graph, config: FeaturesConfig) -> FeatureTransform:
    """Learn from the training graph how each column is scaled and which values are frequent; in chunks of rows."""
    kinds = tuple(
        KindRecord(name=kind.name, count=kind.count, fingerprint=fingerprint(kind.vocabulary.keys))
        for kind in graph.kinds
    )
    numbers, tokens = [], []
    first = len(kinds) if len(kinds) > 1 else 0
    for kind in graph.kinds:
        for column in kind.columns:
            if isinstance(column, Number | Vector):
                numbers.append(_fit_numbers(kind.name, column))
            else:
                tokens.append(_fit_tokens(kind.name, column, config, first=first))
                first += tokens[-1].count
    return FeatureTransform(
        kinds=kinds,
        numbers=tuple(numbers),
        tokens=tuple(tokens),
        structure=fit_structure(graph, log_degree=config.log_degree, projections=config.projections),
        ids=config.ids,
        num_ids={"none": 0, "hashed": config.id_buckets, "learned": graph.num_nodes}[config.ids],
    )


def _fit_numbers(kind: str, column: Number | Vector) -> NumbersTransform:
    values = column.values.reshape(len(column.values), -1)
    mean, deviation, low, high = _moments(values, lambda chunk: chunk)
    log = isinstance(column, Number) and bool(low.min() >= 0 and high.max() > HEAVY_TAIL * mean.max())
    if log:
        mean, deviation, _, _ = _moments(values, np.log1p)
    return NumbersTransform(kind=kind, name=column.name, log=log, mean=tuple(mean), deviation=tuple(deviation))


def _moments(
    values: Float[ndarray, "nodes width"], scale: Callable[[ndarray], ndarray]
) -> tuple[Float64[ndarray, "width"], Float64[ndarray, "width"], Float64[ndarray, "width"], Float64[ndarray, "width"]]:
    """Mean, deviation, minimum and maximum of the complete rows, merged chunk by chunk (Chan et al., 1979)."""
    count, (mean, squares, low, high) = 0, np.zeros((4, values.shape[1]))
    for rows in _chunks(len(values)):
        chunk = np.asarray(values[rows], np.float64)
        chunk = scale(chunk[np.isfinite(chunk).all(1)])
        if not len(chunk):
            continue
        shift, total = chunk.mean(0) - mean, count + len(chunk)
        squares += ((chunk - chunk.mean(0)) ** 2).sum(0) + shift**2 * count * len(chunk) / total
        mean += shift * len(chunk) / total
        low = np.minimum(low, chunk.min(0)) if count else chunk.min(0)
        high = np.maximum(high, chunk.max(0)) if count else chunk.max(0)
        count = total
    deviation = np.sqrt(squares / max(count, 1))
    return mean, np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1.0), low, high


def _fit_tokens(kind: str, column: Column, config: FeaturesConfig, *, first: int) -> TokensTransform:
    assert isinstance(column, Category | Bag)
    nodes = len(column.indptr) - 1 if isinstance(column, Bag) else len(column.codes)
    counts = np.zeros(len(column.dictionary), np.int64)
    for part in _chunks(len(column.codes)):
        _count(np.asarray(column.codes[part]), counts)
    frequent = np.flatnonzero(counts >= config.min_count)
    frequent = sorted(frequent, key=lambda code: (-counts[code], column.dictionary[code]))
    kept = np.array(frequent[: config.max_tokens], np.int64)
    buckets = config.buckets if len(frequent) > len(kept) else 0
    # Where the rest is hashed, a bucket holds a share of it; without the division the whole tail would weigh nothing.
    rest = (counts.sum() - counts[kept].sum()) / max(buckets, 1)
    rarity = np.log(max(nodes, 1) / np.clip(np.append(counts[kept], rest), 1, max(nodes, 1)))
    return TokensTransform(
        kind=kind,
        name=column.name,
        bag=isinstance(column, Bag),
        first=first,
        values=tuple(column.dictionary[code] for code in kept),
        rarity=tuple(map(float, rarity)),
        buckets=buckets,
    )


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, rows, CHUNK))


def _hash_texts(texts: list[str]) -> Int64[ndarray, "values"]:
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return hash_strings(offsets, np.frombuffer(b"".join(encoded), np.uint8))


@kernel
def _count(codes, counts):
    for code in codes:
        if code >= 0:
            counts[code] += 1
