"""Raw ids to rows while tables are read: a vocabulary that grows."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64
from numpy import ndarray

from amity.errors import DataError
from amity.graph.vocabulary import Vocabulary, hash_strings, insert, look_up, new_slots
from amity.kernels import kernel, parallel_kernel

Ids: TypeAlias = "pa.Array"
"""Ids without nulls: int64, string or large_string."""


class VocabularyBuilder:
    """The distinct ids seen so far, in order of first sight; its arrays double as they fill."""

    def __init__(self, *, text: bool, expected: int = 1 << 10) -> None:
        self.text = text
        self._keys = _Growing(np.int64, expected)
        self._slots = new_slots(expected)
        self._ends = _Growing(np.int64, expected if text else 0)
        self._bytes = _Growing(np.uint8, 16 * expected if text else 0)

    @property
    def size(self) -> int:
        """How many distinct ids there are."""
        return self._keys.size

    def add(self, ids: Ids) -> Bool[ndarray, "ids"]:
        """Take in ids; true where an id is seen for the first time.

        Raises `DataError` where two different strings have one hash.
        """
        offsets, text, keys = _keys(ids)
        self._reserve(len(keys))
        # Most ids are known already: find those on all cores, and insert only the rest.
        rows = look_up(self._keys.values, self._slots, keys) if self.size else np.full(len(keys), -1)
        strangers = np.flatnonzero(rows < 0)
        fresh, rows[strangers] = insert(self._keys.values, self._slots, keys[strangers])
        positions = strangers[fresh]
        self._keys.append(keys[positions])
        if self.text:
            lengths, copied = _copy_strings(offsets, text, positions)
            self._ends.append(self._bytes.size + np.cumsum(lengths))
            self._bytes.append(copied)
            self._check_collisions(offsets, text, rows)
        first = np.zeros(len(keys), bool)
        first[positions] = True
        return first

    def finish(self, *, in_order: bool = False) -> Vocabulary:
        """The vocabulary, its ids in order of first sight or sorted (text by its bytes)."""
        keys, offsets, text = self._keys.values, None, None
        if self.text:
            offsets, text = np.concatenate([[0], self._ends.values]), self._bytes.values
        if in_order:
            keys, offsets, text = _sort(keys, offsets, text)
        slots = new_slots(len(keys))
        insert(keys[:0], slots, keys)
        return Vocabulary(keys, slots, offsets, text)

    def _reserve(self, more: int) -> None:
        needed = self.size + more
        if 2 * needed > len(self._slots):
            known = self._keys.values
            self._slots = new_slots(2 * self.size + more)
            insert(known[:0], self._slots, known)

    def _check_collisions(self, offsets: ndarray, text: ndarray, rows: ndarray) -> None:
        ends, known = self._ends.values, self._bytes.values
        if _count_differences(offsets, text, rows, ends, known) == 0:
            return
        strings = (text[offsets[i] : offsets[i + 1]] for i in range(len(rows)))
        string, row = next((s, r) for s, r in zip(strings, rows, strict=True) if _differs(s, r, ends, known))
        other = known[ends[row - 1] if row else 0 : ends[row]]
        raise DataError(
            f"The ids {bytes(string).decode()!r} and {bytes(other).decode()!r} have the same 64-bit hash, which is "
            "a rare accident. Rename one of them, or use integer ids."
        )


def row_finder(vocabulary: Vocabulary) -> Callable[[Ids], Int64[ndarray, "ids"]]:
    """What gives the row of each id, or -1 where the vocabulary has none; ids must be of its type (see `is_text`)."""
    keys, slots = vocabulary.keys, vocabulary.slots
    if vocabulary.id_offsets is None and len(keys) and is_consecutive(keys):
        return lambda ids: _subtract(_keys(ids)[2], keys[0], len(keys))
    return lambda ids: look_up(keys, slots, _keys(ids)[2])


def is_text(ids: pa.DataType) -> bool:
    """Whether ids of this Arrow type are text; otherwise they are int64."""
    return pa.types.is_string(ids) or pa.types.is_large_string(ids)


def is_consecutive(keys: Int64[ndarray, "nodes"]) -> bool:
    """Whether the ids count up by one: then an id is its row, but for the first."""
    return int(keys[-1]) - int(keys[0]) == len(keys) - 1 and bool(_counts_up(keys))


def collect(arrays: Iterable[Ids], *, limit: int | None = None) -> Vocabulary | None:
    """The sorted vocabulary of all ids given; None when there are more than `limit`, or none at all."""
    builder = None
    for ids in arrays:
        if builder is None:
            builder = VocabularyBuilder(text=is_text(ids.type))
        builder.add(ids)
        if limit is not None and builder.size > limit:
            return None
    return None if builder is None or builder.size == 0 else builder.finish(in_order=True)


def words(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Every id as text, in the order of the rows."""
    return tuple(map(str, vocabulary.ids(range(vocabulary.size))))


