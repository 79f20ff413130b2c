"""Random draws that hang on their keys alone, never on the order of threads."""

import numpy as np

from amity.kernels import kernel, mix

STRIDE = np.int64(-7046029254386353131)
"""The step of splitmix64, 0x9E3779B97F4A7C15, between the states of two draws under one key."""


@kernel
def keyed(seed, first, second):
    """A key of 64 bits from a seed and two numbers."""
    return mix(mix(mix(seed) ^ np.int64(first)) ^ np.int64(second))


@kernel
def below(bits, bound):
    """Turn 64 random bits into a whole number of 0 to bound - 1; each as likely, to within bound / 2^64.

    The high word of bits x bound (Lemire, 1805.10941, without rejection); bound must be below 2^32.
    """
    word, factor = np.uint64(bits), np.uint64(bound)
    low = ((word & np.uint64(0xFFFFFFFF)) * factor) >> np.uint64(32)
    return np.int64(((word >> np.uint64(32)) * factor + low) >> np.uint64(32))


@kernel
def choose(chosen, size, key):
    """Fill `chosen` with distinct numbers of 0 to size - 1, every set as likely as any other.

    Floyd's algorithm (Bentley and Floyd, 1987, "A sample of brilliance"); `chosen` must be no longer than `size`.
    """
    count = len(chosen)
    for i in range(count):
        chosen[i] = below(mix(key + i * STRIDE), size - count + i + 1)
    seen = np.uint64(0)  # Bit d modulo 64 of every draw d: where it is not set, d is new, and nothing need be searched.
    for i in range(count):
        bit = np.uint64(1) << np.uint64(chosen[i] & 63)
        if seen & bit and (size <= 64 or _stands(chosen, i)):
            chosen[i] = size - count + i
            bit = np.uint64(1) << np.uint64(chosen[i] & 63)
        seen |= bit


@kernel
def _stands(chosen, i):
    """Whether what stands at place i stands before it, too."""
    taken = False
    for j in range(i):
        taken |= chosen[j] == chosen[i]
    return taken
