"""The guard of a split: nothing held out is heard of before its time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from amity.errors import SplitError
from amity.graph import Adjacency, Graph
from amity.kernels import kernel, shared
from amity.splitting.split import Split
from amity.splitting.streams import find_edge

ROWS_AT_ONCE = 1 << 20
"""How many rows of a held-out part are looked up at a time."""


class Rows(NamedTuple):
    """An adjacency as kernels take it."""

    indptr: Int64[ndarray, "nodes_and_one"]
    indices: ndarray


class Window(NamedTuple):
    """Some rows of an adjacency."""

    first_row: int
    indptr: Int64[ndarray, "rows_and_one"]
    indices: ndarray
    """Those of the whole adjacency."""


class Part(NamedTuple):
    """Some pairs of a split, and what an error calls them."""

    name: str
    of: str
    edges: Adjacency


def check_no_leak(split: Split) -> None:
    """Look up every held-out pair among the train edges and the other part, and every message; check the times.

    A message may stand on a train edge between the same two nodes only, either way round and of any relation: then
    a held-out pair carries none but on another edge. Where the split is by time, no edge of any relation of the train
    graph is later than its cutoff, as far as times are known. Raises `SplitError` that names a pair.
    """
    graph, relation = split.train, split.train.target
    train = [Part("train pair", repr(one.name), one.adjacency) for one in graph.relations]
    valid, test = (
        Part(f"{name} pair", repr(relation.name), held_out.truth)
        for name, held_out in (("valid", split.valid), ("test", split.test))
    )
    for part in (valid, test):
        _refuse_shared(graph, part, relation.adjacency, "is also a train edge")
        if relation.undirected:
            _refuse_one_way(graph, part)
    _refuse_shared(graph, test, valid.edges, "is also a valid edge")
    _refuse_strays(graph)
    _check_times(split, train, valid, test)


def _refuse_shared(graph: Graph, part: Part, other: Adjacency, what: str) -> None:
    for window in _windows(part.edges):
        _refuse_first(graph, part, window, _held(window, other, turned=False), what)


def _refuse_one_way(graph: Graph, part: Part) -> None:
    for window in _windows(part.edges):
        _refuse_first(graph, part, window, ~_held(window, part.edges, turned=True), "is held out one way only")


def _refuse_strays(graph: Graph) -> None:
    """Find the first message that stands on none of the edges that may carry it."""
    messages = Part("message", "the train graph", graph.messages)
    if any(messages.edges is relation.adjacency for relation in graph.relations):
        return
    for window in _windows(messages.edges):
        stray = ~np.logical_or.reduce([_linked(window, relation.adjacency) for relation in graph.relations])
        _refuse_first(graph, messages, window, stray, "stands on no train edge")


def _check_times(split: Split, train: list[Part], valid: Part, test: Part) -> None:
    """Compare the times of each part with the cutoffs; a part that was given may hold any."""
    if split.cutoffs is None:
        return
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    after_valid = lowest if split.cutoffs.valid is None else split.cutoffs.valid
    after_test = lowest if split.cutoffs.test is None else split.cutoffs.test
    ends = [cutoff for cutoff in (split.cutoffs.valid, split.cutoffs.test) if cutoff is not None]
    valid_end = highest if split.cutoffs.valid is None or split.cutoffs.test is None else split.cutoffs.test
    timed = [part for part in train if part is train[0] or part.edges.times is not None]
    limits = [(part, lowest, min(ends, default=highest)) for part in timed]
    for part, after, until in (*limits, (valid, after_valid, valid_end), (test, after_test, highest)):
        times = part.edges.times
        if times is None:
            raise SplitError(f"Every {part.name} of a split by time has a time, and here is none. Split again.")
        found = int(_first_outside(times, after, until))
        if found >= 0:
            what = f"has the time {int(times[found]):,}, not after {after:,} and until {until:,}"
            raise _leak(split.train, part, found, what)


def _refuse_first(graph: Graph, part: Part, window: Window, wrong: Bool[ndarray, "edges"], what: str) -> None:
    if wrong.any():
        raise _leak(graph, part, int(window.indptr[0]) + int(np.argmax(wrong)), what)


def _leak(graph: Graph, part: Part, edge: int, what: str) -> SplitError:
    row = int(np.searchsorted(part.edges.indptr, edge, side="right")) - 1
    ends = [_raw_id(graph, row), _raw_id(graph, int(part.edges.indices[edge]))]
    return SplitError(
        f"The split leaks: the {part.name} {ends[0]!r} - {ends[1]!r} of {part.of} {what}. "
        "The split was altered, or its tables give the two directions of a pair to different parts. "
        "Mend the `split` column if there is one, and split again."
    )


def _raw_id(graph: Graph, row: int) -> int | str:
    kind = next(kind for kind in graph.kinds if row < kind.first + kind.count)
    return kind.vocabulary.ids([row - kind.first])[0]


def _windows(adjacency: Adjacency) -> Iterator[Window]:
    for start in range(0, adjacency.num_nodes, ROWS_AT_ONCE):
        yield Window(start, adjacency.indptr[start : start + ROWS_AT_ONCE + 1], adjacency.indices)


def _linked(window: Window, others: Adjacency) -> Bool[ndarray, "edges"]:
    """Whether `others` hold each edge of a window, or its reverse."""
    return _held(window, others, turned=False) | _held(window, others, turned=True)


def _held(window: Window, others: Adjacency, *, turned: bool) -> Bool[ndarray, "edges"]:
    """Whether `others` hold each edge of a window, or, `turned`, its reverse."""
    held = np.zeros(window.indptr[-1] - window.indptr[0], np.bool_)
    rows = Rows(others.indptr, others.indices)
    shared(_mark_held, len(window.indptr) - 1, window, rows, turned, held)
    return held


@kernel
def _mark_held(part, window, others, turned, held):
    for row in range(*part):
        for edge in range(window.indptr[row], window.indptr[row + 1]):
            source, target = window.first_row + row, np.int64(window.indices[edge])
            if turned:
                source, target = target, source
            held[edge - window.indptr[0]] = find_edge(others.indptr, others.indices, source, target) >= 0


@kernel
def _first_outside(times, after, until):
    """The first edge whose time is not in (after, until], or -1; the earliest int64 is after itself."""
    for edge in range(len(times)):
        if times[edge] > until or (times[edge] <= after and after != np.iinfo(np.int64).min):
            return edge
    return np.int64(-1)
