"""The order of an epoch: a seeded bijection computed place by place, so that no permutation is ever stored."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.kernels import kernel
from amity.sampling.draws import keyed

ROUNDS = 8
"""Four make a good permutation of many places (Luby and Rackoff, 1988), but a skewed one of a handful."""


def shuffled(places: Int64[ndarray, "places"], *, size: int, seed: int) -> Int64[ndarray, "places"]:
    """What stands at each place of an endless stream of numbers below `size`, shuffled anew every `size` places.

    A Feistel network over the next even power of two, walked until it lands below `size`
    (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").
    """
    half = max(1, (int(size - 1).bit_length() + 1) // 2)
    return _shuffled(np.asarray(places, np.int64), size, half, seed)


@kernel
def _shuffled(places, size, half, seed):
    values = np.empty(len(places), np.int64)
    for i in range(len(places)):
        epoch = places[i] // size
        value = _feistel(places[i] % size, half, keyed(seed, epoch, 0))
        while value >= size:
            value = _feistel(value, half, keyed(seed, epoch, 0))
        values[i] = value
    return values


@kernel
def _feistel(value, half, key):
    mask = (np.int64(1) << half) - 1
    left, right = value >> half, value & mask
    for turn in range(ROUNDS):
        left, right = right, left ^ (keyed(key, turn, right) & mask)
    return (left << half) | right
