"""Edges selected and written out of core: one run of rows in memory at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numba
import numpy as np
from jaxtyping import Bool, Int8, Int64
from numpy import ndarray
from numpy.typing import DTypeLike

from amity.graph import Adjacency, Relation
from amity.graph.storage import ArrayWriter, open_array
from amity.kernels import kernel, parallel_kernel
from amity.splitting.assignment import QUIET, TRAIN, row_ranges


def write_array(path: Path, dtype: DTypeLike, chunks: Iterable[ndarray]) -> None:
    """Write an npy file of one dimension, piece by piece."""
    with ArrayWriter(path, dtype) as writer:
        for chunk in chunks:
            writer.append(chunk)


def write_selected(
    adjacency: Adjacency, parts: Int8[ndarray, "edges"], wanted: tuple[int, ...], directory: Path
) -> None:
    """Write the edges whose part is among those wanted, with their times and weights."""
    keep = np.isin(np.arange(4), wanted)
    indptr = _kept_indptr(adjacency.indptr, parts, keep)
    write_array(directory / "indptr.npy", np.int64, [indptr])
    for name in ("indices", "times", "weights"):
        values = getattr(adjacency, name)
        if values is not None:
            chunks = (values[run][keep[parts[run]]] for run in _edge_runs(adjacency.indptr))
            write_array(directory / f"{name}.npy", values.dtype, chunks)


def write_pairs(relation: Relation, parts: Int8[ndarray, "edges"], *, quiet: bool, directory: Path) -> None:
    """Write the edges that supervise as pairs, a friendship once with its source before its target."""
    adjacency = relation.adjacency

    def chosen(rows: range) -> tuple[ndarray, ndarray, Bool[ndarray, "edges"]]:
        indptr = adjacency.indptr[rows.start : rows.stop + 1]
        run = slice(int(indptr[0]), int(indptr[-1]))
        sources, targets = np.repeat(np.arange(rows.start, rows.stop), np.diff(indptr)), adjacency.indices[run]
        wanted = parts[run] == (QUIET if quiet else TRAIN)
        return sources, targets, wanted & (sources < targets) if relation.undirected else wanted

    for position, name in enumerate(("sources", "targets")):
        pieces = (chosen(rows) for rows in row_ranges(adjacency.indptr))
        chunks = (piece[position][piece[2]] for piece in pieces)
        write_array(directory / f"{name}.npy", adjacency.indices.dtype, chunks)


def write_messages(
    messages: Adjacency, relations: tuple[Relation, ...], parts: Int8[ndarray, "edges"], directory: Path
) -> None:
    """Write the messages less those that only held-out or quiet edges of the first relation could send."""
    path = directory / "carried.npy"
    ranges = row_ranges(messages.indptr)
    write_array(path, np.int8, (_carried(messages, relations, parts, rows) for rows in ranges))
    write_selected(messages, open_array(path), (1,), directory)
    path.unlink()


def _carried(
    messages: Adjacency, relations: tuple[Relation, ...], parts: Int8[ndarray, "edges"], rows: range
) -> Int8[ndarray, "edges"]:
    """1 where a message of these rows stands on an edge that may carry it, else 0."""
    first, *others = (relation.adjacency for relation in relations)
    indptr = messages.indptr[rows.start : rows.stop + 1]
    carried = np.zeros(int(indptr[-1] - indptr[0]), np.int8)
    _mark_carried(indptr, messages.indices, rows.start, (first.indptr, first.indices, parts), carried)
    for other in others:
        everything = np.empty(0, np.int8)
        _mark_carried(indptr, messages.indices, rows.start, (other.indptr, other.indices, everything), carried)
    return carried


def _edge_runs(indptr: Int64[ndarray, "nodes_and_one"]) -> Iterator[slice]:
    for rows in row_ranges(indptr):
        yield slice(int(indptr[rows.start]), int(indptr[rows.stop]))


def _kept_indptr(
    indptr: Int64[ndarray, "nodes_and_one"], parts: Int8[ndarray, "edges"], keep: Bool[ndarray, "parts"]
) -> Int64[ndarray, "nodes_and_one"]:
    starts = np.zeros(len(indptr), np.int64)
    np.cumsum(_count_kept(indptr, parts, keep), out=starts[1:])
    return starts


@parallel_kernel
def _count_kept(indptr, parts, keep):
    counts = np.zeros(len(indptr) - 1, np.int64)
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            counts[row] += keep[parts[edge]]
    return counts


@parallel_kernel
def _mark_carried(indptr, indices, first_row, edges, carried):
    edge_indptr, edge_indices, parts = edges
    for row in numba.prange(len(indptr) - 1):
        source = first_row + row
        for message in range(indptr[row], indptr[row + 1]):
            target = indices[message]
            forth = find_edge(edge_indptr, edge_indices, source, target)
            back = find_edge(edge_indptr, edge_indices, target, source)
            if (forth >= 0 and _carries(parts, forth)) or (back >= 0 and _carries(parts, back)):
                carried[message - indptr[0]] = 1


@kernel
def _carries(parts, edge):
    return len(parts) == 0 or parts[edge] == 0


@kernel
def find_edge(indptr, indices, source, target):
    """The place of an edge in `indices`, or -1 where there is none."""
    low, high = indptr[source], indptr[source + 1]
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low if low < indptr[source + 1] and indices[low] == target else np.int64(-1)
