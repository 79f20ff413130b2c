"""Raw ids and rows: a hash table on memory-mapped arrays, the same for integers and strings."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt8
from numpy import ndarray

from amity.kernels import kernel, mix, shared

MISSING = -1
"""What a look-up gives for an id that is not there."""

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The distinct raw ids of one kind of node; the position of an id is its row.

    A string stands in the table by a 64-bit hash of its UTF-8 bytes; an integer stands for itself.
    """

    keys: Int64[ndarray, "nodes"]
    """Integer ids, or hashes of string ids."""
    slots: Integer[ndarray, "slots"]
    """Open addressing, linear probing: the row of a key that hashes here or before, or -1; a power of two long."""
    id_offsets: Int64[ndarray, "nodes_and_one"] | None = None
    """Where each string id begins in `id_bytes`; absent for integer ids."""
    id_bytes: UInt8[ndarray, "bytes"] | None = None
    """The string ids in UTF-8, end to end; absent for integer ids."""

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self.keys)

    def find(self, raw_id: int | str) -> int:
        """The row of one raw id, or -1; text that reads as an integer finds an integer id."""
        key = self._key(raw_id)
        return MISSING if key is None else int(look_up(self.keys, self.slots, np.array([key], np.int64))[0])

    def ids(self, rows: Iterable[int]) -> list[int] | list[str]:
        """The raw ids of rows."""
        if self.id_offsets is None or self.id_bytes is None:
            return [int(self.keys[row]) for row in rows]
        offsets, text = self.id_offsets, self.id_bytes
        return [bytes(text[offsets[row] : offsets[row + 1]]).decode() for row in rows]

    def _key(self, raw_id: int | str) -> int | None:
        if self.id_offsets is not None:
            text = np.frombuffer(str(raw_id).encode(errors="surrogatepass"), np.uint8)
            return int(hash_strings(np.array([0, len(text)], np.int64), text)[0])
        if not re.fullmatch(r"[+-]?0*[0-9]{1,19}", str(raw_id)):
            return None
        key = int(raw_id)
        return key if -(2**63) <= key < 2**63 else None


def integer_vocabulary(ids: Int64[ndarray, "nodes"]) -> Vocabulary:
    """A vocabulary of distinct integers, in their order; ValueError where one is repeated."""
    slots = new_slots(len(ids))
    if len(insert(np.empty(0, np.int64), slots, ids)[0]) != len(ids):
        raise ValueError("ids are not distinct")
    return Vocabulary(ids, slots)


def new_slots(size: int) -> Int32[ndarray, "slots"] | Int64[ndarray, "slots"]:
    """An empty table for that many ids, at most half full."""
    capacity = 1 << max(3, int(2 * size - 1).bit_length())
    return np.full(capacity, MISSING, np.int32 if size < 2**31 else np.int64)


@kernel
def insert(known, slots, keys):
    """Give each key that is not in the table the next row, after those in `known`.

    `slots` is written in place. Returns (positions in `keys` of the new ones, the row of every key given).
    """
    mask = np.uint64(len(slots) - 1)
    fresh = np.empty(len(keys), np.int64)
    rows = np.empty(len(keys), np.int64)
    size = 0
    for i in range(len(keys)):
        slot = np.uint64(mix(keys[i])) & mask
        while True:
            row = np.int64(slots[slot])
            if row == -1:
                slots[slot] = len(known) + size
                rows[i] = len(known) + size
                fresh[size] = i
                size += 1
                break
            key = known[row] if row < len(known) else keys[fresh[row - len(known)]]
            if key == keys[i]:
                rows[i] = row
                break
            slot = (slot + np.uint64(1)) & mask
    return fresh[:size], rows


def look_up(
    keys: Int64[ndarray, "nodes"], slots: Integer[ndarray, "slots"], wanted: Int64[ndarray, "wanted"]
) -> Int64[ndarray, "wanted"]:
    """The row of each wanted key, or -1 where it is absent."""
    rows = np.empty(len(wanted), np.int64)
    shared(_look_up, len(wanted), keys, slots, wanted, rows)
    return rows


@kernel
def _look_up(part, keys, slots, wanted, rows):
    for begin in range(part[0], part[1], _BLOCK):
        end = min(begin + _BLOCK, part[1])
        _look_up_block(keys, slots, wanted[begin:end], rows[begin:end])


@kernel
def _look_up_block(keys, slots, wanted, rows):
    """Fetch first and compare then, so that many cache misses are under way at a time."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(wanted)):
        rows[i] = slots[np.uint64(mix(wanted[i])) & mask]
    for i in range(len(wanted)):
        row = rows[i]
        if row != MISSING and keys[row] != wanted[i]:
            slot = np.uint64(mix(wanted[i])) & mask
            while row != MISSING and keys[row] != wanted[i]:
                slot = (slot + np.uint64(1)) & mask
                row = np.int64(slots[slot])
            rows[i] = row


def hash_strings(
    offsets: Integer[ndarray, "strings_and_one"], text: UInt8[ndarray, "bytes"]
) -> Int64[ndarray, "strings"]:
    """A 64-bit hash of each string: FNV-1a over its bytes (Fowler, Noll and Vo), then mixed."""
    hashes = np.empty(len(offsets) - 1, np.int64)
    shared(_hash_strings, len(hashes), offsets, text, hashes)
    return hashes


@kernel
def _hash_strings(part, offsets, text, hashes):
    for i in range(*part):
        value = np.uint64(0xCBF29CE484222325)
        for position in range(offsets[i], offsets[i + 1]):
            value = (value ^ np.uint64(text[position])) * np.uint64(0x100000001B3)
        hashes[i] = mix(value)
