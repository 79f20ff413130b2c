"""Compressed sparse rows: who is next to whom."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64, Integer
from numpy import ndarray

from amity.kernels import kernel, shared

PARTS = ("train", "valid", "test")
"""The parts of a split, in the order in which they win where a table puts one edge into several."""


@dataclass(frozen=True, slots=True)
class Adjacency:
    """Directed edges in compressed sparse rows; row i holds the neighbours of node i, sorted and distinct.

    The arrays may be memory-mapped files. Nodes are counted over all kinds: see `Graph`.
    """

    indptr: Int64[ndarray, "nodes_and_one"]
    """Row i is `indices[indptr[i]:indptr[i + 1]]`."""
    indices: Integer[ndarray, "edges"]
    """Neighbours, int32 (int64 past 2^31 nodes)."""
    times: Int64[ndarray, "edges"] | None = None
    """When each edge came to be, in the unit of the table; absent where the table has no time."""
    weights: Float32[ndarray, "edges"] | None = None
    """How strong each edge is; absent where the table has no weight."""
    parts: Int8[ndarray, "edges"] | None = None
    """The part that the table gives each edge to, a row of `PARTS`; absent where it gives none."""

    @property
    def num_nodes(self) -> int:
        """How many rows there are."""
        return len(self.indptr) - 1

    @property
    def num_edges(self) -> int:
        """How many directed edges there are; a friendship counts twice."""
        return len(self.indices)

    def degrees(self) -> Int64[ndarray, "nodes"]:
        """The number of neighbours of each node."""
        return np.diff(self.indptr)

    def degrees_of(self, nodes: Integer[ndarray, "some"]) -> Int64[ndarray, "some"]:
        """The number of neighbours of some nodes."""
        return self.indptr[nodes + 1] - self.indptr[nodes]

    def neighbors(self, node: int) -> Integer[ndarray, "neighbors"]:
        """The sorted neighbours of one node, as a view."""
        return self.indices[self.indptr[node] : self.indptr[node + 1]]

    def rows(self, chosen: Int64[ndarray, "chosen"]) -> "Adjacency":
        """Only the rows of some nodes, in the order given; times and weights are left out."""
        sizes = self.degrees_of(chosen)
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[chosen] - indptr[:-1], sizes)
        return Adjacency(indptr, self.indices[places])

    def only(self, kept: Bool[ndarray, "edges"]) -> "Adjacency":
        """Some of the edges, between all nodes; times and weights are left out."""
        before = np.concatenate([[0], np.cumsum(kept)])
        return Adjacency(before[self.indptr], self.indices[kept])

    def among(self, chosen: Int64[ndarray, "chosen"]) -> "Adjacency":
        """The edges between some nodes, given ascending and once each, and counted anew from 0.

        Times and weights are left out. Neither time nor memory grows with the other nodes.
        """
        theirs = self.rows(chosen)
        places = np.searchsorted(chosen, theirs.indices)
        kept = np.append(chosen, -1)[places] == theirs.indices
        return Adjacency(theirs.only(kept).indptr, places[kept].astype(self.indices.dtype))

    def edges_of(self, chosen: Int64[ndarray, "chosen"]) -> tuple[Int64[ndarray, "some"], Int64[ndarray, "some"]]:
        """The edges that leave some nodes, in the order given: the place of the node among them, and the neighbour."""
        some = self.rows(chosen)
        return some.sources(), some.indices.astype(np.int64)

    def sources(self) -> Int64[ndarray, "edges"]:
        """The row of each edge, beside `indices`."""
        return np.repeat(np.arange(self.num_nodes), self.degrees())


def index_dtype(num_nodes: int) -> type[np.signedinteger]:
    """The narrowest of int32 and int64 that can name every node."""
    return np.int32 if num_nodes <= np.iinfo(np.int32).max else np.int64


def from_pairs(sources: Integer[ndarray, "edges"], targets: Integer[ndarray, "edges"], *, num_nodes: int) -> Adjacency:
    """Sort pairs into rows and drop repetitions."""
    keys = np.unique(np.asarray(sources, np.int64) * num_nodes + np.asarray(targets, np.int64))
    rows = keys // max(num_nodes, 1)
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=num_nodes), out=indptr[1:])
    return Adjacency(indptr, (keys - rows * num_nodes).astype(index_dtype(num_nodes)))


def reverse(adjacency: Adjacency) -> Adjacency:
    """Turn every edge around; times and weights are left out."""
    return Adjacency(*_reverse(adjacency.indptr, adjacency.indices))


def union(first: Adjacency, second: Adjacency) -> Adjacency:
    """Every edge of either; times and weights are left out."""
    rows, others = (first.indptr, first.indices), (second.indptr, second.indices)
    starts = np.zeros(first.num_nodes + 1, np.int64)
    shared(_merge_rows, first.num_nodes, rows, others, starts, np.empty(0, first.indices.dtype))
    starts = np.cumsum(starts)
    merged = np.empty(starts[-1], first.indices.dtype)
    shared(_merge_rows, first.num_nodes, rows, others, starts, merged)
    return Adjacency(starts, merged)


@kernel
def _reverse(indptr, indices):
    num_nodes = len(indptr) - 1
    starts = np.zeros(num_nodes + 1, np.int64)
    for target in indices:
        starts[target + 1] += 1
    starts = np.cumsum(starts)
    cursor = starts[:-1].copy()
    sources = np.empty_like(indices)
    for source in range(num_nodes):
        for edge in range(indptr[source], indptr[source + 1]):
            target = indices[edge]
            sources[cursor[target]] = source
            cursor[target] += 1
    return starts, sources


@kernel
def _merge_rows(part, rows, others, starts, merged):
    """Merge rows to where they start in `merged`; or, where that is empty, put the length of each where it ends."""
    indptr, indices = rows
    other_indptr, other_indices = others
    for row in range(*part):
        size = _merge_row(
            indices[indptr[row] : indptr[row + 1]],
            other_indices[other_indptr[row] : other_indptr[row + 1]],
            merged[starts[row] : starts[row + 1]],
        )
        if len(merged) == 0:
            starts[row + 1] = size


@kernel
def _merge_row(first, second, merged):
    """Merge two sorted rows into `merged` (or only count, where it is empty) and return the length."""
    i = j = size = 0
    while i < len(first) or j < len(second):
        if j == len(second) or (i < len(first) and first[i] <= second[j]):
            value = first[i]
            j += j < len(second) and second[j] == value
            i += 1
        else:
            value = second[j]
            j += 1
        if len(merged) > 0:
            merged[size] = value
        size += 1
    return size
