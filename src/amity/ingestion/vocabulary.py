"""Raw ids to rows while tables are read: a vocabulary that grows."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, Integer
from numpy import ndarray

from amity.errors import DataError
from amity.graph.adjacency import index_dtype
from amity.graph.vocabulary import Vocabulary, hash_strings, insert, look_up, new_slots
from amity.kernels import kernel, shared

Ids: TypeAlias = "pa.Array"
"""Ids without nulls: int64, string or large_string."""

Finder: TypeAlias = "Callable[[Ids], Int64[ndarray, 'ids']]"
"""Gives the row or the number of each id, or -1."""


class VocabularyBuilder:
    """The distinct ids seen so far, in order of first sight; its arrays double as they fill."""

    def __init__(self, *, text: bool, expected: int = 1 << 10) -> None:
        self.text = text
        self._keys = _Growing(np.int64, expected)
        self._slots = new_slots(expected)
        self._ends = _Growing(np.int64, expected if text else 0)
        self._bytes = _Growing(np.uint8, 16 * expected if text else 0)
        self._checks = _Growing(np.uint32, expected if text else 0)

    @property
    def size(self) -> int:
        """How many distinct ids there are."""
        return self._keys.size

    def add(self, ids: Ids) -> tuple[Int64[ndarray, "ids"], Int64[ndarray, "strangers"]]:
        """Take in ids: the number of each, and the positions of those that are seen for the first time.

        Raises `DataError` where two different strings have one hash: a second one, of 32 bits, tells them apart. For
        ten million ids, some two have both alike in one case of 10^15.
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
            checks = np.empty(len(ids), np.uint32)
            shared(_second_hashes, len(ids), offsets, text, checks)
            self._checks.append(checks[positions])
            different = self._checks.values[rows] != checks
            if different.any():
                raise self._collision(ids, rows, int(different.argmax()))
        return rows, positions

    def finish(self) -> Vocabulary:
        """The vocabulary in order of first sight."""
        return _vocabulary(*self._take())

    def finish_in_order(self) -> tuple[Vocabulary, Integer[ndarray, "ids"]]:
        """The vocabulary in the order of its ids (text by its bytes), and the row of each number given by `add`."""
        keys, offsets, text = self._take()
        order = _order(keys) if offsets is None or text is None else _text_order(offsets, text)
        ranks = np.empty(len(order), index_dtype(len(order)))
        ranks[order] = np.arange(len(order), dtype=ranks.dtype)
        keys = keys[order]
        if offsets is not None and text is not None:
            lengths, text = _copy_strings(offsets, text, order)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
        del order
        return _vocabulary(keys, offsets, text), ranks

    def _take(self) -> tuple[ndarray, ndarray | None, ndarray | None]:
        """Keys, offsets and text; nothing is left here, as there is no room for two tables."""
        keys, ends, text = self._keys.values, self._ends.values, self._bytes.values
        self.__init__(text=self.text)
        return (keys, np.concatenate([[0], ends]), text) if self.text else (keys, None, None)

    def _reserve(self, more: int) -> None:
        needed = self.size + more
        if 2 * needed > len(self._slots):
            known = self._keys.values
            self._slots = new_slots(2 * self.size + more)
            insert(known[:0], self._slots, known)

    def _collision(self, ids: Ids, rows: ndarray, position: int) -> DataError:
        begin, end = (self._ends.values[row] if row >= 0 else 0 for row in (rows[position] - 1, rows[position]))
        known = bytes(self._bytes.values[begin:end]).decode()
        return DataError(
            f"The ids {ids[position].as_py()!r} and {known!r} have the same 64-bit hash, which is a rare accident. "
            "Rename one of them, or use integer ids."
        )


def row_finder(vocabulary: Vocabulary) -> Finder:
    """What gives the row of each id, or -1 where the vocabulary has none; ids must be of its type (see `is_text`)."""
    keys, slots = vocabulary.keys, vocabulary.slots
    if vocabulary.id_offsets is None and len(keys) and is_consecutive(keys):
        return lambda ids: _subtract(_keys(ids)[2], keys)
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
    return None if builder is None or builder.size == 0 else builder.finish_in_order()[0]


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


