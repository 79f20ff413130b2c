"""Which part each edge falls into: one number an edge, compared with two cutoffs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from jaxtyping import Int8, Int64
from numpy import ndarray
from pydantic import Field, model_validator

from amity.errors import SplitError
from amity.graph import Adjacency, Relation
from amity.kernels import kernel, mix, shared
from amity.section import Section

TRAIN, VALID, TEST, QUIET = 0, 1, 2, 3
"""What becomes of an edge; a quiet one is a train edge that supervises and carries no messages."""

NEVER = int(np.iinfo(np.int64).max)
"""A cutoff that nothing passes."""

EVER = int(np.iinfo(np.int64).min)
"""The earliest moment; pandas writes it for a time that is missing."""

HISTOGRAM_BITS = 12
"""A pass over the times tells so many more bits of a cutoff."""
EDGES_AT_ONCE = 1 << 22
"""How many edges a pass over the rows holds in memory at a time."""


class SplittingConfig(Section):
    """How the edges of the first relation are divided.

    Other relations stay whole; by time, those that have times keep only edges no later than the last train edge may be.
    Queries without a train edge stay in the evaluation (degree 0). Parts that the tables give are kept as given.
    """

    by: Literal["random", "time", "given"] = "random"
    """Draw the held-out edges at random, take the latest, or accept only what the tables give."""
    valid: float = Field(default=0.05, gt=0, lt=1)
    """Share of the edges held out to choose a model by."""
    test: float = Field(default=0.1, gt=0, lt=1)
    """Share of the edges held out to judge the model by."""
    supervision: float = Field(default=1.0, gt=0, le=1)
    """Share of the train edges that supervise. At 1 every train edge supervises and carries messages, and each
    step leaves out its own; below 1 those that supervise carry none."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid ({self.valid}) and test ({self.test}) together must be less than 1")
        return self


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The moments that divide a split by time, in the unit of the table's times."""

    valid: int | None
    """Train edges are no later than this, validation edges are later; absent where validation was given."""
    test: int | None
    """Train and validation edges are no later than this, test edges are later; absent where test was given."""


class Rule(NamedTuple):
    """How a kernel decides: an edge is test where its score exceeds `test`, else valid where it exceeds `valid`."""

    by_time: bool
    valid: int
    test: int
    seed: int
    quiet: int
    """A train edge is quiet where its second hash exceeds this."""


def make_rule(relation: Relation, config: SplittingConfig, *, seed: int) -> Rule:
    """Choose the cutoffs of a split, looking at the edges no more often than needed.

    Raises `SplitError` where the tables lack the parts or the times that `config.by` relies on.
    """
    adjacency = relation.adjacency
    given = given_parts(adjacency)
    if config.by == "given" and given != {VALID, TEST}:
        raise SplitError(_not_given(relation.name, given))
    valid = 0.0 if VALID in given else config.valid
    test = 0.0 if TEST in given else config.test
    by_time = config.by == "time" and given != {VALID, TEST}
    valid_after, test_after = (
        time_cutoffs(relation, valid, test) if by_time else (threshold(valid + test), threshold(test))
    )
    return Rule(by_time, valid_after, test_after, seed, threshold(config.supervision if config.supervision < 1 else 0))


def cutoffs_of(rule: Rule, adjacency: Adjacency) -> Cutoffs | None:
    """The cutoffs of a split by time; none of one at random, or as given."""
    if not rule.by_time:
        return None
    given = given_parts(adjacency)
    return Cutoffs(None if VALID in given else rule.valid, None if TEST in given else rule.test)


def given_parts(adjacency: Adjacency) -> set[int]:
    """Which of VALID and TEST the tables give."""
    if adjacency.parts is None:
        return set()
    counts = count_parts(adjacency.parts)
    return {part for part in (VALID, TEST) if counts[part]}


def assign(adjacency: Adjacency, rule: Rule, rows: range) -> Int8[ndarray, "edges"]:
    """What becomes of each edge of some rows; both directions of a pair are alike."""
    indptr = adjacency.indptr[rows.start : rows.stop + 1]
    parts = np.empty(indptr[-1] - indptr[0], np.int8)
    shared(_assign, len(rows), (indptr, adjacency.indices), labels_of(adjacency), rows.start, rule, parts)
    return parts


def row_ranges(indptr: Int64[ndarray, "nodes_and_one"]) -> Iterator[range]:
    """Cut the rows into runs of about `EDGES_AT_ONCE`, for passes that hold one run at a time."""
    num_nodes = len(indptr) - 1
    borders = np.searchsorted(indptr, np.arange(EDGES_AT_ONCE, int(indptr[-1]), EDGES_AT_ONCE))
    rows = np.unique(np.concatenate([[0], np.minimum(borders, num_nodes), [num_nodes]]))
    for start, stop in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        yield range(start, stop)


