"""Sort more pairs than fit in memory: scatter them to files by range, then sort, merge and append file after file.

A pair (source, target) is one number, whose lowest bit says whether it is mirrored, the next `target_bits` the target
and the rest the source. So a range of numbers is a range of pairs, and a row that is too long for memory is cut like
any other.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float32, Int8, Int64, Integer
from numpy import ndarray

from amity.errors import DataError
from amity.graph.adjacency import index_dtype
from amity.graph.storage import ArrayWriter
from amity.ingestion.buckets import FIELDS, Bucket, Buckets, files_for, shift_for
from amity.kernels import kernel

_MAX_PAIRS = 2**62
_BYTES_PER_PAIR = 24
_BYTES_PER_CARRIER = 24
_BYTES_PER_FIELD = 16
_WORKERS = 2
_DIGIT = 8
"""Bits that one pass of sorting looks at."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What merging pairs found."""

    pairs: int = 0
    """Distinct pairs, both directions of a symmetric one."""
    duplicates: int = 0
    """Rows that repeat an earlier one."""
    reversed: int = 0
    """Symmetric pairs that the table holds in both directions."""
    part_conflicts: int = 0
    """Pairs that the table puts into several parts."""

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(*(getattr(self, name) + getattr(other, name) for name in Counted.__slots__))


@dataclass(frozen=True, slots=True)
class Span:
    """The rows and columns between which pairs lie."""

    num_sources: int
    num_targets: int
    first_source: int = 0
    """The row of the result that source 0 is."""
    first_target: int = 0
    """The number that target 0 gets in the result."""
    num_rows: int = 0
    """How many rows the result has."""
    symmetric: bool = False
    """Whether every pair was added in both directions; then counts are of pairs with source < target."""

    @property
    def target_bits(self) -> int:
        """How many bits of a number say its target."""
        return (self.num_targets - 1).bit_length()


class PairSorter:
    """Pairs on their way to compressed sparse rows; holds open files until it is written or left."""

    def __init__(self, scratch: Path, span: Span, *, fields: tuple[str, ...], expected: int, memory_bytes: int) -> None:
        if span.num_sources << span.target_bits >= _MAX_PAIRS:
            raise DataError(
                f"{span.num_sources:,} by {span.num_targets:,} nodes are more than fit: 2^31 of each. "
                "Divide the graph, or leave out nodes without edges."
            )
        self._scratch, self.span, self._fields = scratch, span, fields
        # A quarter of the memory a worker; the rest is for ids and for chunks on their way.
        pair_bytes = _BYTES_PER_PAIR + _BYTES_PER_CARRIER * bool(fields) + _BYTES_PER_FIELD * len(fields)
        self._capacity = max(1024, memory_bytes // 4 // pair_bytes)
        wanted = files_for(expected, self._capacity)
        numbers = 2 * span.num_sources << span.target_bits
        self._shift = shift_for(numbers, wanted)
        self._buckets = Buckets(scratch, "0", (numbers - 1 >> self._shift) + 1, fields)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._buckets.close()

    def add(self, keys: Int64[ndarray, "pairs"], carried: dict[str, ndarray]) -> None:
        """Take in pairs as numbers (see `pair_keys`) with what each carries."""
        self._buckets.add(keys, carried, shift=self._shift, base=0)

    def write(self, directory: Path, names: dict[str, str]) -> Counted:
        """Write the merged pairs as npy files: `names` says what `indptr`, `indices` and the fields are called.

        Rows are sorted and distinct: of equal pairs the earliest time, the sum of weights and the first part stay.
        """
        dtype = index_dtype(self.span.num_rows)
        degrees = np.zeros(self.span.num_rows + 1, np.int64)
        counted = Counted()
        with ExitStack() as files:
            writers = {
                name: files.enter_context(ArrayWriter(directory / f"{names[name]}.npy", kind))
                for name, kind in {"indices": dtype, **{field: FIELDS[field] for field in self._fields}}.items()
            }
            for piece in _ahead(self._merge, self._pieces()):
                writers["indices"].append(piece.targets)
                for field in self._fields:
                    writers[field].append(piece.carried[field])
                degrees[1 + piece.first_row : 1 + piece.first_row + len(piece.degrees)] += piece.degrees
                counted += piece.counted
        np.save(directory / f"{names['indptr']}.npy", np.cumsum(degrees, out=degrees))
        return counted

    def _pieces(self) -> Iterator[Bucket]:
        for number, bucket in enumerate(self._buckets.finish()):
            yield from self._cut(bucket, number << self._shift, self._shift)

    def _cut(self, bucket: Bucket, base: int, shift: int) -> Iterator[Bucket]:
        """A file as it is where it fits, else scattered again by narrower ranges, down to a single pair."""
        if bucket.size <= self._capacity or shift == 1:
            yield from [bucket] if bucket.size else []
            return
        narrower = shift_for(1 << shift, files_for(bucket.size, self._capacity))
        buckets = Buckets(self._scratch, bucket.path.name, 1 << (shift - narrower), self._fields)
        for begin in range(0, bucket.size, self._capacity):
            buckets.add(*bucket.load(begin, self._capacity), shift=narrower, base=base)
        bucket.remove()
        for number, narrow in enumerate(buckets.finish()):
            yield from self._cut(narrow, base + (number << narrower), narrower)

    def _merge(self, bucket: Bucket) -> "_Piece":
        """Sort one file in memory and merge equal pairs."""
        keys, carried = bucket.load(0, bucket.size)
        bucket.remove()
        order = np.argsort(keys) if carried else np.empty(0, np.int64)
        keys = keys[order] if carried else sort_keys(keys, np.empty_like(keys))
        span, bits = self.span, self.span.target_bits
        first = int(keys[0] >> bits + 1)
        degrees = np.zeros(int(keys[-1] >> bits + 1) - first + 1, np.int64)
        targets = np.empty(len(keys), index_dtype(span.num_rows))
        starts = np.empty(len(keys) if carried else 0, np.int64)
        size, duplicates, both = _merge_sorted(keys, bits, span.symmetric, degrees, targets, starts)
        targets = targets[:size]
        targets += targets.dtype.type(span.first_target)
        starts, conflicts = starts[:size], 0
        if "times" in carried:
            carried["times"] = np.minimum.reduceat(carried["times"][order], starts)
        if "weights" in carried:
            carried["weights"] = _sum_groups(carried["weights"], order, starts)
        if "parts" in carried:
            parts = carried["parts"][order]
            carried["parts"] = np.minimum.reduceat(parts, starts)
            sources, ends = split_pairs(keys[starts], bits)
            counts = (sources < ends) | (not span.symmetric)
            conflicts = int(((carried["parts"] != np.maximum.reduceat(parts, starts)) & counts).sum())
        counted = Counted(size, duplicates, both, conflicts)
        return _Piece(first + span.first_source, degrees, targets, carried, counted)


def split_pairs(
    keys: Int64[ndarray, "pairs"], target_bits: int
) -> tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]]:
    """The sources and the targets of pairs as numbers."""
    return keys >> target_bits + 1, keys >> 1 & (1 << target_bits) - 1


