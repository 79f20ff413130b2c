"""Ranking: one 64-bit key a candidate, by its true inner product first and a seeded hash second.

The high half of a key is the score, as bits whose unsigned order is that of the numbers; the low half is the
candidate's number, scrambled by a bijection of 32 bits that differs from query to query. So all keys of a query
are distinct, no order of the candidates is favoured among equal scores, and a key alone tells score and number. The
number is the candidate's position, or where the index is of a cluster, that among all candidates: so equal scores of
several clusters fall as they would in one index.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer, UInt64
from numpy import ndarray

from amity.graph import Adjacency
from amity.graph.rows import fetch_row
from amity.index.hits import NOBODY, Hits
from amity.index.precision import stored
from amity.kernels import kernel, mix, shared, summing_kernel, to_single

MAX_CANDIDATES = 2**32
"""How many candidates the low half of a key can tell apart."""

LOW = np.uint64(0xFFFFFFFF)
SIGN = np.uint64(0x80000000)


class Questions(NamedTuple):
    """What a kernel must know of each query; a tuple, so that numba can take it apart."""

    vectors: Float32[ndarray, "queries dim"]
    salts: UInt64[ndarray, "queries"]
    """What scrambles the positions for each query."""
    starts: Int64[ndarray, "queries_and_one"]
    """Row q of the excluded positions begins here."""
    excluded: Integer[ndarray, "excluded"]
    """Excluded positions, sorted within a row."""
    numbers: Int64[ndarray, "numbered"]
    """What the candidate of each position is called in keys and lists; empty where that is its position."""

    def part(self, first: int, last: int) -> "Questions":
        """Queries `first` to `last`."""
        starts = self.starts[first : last + 1]
        return Questions(self.vectors[first:last], self.salts[first:last], starts, self.excluded, self.numbers)

    def rows(self, chosen: Int64[ndarray, "chosen"]) -> "Questions":
        """Only the queries of these numbers."""
        barred = Adjacency(self.starts, self.excluded).rows(chosen)
        return Questions(self.vectors[chosen], self.salts[chosen], barred.indptr, barred.indices, self.numbers)


def rank(
    questions: Questions, items: Float[ndarray, "items dim"], found: Int64[ndarray, "queries found"], *, k: int
) -> UInt64[ndarray, "queries k"]:
    """The keys of the k best of the positions that were found for each query, without those excluded.

    A place of `found` that is -1 is skipped; a place of the result that stays empty has key 0. Where the last place
    is tied with the worst that was found, there may be more who tie and were not found: such a row stays empty.
    """
    best = np.zeros((len(found), k), np.uint64)
    shared(_rank, len(found), questions, stored(items), found, best)
    return best


def to_hits(keys: UInt64[ndarray, "queries kept"], salts: UInt64[ndarray, "queries"], *, k: int) -> Hits:
    """Lists of k places from the keys of each query, in any order; 0 is an empty place."""
    rows = np.full((len(keys), k), NOBODY, np.int64)
    scores = np.full((len(keys), k), -np.inf, np.float32)
    shared(_decode, len(keys), np.sort(keys), salts, rows, scores)
    return Hits(rows, scores)


def least_keys(floors: Float32[ndarray, "queries"]) -> UInt64[ndarray, "queries"]:
    """A key below those of all candidates that score as high as the floor or higher, and above all others."""
    bits = (floors + np.float32(0)).view(np.uint32).astype(np.uint64)
    return (np.where(bits & SIGN, bits ^ LOW, bits | SIGN) << np.uint64(32)) - np.uint64(1)


@kernel
def make_salts(seed, names):
    """A random 32-bit number for each query name; uint64."""
    salts = np.empty(len(names), np.uint64)
    for i in range(len(names)):
        salts[i] = np.uint64(mix(mix(seed) ^ np.int64(names[i]))) & LOW
    return salts


# A summing kernel is eight times as fast. The products are exact in double precision, and what the order of their sum
# changes there is lost in the rounding to single precision.
@summing_kernel
def inner_product(query, item):
    """The inner product, summed in double precision and rounded once: the same wherever and whenever it is computed.

    The item is float32, or the bits of float16 (see `stored`).
    """
    halves = item.itemsize == 2
    total = np.float64(0.0)
    for j in range(len(query)):
        total += np.float64(query[j]) * np.float64(to_single(item[j]) if halves else item[j])
    return np.float32(total + 0.0)


@kernel
def number_of(position, numbers):
    """What the candidate of a position is called."""
    return numbers[position] if len(numbers) else position


@kernel
def to_key(score, number, salt):
    """The key of one candidate; a larger key ranks higher."""
    bits = np.uint64(np.uint32(np.float32(score).view(np.uint32)))
    ordered = bits ^ LOW if bits & SIGN else bits | SIGN
    return (ordered << np.uint64(32)) | _scramble(np.uint64(number) ^ salt)


@kernel
def to_score(key):
    """The score in a key."""
    ordered = key >> np.uint64(32)
    bits = ordered ^ SIGN if ordered & SIGN else ordered ^ LOW
    return np.uint32(bits).view(np.float32)


@kernel
def to_number(key, salt):
    """The number in a key."""
    return np.int64(_unscramble(key & LOW) ^ salt)


@kernel
def contains(ordered, value):
    """Whether a sorted row holds the value."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < len(ordered) and ordered[low] == value


@kernel
def keep_largest(keys, k):
    """Move the k largest of more than k distinct keys to the front, in no order; quickselect (Hoare, 1961)."""
    low, high = 0, len(keys) - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break


@kernel
def _scramble(value):
    """lowbias32 (Wellons, 2018), a bijection of 32 bits."""
    value ^= value >> np.uint64(16)
    value = (value * np.uint64(0x7FEB352D)) & LOW
    value ^= value >> np.uint64(15)
    value = (value * np.uint64(0x846CA68B)) & LOW
    return value ^ (value >> np.uint64(16))


@kernel
def _unscramble(value):
    """The inverse of `_scramble`: the same steps backwards, with the inverse factors modulo 2^32."""
    value ^= value >> np.uint64(16)
    value = (value * np.uint64(0x43021123)) & LOW
    value ^= (value >> np.uint64(15)) ^ (value >> np.uint64(30))
    value = (value * np.uint64(0x1D69E2A5)) & LOW
    return value ^ (value >> np.uint64(16))


@kernel
def _rank(part, questions, items, found, best):
    vectors, salts, starts, excluded, numbers = questions
    k, keys = best.shape[1], np.empty(found.shape[1], np.uint64)
    for q in range(*part):
        barred = excluded[starts[q] : starts[q + 1]]
        size, proposed = 0, found[q]
        for place in range(len(proposed)):
            fetch_row(items, proposed, place, len(proposed))
            position = proposed[place]
            if position >= 0 and not contains(barred, position):
                score = inner_product(vectors[q], items[position])
                keys[size] = to_key(score, number_of(position, numbers), salts[q])
                size += 1
        if size > k:
            worst = to_score(keys[:size].min())
            keep_largest(keys[:size], k)
            size = 0 if to_score(keys[:k].min()) == worst else k
        for place in range(size):
            best[q, place] = keys[place]


@kernel
def _decode(part, ascending, salts, rows, scores):
    kept = ascending.shape[1]
    for q in range(*part):
        for place in range(min(kept, rows.shape[1])):
            key = ascending[q, kept - 1 - place]
            if key == 0:
                break
            rows[q, place] = to_number(key, salts[q])
            scores[q, place] = to_score(key)