class Labels(NamedTuple):
    """What the tables say of each edge; an array is empty where they say nothing."""

    times: Int64[ndarray, "edges"]
    parts: Int8[ndarray, "edges"]


def labels_of(adjacency: Adjacency) -> Labels:
    """What a kernel needs to decide of any edge."""
    times = np.empty(0, np.int64) if adjacency.times is None else adjacency.times
    return Labels(times, np.empty(0, np.int8) if adjacency.parts is None else adjacency.parts)


def threshold(share: float) -> int:
    """The number that a uniform int64 exceeds with that probability."""
    return min(NEVER, int((1 - share) * 2**64) - 2**63)


def time_cutoffs(relation: Relation, valid: float, test: float) -> tuple[int, int]:
    """The last moments of train and of valid, so that the last `test` of the edges and the `valid` before are apart.

    Edges of the instant that a share would cut go to the later part, all of them.
    """
    if relation.adjacency.times is None:
        raise SplitError(
            f"The split is to be by time, but the edges of the relation {relation.name!r} have none. "
            "Name their time column in the ingestion settings, or split by 'random'."
        )
    labels = labels_of(relation.adjacency)
    low, high, pool = _span(labels)
    end, test_after = int(pool), NEVER
    if test and pool:
        start = nth_time(labels, low, high, max(0, end - max(1, round(test * pool))))
        end, test_after = int(_count_before(labels, start)), max(EVER, start - 1)
    if not valid or not end:
        return test_after, test_after
    start = nth_time(labels, low, high, max(0, end - max(1, round(valid * pool))))
    return max(EVER, start - 1), test_after


def nth_time(labels: Labels, low: int, high: int, rank: int) -> int:
    """The time at that rank (0 = earliest) among edges without a given part, by repeated histograms."""
    while low < high:
        shift = max(0, (int(high) - int(low)).bit_length() - HISTOGRAM_BITS)
        counts = np.cumsum(_histogram(labels, low, high, shift))
        bucket = int(np.searchsorted(counts, rank, side="right"))
        rank -= int(counts[bucket - 1]) if bucket else 0
        low, high = int(low) + (bucket << shift), min(int(high), int(low) + ((bucket + 1) << shift) - 1)
    return int(low)


def _not_given(name: str, given: set[int]) -> str:
    found = "no split at all" if not given else f"only a {'valid' if VALID in given else 'test'} part"
    return (
        f"The split is to be as given, but the tables give {found} for the relation {name!r}. "
        "Name their `split` column or the tables of each part in the ingestion settings, or choose "
        "`by` = 'random' or 'time', which keep the given part and draw the missing one."
    )


@kernel
def pair_hash(seed, first, second):
    """A hash of an unordered pair of nodes, uniform over int64."""
    return mix(mix(mix(seed) ^ np.int64(min(first, second))) ^ np.int64(max(first, second)))


@kernel
def _assign(part, window, labels, first_row, rule, parts):
    indptr, indices = window
    for row in range(*part):
        for edge in range(indptr[row], indptr[row + 1]):
            parts[edge - indptr[0]] = part_of(labels, rule, edge, first_row + row, indices[edge])


@kernel
def part_of(labels, rule, edge, source, target):
    """What becomes of one edge, int8."""
    if len(labels.parts) and labels.parts[edge]:
        return labels.parts[edge]
    score = labels.times[edge] if rule.by_time else pair_hash(rule.seed, source, target)
    if score > rule.test:
        return np.int8(2)
    if score > rule.valid:
        return np.int8(1)
    quiet = rule.quiet != NEVER and pair_hash(~rule.seed, source, target) > rule.quiet
    return np.int8(3) if quiet else np.int8(0)


@kernel
def _span(labels):
    """The earliest and latest time of the edges without a given part, and how many they are."""
    low, high, count = np.iinfo(np.int64).max, np.iinfo(np.int64).min, 0
    for edge in range(len(labels.times)):
        if len(labels.parts) == 0 or labels.parts[edge] == 0:
            low = min(low, labels.times[edge])
            high = max(high, labels.times[edge])
            count += 1
    return low, high, count


@kernel
def _histogram(labels, low, high, shift):
    counts = np.zeros(1 << HISTOGRAM_BITS, np.int64)
    for edge in range(len(labels.times)):
        time = labels.times[edge]
        if (len(labels.parts) == 0 or labels.parts[edge] == 0) and low <= time <= high:
            counts[(np.uint64(time) - np.uint64(low)) >> np.uint64(shift)] += 1
    return counts


@kernel
def _count_before(labels, moment):
    count = 0
    for edge in range(len(labels.times)):
        count += (len(labels.parts) == 0 or labels.parts[edge] == 0) and labels.times[edge] < moment
    return count


@kernel
def count_parts(parts):
    """How many edges are TRAIN, VALID, TEST and QUIET."""
    counts = np.zeros(4, np.int64)
    for part in parts:
        counts[part] += 1
    return counts