class _Growing:
    """An array with room at its end."""

    def __init__(self, dtype: type[np.generic], room: int) -> None:
        self._room = np.empty(max(room, 1), dtype)
        self.size = 0

    @property
    def values(self) -> ndarray:
        return self._room[: self.size]

    def append(self, values: ndarray) -> None:
        end = self.size + len(values)
        if end > len(self._room):
            room = np.empty(max(2 * len(self._room), end), self._room.dtype)
            room[: self.size] = self.values
            self._room = room
        self._room[self.size : end] = values
        self.size = end


def _keys(ids: Ids) -> tuple[ndarray, ndarray, Int64[ndarray, "ids"]]:
    """Offsets, text and 64-bit keys of ids; the first two are empty for integers. Nothing is copied."""
    if not is_text(ids.type):
        return np.empty(0, np.int64), np.empty(0, np.uint8), ids.to_numpy(zero_copy_only=True)
    _, offsets, text = ids.buffers()
    width = np.dtype(np.int64 if pa.types.is_large_string(ids.type) else np.int32)
    if len(ids) == 0:
        return np.zeros(1, width), np.empty(0, np.uint8), np.empty(0, np.int64)
    begins = np.frombuffer(offsets, width, len(ids) + 1, ids.offset * width.itemsize)
    letters = np.empty(0, np.uint8) if text is None else np.frombuffer(text, np.uint8)
    return begins, letters, hash_strings(begins, letters)


def _sort(keys: ndarray, offsets: ndarray | None, text: ndarray | None) -> tuple:
    if offsets is None or text is None:
        return np.sort(keys), None, None
    strings = pa.LargeStringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(text))
    order = pc.call_function("array_sort_indices", [strings]).to_numpy().astype(np.int64)
    lengths, copied = _copy_strings(offsets, text, order)
    return keys[order], np.concatenate([[0], np.cumsum(lengths)]), copied


@kernel
def _copy_strings(offsets, text, positions):
    """The strings at some positions, end to end, and their lengths."""
    lengths = np.empty(len(positions), np.int64)
    for i in range(len(positions)):
        lengths[i] = offsets[positions[i] + 1] - offsets[positions[i]]
    copied = np.empty(lengths.sum(), np.uint8)
    end = 0
    for i in range(len(positions)):
        begin = offsets[positions[i]]
        for letter in range(lengths[i]):
            copied[end + letter] = text[begin + letter]
        end += lengths[i]
    return lengths, copied


@parallel_kernel
def _count_differences(offsets, text, rows, ends, known):
    """How many strings are not that of their row."""
    different = 0
    for i in numba.prange(len(rows)):
        different += _differs(text[offsets[i] : offsets[i + 1]], rows[i], ends, known)
    return different


@kernel
def _differs(string, row, ends, known):
    begin = ends[row - 1] if row > 0 else 0
    if ends[row] - begin != len(string):
        return True
    letter = 0
    while letter < len(string) and known[begin + letter] == string[letter]:
        letter += 1
    return letter < len(string)


@kernel
def _counts_up(keys):
    steps = 0
    for i in range(1, len(keys)):
        steps += keys[i] == keys[i - 1] + 1
    return steps == len(keys) - 1


@parallel_kernel
def _subtract(keys, first, size):
    rows = np.empty_like(keys)
    for i in numba.prange(len(keys)):
        row = keys[i] - first
        rows[i] = row if 0 <= row < size else -1
    return rows
