"""Edges selected and written out of core: one run of rows in memory at a time."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from amity.graph import Adjacency, Relation, open_adjacency
from amity.graph.storage import ArrayWriter
from amity.kernels import kernel, shared
from amity.splitting.assignment import Rule, assign, count_parts, labels_of, part_of, row_ranges


class Selection(ExitStack):
    """Some edges of an adjacency on their way into files of their own, with their times and weights."""

    def __init__(self, adjacency: Adjacency, directory: Path) -> None:
        super().__init__()
        self._adjacency = adjacency
        self._count = 0
        self._indptr = self.enter_context(ArrayWriter(directory / "indptr.npy", np.int64))
        self._indptr.append(np.zeros(1, np.int64))
        self._arrays = [
            (values, self.enter_context(ArrayWriter(directory / f"{name}.npy", values.dtype)))
            for name in ("indices", "times", "weights")
            if (values := getattr(adjacency, name)) is not None
        ]

    def append(self, rows: range, kept: Bool[ndarray, "edges"]) -> None:
        """Write the edges of the next rows that are kept."""
        indptr = self._adjacency.indptr[rows.start : rows.stop + 1]
        places = np.flatnonzero(kept)
        self._indptr.append(self._count + np.searchsorted(places, indptr[1:] - indptr[0]))
        self._count += len(places)
        for values, writer in self._arrays:
            writer.append(values[indptr[0] : indptr[-1]][places])


def write_parts(adjacency: Adjacency, rule: Rule, wanted: Mapping[Path, tuple[int, ...]]) -> Int64[ndarray, "four"]:
    """Decide of every edge, and write those of some parts into each directory; how many edges each part has."""
    counts = np.zeros(4, np.int64)
    with ExitStack() as stack:
        selections = {
            stack.enter_context(Selection(adjacency, directory)): np.isin(np.arange(4), parts)
            for directory, parts in wanted.items()
        }
        for rows in row_ranges(adjacency.indptr):
            parts = assign(adjacency, rule, rows)
            counts += count_parts(parts)
            for selection, keep in selections.items():
                selection.append(rows, keep[parts])
    return counts


def write_past(relation: Relation, rule: Rule, directory: Path) -> Relation:
    """A relation beside the first up to the train cutoff of a split by time; whole where it has no times."""
    adjacency, times = relation.adjacency, relation.adjacency.times
    if not rule.by_time or times is None:
        return relation
    with Selection(adjacency, directory) as selection:
        for rows in row_ranges(adjacency.indptr):
            selection.append(rows, times[adjacency.indptr[rows.start] : adjacency.indptr[rows.stop]] <= rule.valid)
    return replace(relation, adjacency=open_adjacency(directory))


def write_messages(messages: Adjacency, relations: tuple[Relation, ...], rule: Rule, directory: Path) -> None:
    """Write the messages less those that only held-out or quiet edges of the first relation could send."""
    with Selection(messages, directory) as selection:
        for rows in row_ranges(messages.indptr):
            selection.append(rows, carried(messages, relations, rule, rows))


def carried(messages: Adjacency, relations: tuple[Relation, ...], rule: Rule, rows: range) -> Bool[ndarray, "edges"]:
    """Where a message of these rows stands on an edge that may carry it.

    Every edge may, but those of the first relation that the rule does not put into the train part.
    """
    indptr = messages.indptr[rows.start : rows.stop + 1]
    found = np.zeros(int(indptr[-1] - indptr[0]), np.bool_)
    for position, relation in enumerate(relations):
        edges = relation.adjacency
        window = indptr, messages.indices, rows.start
        rows_of = edges.indptr, edges.indices, position > 0
        shared(_mark_carried, len(rows), window, rows_of, labels_of(edges), rule, found)
    return found


@kernel
def _mark_carried(part, window, edges, labels, rule, carried):
    indptr, indices, first_row = window
    edge_indptr, edge_indices, whole = edges
    for row in range(*part):
        source = first_row + row
        for message in range(indptr[row], indptr[row + 1]):
            target = np.int64(indices[message])
            forth = find_edge(edge_indptr, edge_indices, source, target)
            back = find_edge(edge_indptr, edge_indices, target, source)
            for edge in (forth, back):
                if edge >= 0 and (whole or part_of(labels, rule, edge, source, target) == 0):
                    carried[message - indptr[0]] = True


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