@kernel
def pair_keys(sources, targets, target_bits, one_kind, undirected):
    """Pairs as numbers, with their reverses behind them where they are undirected; -1 as an end drops a pair.

    Returns (numbers, position of the pair that each is of, dropped for an end, dropped as a self-loop).
    """
    size = dangling = loops = 0
    keys = np.empty(len(sources) * (2 if undirected else 1), np.int64)
    positions = np.empty(len(keys), np.int64)
    for i in range(len(sources)):
        source, target = sources[i], targets[i]
        if source < 0 or target < 0:
            dangling += 1
        elif one_kind and source == target:
            loops += 1
        else:
            keys[size] = (source << target_bits | target) << 1
            positions[size] = i
            size += 1
            if undirected:
                keys[size] = (target << target_bits | source) << 1 | 1
                positions[size] = i
                size += 1
    return keys[:size], positions[:size], dangling, loops


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive pairs, sorted and distinct."""

    first_row: int
    degrees: Int64[ndarray, "rows"]
    targets: Integer[ndarray, "pairs"]
    carried: dict[str, Int64[ndarray, "pairs"] | Float32[ndarray, "pairs"] | Int8[ndarray, "pairs"]]
    counted: Counted


def _ahead(merge: Callable[[Bucket], _Piece], buckets: Iterator[Bucket]) -> Iterator[_Piece]:
    """The merged pieces in order, a few at work at a time."""
    with ThreadPoolExecutor(_WORKERS) as workers:
        running: deque[Future[_Piece]] = deque()
        for bucket in buckets:
            running.append(workers.submit(merge, bucket))
            if len(running) == _WORKERS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


@kernel
def sort_keys(keys, other):
    """Numbers from 0 in order, digit by digit from the lowest, those that all share left out; both arrays are used."""
    differing = np.int64(0)
    for key in keys:
        differing |= key ^ keys[0]
    for shift in range(0, 63, _DIGIT):
        if (differing >> shift) & ((1 << _DIGIT) - 1):
            ends = np.zeros((1 << _DIGIT) + 1, np.int64)
            for key in keys:
                ends[((key >> shift) & ((1 << _DIGIT) - 1)) + 1] += 1
            cursor = np.cumsum(ends)
            for key in keys:
                digit = (key >> shift) & ((1 << _DIGIT) - 1)
                other[cursor[digit]] = key
                cursor[digit] += 1
            keys, other = other, keys
    return keys


@kernel
def _merge_sorted(keys, target_bits, symmetric, degrees, targets, starts):
    """Write degrees, targets and, where there is room, starts of the distinct pairs among sorted numbers.

    Returns how many there are, and how many numbers repeat or reverse another.
    """
    first = keys[0] >> (target_bits + 1)
    size = duplicates = both = seen = 0
    for i in range(len(keys)):
        source, target = keys[i] >> (target_bits + 1), (keys[i] >> 1) & ((1 << target_bits) - 1)
        if i == 0 or keys[i] >> 1 != keys[i - 1] >> 1:
            targets[size] = target
            degrees[source - first] += 1
            if len(starts) > 0:
                starts[size] = i
            size += 1
            seen = 0
        # Mirrored ones come behind straight ones: 1 and 2 are the bits of what was seen of this pair.
        way = 1 << (keys[i] & 1)
        if not symmetric or source < target:
            duplicates += (seen & way) > 0
            both += seen == 1 and way == 2
        seen |= way
    return size, duplicates, both


@kernel
def _sum_groups(weights, order, starts):
    """The sum of each group, smallest first, so that it does not depend on the order of the table."""
    sums = np.empty(len(starts), np.float32)
    for group in range(len(starts)):
        end = starts[group + 1] if group + 1 < len(starts) else len(order)
        if end - starts[group] == 1:
            sums[group] = weights[order[starts[group]]]
        else:
            sums[group] = np.sort(weights[order[starts[group] : end]]).astype(np.float64).sum()
    return sums
