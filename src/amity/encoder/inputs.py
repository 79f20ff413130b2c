"""The inputs of drawn nodes, gathered from the columns of a graph by a fitted transform."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray
from torch import Tensor

from amity.encoder.features import FeatureTransform, NumbersTransform, TokensTransform
from amity.encoder.standardizing import standardize
from amity.encoder.structure import fingerprint, node_keys, project, structural_inputs
from amity.errors import DataError
from amity.graph import Bag, Category, Column, Graph, NodeKind, Number, Vector
from amity.kernels import kernel


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of some nodes: dense numbers, and a weighted set of tokens from one table."""

    dense: Float32[Tensor, "nodes numbers"]
    """Standardised numbers, 0 where missing, with a column of flags for each; the numbers of all kinds side by side."""
    structure: Float32[Tensor, "nodes width"]
    """Structural inputs."""
    indptr: Int64[Tensor, "nodes_and_one"]
    """Tokens of node i are `tokens[indptr[i]:indptr[i + 1]]`."""
    tokens: Int64[Tensor, "entries"]
    """Categories, and the values of bags."""
    weights: Float32[Tensor, "entries"]
    """1 for a category; the entries of one bag have together unit length."""
    ids: Int64[Tensor, "nodes"]
    """Rows of the table of ids; its last row is for strangers."""
    degrees: Float32[Tensor, "nodes"]
    """How many neighbours each node has in the whole graph."""

    def to(self, device: torch.device | str) -> "Inputs":
        """The same inputs, with the numbers and ids on a device; what makes edges stays where kernels read it."""
        moved = {name: _move(getattr(self, name), device) for name in ("dense", "structure", "ids")}
        return replace(self, **moved)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The entries of one column, ready to be gathered."""

    kind: NodeKind
    column: Category | Bag
    transform: TokensTransform
    lookup: Int64[ndarray, "values"]
    rarity: Float32[ndarray, "tokens"]


@dataclass(frozen=True, slots=True)
class InputSource:
    """Where the inputs of nodes come from: a transform, and the graph it is applied to."""

    transform: FeatureTransform
    graph: Graph
    projections: Float32[ndarray, "nodes width"]
    """Of width 0 where none are inputs; log-degrees are read off the graph when they are gathered."""
    tokens: tuple[_Tokens, ...]
    known: tuple[bool, ...]
    """For each kind, whether its first nodes are those of the training graph."""
    nameless: Bool[ndarray, "nodes"]
    """Who has no vector of its own although there is a row for it: under hashed ids, whoever has no edge."""

    @classmethod
    def of(cls, transform: FeatureTransform, graph: Graph) -> "InputSource":
        """Apply a transform to a graph: the one it was fitted on, or another of the same kinds and columns.

        A column that the graph lacks is missing everywhere; one that the transform does not know is not used.
        Raises `DataError` where a kind of node is new, or a column has changed its type.
        """
        _check_kinds(transform, graph)
        projections = project(graph, transform.structure)
        tokens = tuple(_prepare(graph, column) for column in transform.tokens)
        known = tuple(_is_known(transform, number, kind) for number, kind in enumerate(graph.kinds))
        nameless = graph.isolated() if transform.ids == "hashed" else np.zeros(graph.num_nodes, np.bool_)
        return cls(transform, graph, projections, tokens, known, nameless)

    def of_training(self) -> "InputSource":
        """The same source, of which nobody without an edge gets a vector of its own: there is nothing it could learn.

        A learned one is zero to begin with, and stays so.
        """
        return self if self.transform.ids == "none" else replace(self, nameless=self.graph.isolated())

    def gather(self, rows: Int64[ndarray, "nodes"], *, nameless: range = range(0)) -> Inputs:
        """The inputs of nodes of the graph, in the order of `rows`; those in the places `nameless` without ids."""
        degrees = self.graph.messages.degrees_of(rows)
        indptr, tokens, weights = self._gather_tokens(rows)
        ids = self._gather_ids(rows)
        ids[nameless] = self.transform.num_ids
        return Inputs(
            dense=torch.from_numpy(self._gather_numbers(rows)),
            structure=torch.from_numpy(structural_inputs(degrees, self.projections[rows], self.transform.structure)),
            indptr=torch.from_numpy(indptr),
            tokens=torch.from_numpy(tokens),
            weights=torch.from_numpy(weights),
            ids=torch.from_numpy(ids),
            degrees=torch.from_numpy(degrees.astype(np.float32)),
        )

    def _gather_numbers(self, rows: ndarray) -> Float32[ndarray, "nodes numbers"]:
        dense = np.zeros((len(rows), self.transform.num_numbers), np.float32)
        first = 0
        for column in self.transform.numbers:
            kind = self.graph.kind(column.kind)
            inside = (rows >= kind.first) & (rows < kind.first + kind.count)
            local = np.where(inside, rows - kind.first, -1)
            standardize(_find(kind, column), column, local, dense[:, first : first + len(column.mean) + 1])
            first += len(column.mean) + 1
        return dense

    def _gather_tokens(self, rows: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        counts = np.zeros(len(rows) + 1, np.int64)
        counts[1:] = bool(self.transform.first_token)
        selections = [(_places(rows, source.kind), source) for source in self.tokens]
        for places, source in selections:
            if isinstance(source.column, Bag):
                rules = source.lookup, source.transform.rare
                _count_entries(_bag(source.kind, source.column), rules, rows, (places, counts))
            else:
                counts[1 + places] += 1
        indptr = np.cumsum(counts)
        tokens, weights = np.empty(indptr[-1], np.int64), np.empty(indptr[-1], np.float32)
        cursor = indptr[:-1].copy()
        if self.transform.first_token:
            firsts = np.array([kind.first for kind in self.graph.kinds])
            tokens[cursor] = np.searchsorted(firsts, rows, side="right") - 1
            weights[cursor] = 1.0
            cursor += 1
        for places, source in selections:
            _fill(source, rows, places, (cursor, tokens, weights))
        return indptr, tokens, weights

    def _gather_ids(self, rows: ndarray) -> Int64[ndarray, "nodes"]:
        ids = np.full(len(rows), self.transform.num_ids, np.int64)
        offset = 0
        for number, kind in enumerate(self.graph.kinds):
            places = _places(rows, kind)
            local = rows[places] - kind.first
            count = self.transform.kinds[number].count
            if self.transform.ids == "hashed":
                keys = node_keys(kind.vocabulary.keys[local], number)
                ids[places] = (keys & 0x7FFFFFFFFFFFFFFF) % self.transform.num_ids
            elif self.transform.ids == "learned" and self.known[number]:
                ids[places] = np.where(local < count, offset + local, self.transform.num_ids)
            offset += count
        return np.where(self.nameless[rows], self.transform.num_ids, ids)


def _move(values: Tensor, device: torch.device | str) -> Tensor:
    """Copy without waiting, which takes pinned memory on the way to a GPU; on the CPU the tensor itself."""
    if torch.device(device).type == "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def _check_kinds(transform: FeatureTransform, graph: Graph) -> None:
    trained, found = [kind.name for kind in transform.kinds], [kind.name for kind in graph.kinds]
    if trained != found:
        raise DataError(
            f"The graph has nodes of the kinds {', '.join(found)}, but the model was trained on {', '.join(trained)}. "
            "Ingest tables of the same kinds in the same order, or train on this graph."
        )


def _is_known(transform: FeatureTransform, number: int, kind: NodeKind) -> bool:
    record = transform.kinds[number]
    if transform.ids != "learned" or kind.count < record.count:
        return False
    return fingerprint(kind.vocabulary.keys[: record.count]) == record.fingerprint


def _find(kind: NodeKind, transform: NumbersTransform | TokensTransform) -> Column | None:
    """The column of that name, or None; DataError where it is of another type than the one that was fitted."""
    for column in kind.columns:
        if column.name != transform.name:
            continue
        if isinstance(transform, TokensTransform):
            fits = isinstance(column, Bag if transform.bag else Category)
        else:
            width = column.values.size // max(len(column.values), 1) if isinstance(column, Number | Vector) else -1
            fits = width in (0, len(transform.mean))
        if not fits:
            raise DataError(
                f"The column {kind.name}.{column.name} is now a {type(column).__name__.lower()}, or of another width, "
                "than the one the model was trained on. Write it as it was, rename it, or train again."
            )
        return column
    return None


def _prepare(graph: Graph, transform: TokensTransform) -> _Tokens:
    kind = graph.kind(transform.kind)
    column = _find(kind, transform)
    column = column or Category(transform.name, np.full(kind.count, -1, np.int32), ())
    assert isinstance(column, Category | Bag)
    lookup, rarity = transform.tokens(column.dictionary), np.array(transform.rarity, np.float32)
    return _Tokens(kind, column, transform, lookup, rarity)


def _bag(kind: NodeKind, column: Bag) -> tuple[int, ndarray, ndarray, ndarray]:
    return kind.first, column.indptr, column.codes, column.counts


def _fill(source: _Tokens, rows: ndarray, places: ndarray, output: tuple[ndarray, ndarray, ndarray]) -> None:
    """Write the tokens and weights of one column where the cursor of each node stands, and move it on."""
    column, transform, first = source.column, source.transform, source.kind.first
    if isinstance(column, Bag):
        rules = source.lookup, source.rarity, transform.first, transform.rare
        _fill_bags(_bag(source.kind, column), rules, rows, places, output)
        return
    _fill_categories(column.codes, (first, source.lookup, transform.missing), rows, places, output)


def _places(rows: ndarray, kind: NodeKind) -> Int64[ndarray, "places"]:
    return np.flatnonzero((rows >= kind.first) & (rows < kind.first + kind.count))


@kernel
def _count_entries(column, rules, rows, output):
    """Add to `counts[1 + i]` how many entries the bag of node i gets: all that are rare share one."""
    first, indptr, codes, _ = column
    lookup, rare = rules
    places, counts = output
    for place in places:
        entries, some_rare = 0, False
        for position in range(indptr[rows[place] - first], indptr[rows[place] - first + 1]):
            if lookup[codes[position]] == rare:
                some_rare = True
            else:
                entries += 1
        counts[place + 1] += max(entries + some_rare, 1)


@kernel
def _fill_categories(codes, rules, rows, places, output):
    first, lookup, missing = rules
    cursor, tokens, weights = output
    for place in places:
        code = codes[rows[place] - first]
        tokens[cursor[place]] = lookup[code] if code >= 0 else missing
        weights[cursor[place]] = 1.0
        cursor[place] += 1


@kernel
def _fill_bags(column, rules, rows, places, output):
    first, indptr, codes, counts = column
    lookup, rarity, first_token, rare = rules
    cursor, tokens, weights = output
    for place in places:
        row, start = rows[place] - first, cursor[place]
        size, some_rare, rare_count = start, False, 0.0
        for position in range(indptr[row], indptr[row + 1]):
            token, count = lookup[codes[position]], max(counts[position], 0.0)
            if token == rare:
                some_rare, rare_count = True, rare_count + count
                continue
            tokens[size], weights[size] = token, np.log1p(count) * rarity[min(token, rare) - first_token]
            size += 1
        if some_rare:
            tokens[size], weights[size] = rare, np.log1p(rare_count) * rarity[rare - first_token]
            size += 1
        if size == start:
            tokens[size], weights[size] = rare + 1, 1.0
            size += 1
        _scale_to_unit(weights[start:size])
        cursor[place] = size


@kernel
def _scale_to_unit(weights):
    squares = 0.0
    for weight in weights:
        squares += weight * weight
    for entry in range(len(weights)):
        weights[entry] /= np.sqrt(max(squares, 1e-24))
