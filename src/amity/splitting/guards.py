"""The guard of a split: nothing held out is heard of before its time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from amity.errors import SplitError
from amity.graph import Adjacency
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


def check_no_leak(split: Split) -> None:
    """Look up every held-out pair among the train edges, the messages and the other part, and check the times.

    A held-out pair, or its reverse, may carry a message only on a train edge between the same two nodes: the
    other way round in a directed relation, or in another relation. Raises `SplitError` that names a pair.
    """
    relation = split.train.target
    for name, held_out in (("valid", split.valid), ("test", split.test)):
        _refuse_shared(split, name, held_out.truth, relation.adjacency, "is also a train edge")
        if relation.undirected:
            _refuse_one_way(split, name, held_out.truth)
        _refuse_messages(split, name, held_out.truth)
    _refuse_shared(split, "test", split.test.truth, split.valid.truth, "is also a valid edge")
    _check_times(split)


def _refuse_shared(split: Split, name: str, truth: Adjacency, other: Adjacency, what: str) -> None:
    for window in _windows(truth):
        _refuse_first(split, name, (truth, window), _held(window, other, turned=False), what)


def _refuse_one_way(split: Split, name: str, truth: Adjacency) -> None:
    for window in _windows(truth):
        alone = ~_held(window, truth, turned=True)
        _refuse_first(split, name, (truth, window), alone, "is held out one way only")


def _refuse_messages(split: Split, name: str, truth: Adjacency) -> None:
    """Find the first held-out pair that carries a message on none of the edges that may."""
    if any(split.train.messages is relation.adjacency for relation in split.train.relations):
        return  # Every message stands on an edge that may carry it.
    for window in _windows(truth):
        heard = _linked(window, split.train.messages)
        for relation in split.train.relations:
            heard &= ~_linked(window, relation.adjacency)
        _refuse_first(split, name, (truth, window), heard, "carries messages")


def _check_times(split: Split) -> None:
    """Compare the times of each part with the cutoffs; a part that was given may hold any."""
    if split.cutoffs is None:
        return
    train, valid, test = split.train.target.adjacency, split.valid.truth, split.test.truth
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    after_valid = lowest if split.cutoffs.valid is None else split.cutoffs.valid
    after_test = lowest if split.cutoffs.test is None else split.cutoffs.test
    ends = [cutoff for cutoff in (split.cutoffs.valid, split.cutoffs.test) if cutoff is not None]
    valid_end = highest if split.cutoffs.valid is None or split.cutoffs.test is None else split.cutoffs.test
    limits = (
        ("train", train, lowest, min(ends, default=highest)),
        ("valid", valid, after_valid, valid_end),
        ("test", test, after_test, highest),
    )
    for name, adjacency, after, until in limits:
        if adjacency.times is None:
            raise SplitError(f"The {name} part of a split by time has no times. Split again.")
        found = int(_first_outside(adjacency.times, after, until))
        what = f"has the time {int(adjacency.times[found]):,}, not after {after:,} and until {until:,}"
        _refuse(split, name, adjacency, found, what)


def _refuse_first(
    split: Split, name: str, place: tuple[Adjacency, Window], wrong: Bool[ndarray, "edges"], what: str
) -> None:
    truth, window = place
    if wrong.any():
        _refuse(split, name, truth, int(window.indptr[0]) + int(np.argmax(wrong)), what)


def _refuse(split: Split, name: str, part: Adjacency, edge: int, what: str) -> None:
    if edge < 0:
        return
    relation = split.train.target
    row = int(np.searchsorted(part.indptr, edge, side="right")) - 1
    source, target = split.train.kind(relation.source), split.train.kind(relation.target)
    pair = source.vocabulary.ids([row - source.first]) + target.vocabulary.ids([int(part.indices[edge]) - target.first])
    raise SplitError(
        f"The split leaks: the {name} pair {pair[0]!r} - {pair[1]!r} of {relation.name!r} {what}. "
        "The split was altered, or its tables give the two directions of a pair to different parts. "
        "Mend the `split` column if there is one, and split again."
    )


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