def _vocabulary(keys: ndarray, offsets: ndarray | None, text: ndarray | None) -> Vocabulary:
    slots = new_slots(len(keys))
    insert(keys[:0], slots, keys)
    return Vocabulary(keys, slots, offsets, text)


def _text_order(offsets: ndarray, text: ndarray) -> Int64[ndarray, "ids"]:
    """The order of distinct strings by their bytes: by the eight after what all begin with, and then by the rest."""
    words = np.empty(len(offsets) - 1, np.uint64)
    shared(_leading_words, len(words), offsets, text, _common_length(offsets, text), words)
    order = _order(words)
    arranged = words[order]
    alike = arranged[1:] == arranged[:-1]
    tied = np.flatnonzero(np.append(alike, False) | np.append(False, alike))
    if len(tied):
        lengths, copied = _copy_strings(offsets, text, order[tied])
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        strings = pa.LargeStringArray.from_buffers(len(tied), pa.py_buffer(bounds), pa.py_buffer(copied))
        order[tied] = order[tied][pc.call_function("array_sort_indices", [strings]).to_numpy()]
    return order


def _order(values: ndarray) -> Int64[ndarray, "ids"]:
    """Where sorted values stand: the lower half on one thread, the upper on another."""
    few = np.sort(values[:: len(values) // 1000 + 1])
    middle = few[len(few) // 2]
    halves = [np.flatnonzero(values < middle), np.flatnonzero(values >= middle)]
    with ThreadPoolExecutor(2) as sorters:
        return np.concatenate(list(sorters.map(lambda half: half[np.argsort(values[half])], halves)))


def _copy_strings(offsets: ndarray, text: ndarray, positions: ndarray) -> tuple[ndarray, ndarray]:
    """The lengths of the strings at some positions, and the strings end to end."""
    begins = offsets[positions].astype(np.int64)
    lengths = offsets[positions + 1] - begins
    copied = np.empty(lengths.sum(), np.uint8)
    shared(_gather, len(begins), text, begins, np.cumsum(lengths), copied)
    return lengths, copied


@kernel
def _gather(part, text, begins, ends, copied):
    for i in range(*part):
        first = ends[i - 1] if i > 0 else 0
        for letter in range(ends[i] - first):
            copied[first + letter] = text[begins[i] + letter]


@kernel
def _common_length(offsets, text):
    """How many bytes all strings begin with alike."""
    common = offsets[1] - offsets[0]
    for i in range(1, len(offsets) - 1):
        common = min(common, offsets[i + 1] - offsets[i])
        letter = 0
        while letter < common and text[offsets[i] + letter] == text[offsets[0] + letter]:
            letter += 1
        common = letter
    return common


@kernel
def _leading_words(part, offsets, text, skipped, words):
    """The next eight bytes of each string as a number that sorts like them; missing ones are 0."""
    for i in range(*part):
        word = np.uint64(0)
        for letter in range(offsets[i] + skipped, offsets[i] + skipped + 8):
            word = (word << np.uint64(8)) | np.uint64(text[letter] if letter < offsets[i + 1] else 0)
        words[i] = word


@kernel
def _second_hashes(part, offsets, text, hashes):
    """A hash of 32 bits of each string, made in another way than `hash_strings`: add a byte, multiply, fold."""
    for i in range(*part):
        value = np.uint64(offsets[i + 1] - offsets[i])
        for position in range(offsets[i], offsets[i + 1]):
            value = (value + np.uint64(text[position])) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(32)
        hashes[i] = value


@kernel
def _counts_up(keys):
    steps = 0
    for i in range(1, len(keys)):
        steps += keys[i] == keys[i - 1] + 1
    return steps == len(keys) - 1


def _subtract(wanted: ndarray, keys: ndarray) -> Int64[ndarray, "ids"]:
    """The row of each wanted id among consecutive ones, or -1."""
    rows = np.empty_like(wanted)
    shared(_subtract_first, len(wanted), wanted, keys[0], len(keys), rows)
    return rows


@kernel
def _subtract_first(part, wanted, first, size, rows):
    for i in range(*part):
        row = wanted[i] - first
        rows[i] = row if 0 <= row < size else -1
