"""Nodes numbered in the order in which they are first seen, by a hash table as large as the batch.

A slot holds 0 (free), or a node beside its position and one, so that one read settles a look-up.
"""

import numpy as np

from amity.kernels import kernel, prefetch

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio: the top bits of a product with it spread runs of nodes evenly (Knuth, 1998, 6.4)."""
AHEAD = 32
"""How many nodes ahead slots are asked for, so that a look-up need not wait for the memory."""
PLACE_BITS = 30
"""Of a slot, for the position: fewer than 2^30 nodes a batch, of at most 2^33 in the graph."""


@kernel
def number(nodes, slots, found):
    """Give every node in `found` a position: the one it has in `nodes`, or the next.

    Returns (nodes and the new ones in order, slots, the position of each node found as int32). `slots` is written
    in place, or replaced where it is too small; start with two empty int64 arrays.
    """
    grown, slots = room_for(nodes, slots, len(found))
    positions = np.empty(len(found), np.int32)
    size = number_into(positions, grown, len(nodes), slots, found)
    return grown[:size], slots, positions


@kernel
def room_for(nodes, slots, extra):
    """The nodes at the beginning of an array that has room for `extra` more, and slots enough for all."""
    grown = np.empty(len(nodes) + extra, np.int64)
    grown[: len(nodes)] = nodes
    return grown, slots if 2 * len(grown) <= len(slots) else _rehash(nodes, len(grown))


@kernel
def number_into(positions, nodes, size, slots, found):
    """Write the position of every node found, and the new ones behind the first `size` nodes; returns their number."""
    shift = _shift(slots)
    for i in range(min(AHEAD, len(found))):
        ask_for(slots, _home(np.int64(found[i]), shift))
    for i in range(len(found)):
        ahead = np.int64(found[min(i + AHEAD, len(found) - 1)])
        ask_for(slots, _home(ahead, shift))
        node = np.int64(found[i])
        slot = _probe(slots, node, shift)
        if slots[slot] == 0:
            slots[slot] = _entry(node, size)
            nodes[size] = node
            size += 1
        positions[i] = _position(slots[slot])
    return size


@kernel
def position_of(slots, node):
    """The position of one node, or -1 where it has none."""
    return _position(slots[_probe(slots, node, _shift(slots))]) if len(slots) else np.int64(-1)


@kernel
def _probe(slots, node, shift):
    """The slot where a node is, or would be."""
    slot = _home(node, shift)
    while slots[slot] != 0 and (slots[slot] >> PLACE_BITS) != node:
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@kernel
def _home(node, shift):
    return np.int64((np.uint64(node) * GOLDEN) >> shift)


@kernel
def _entry(node, position):
    return (node << PLACE_BITS) | (position + 1)


@kernel
def _position(entry):
    return (entry & ((1 << PLACE_BITS) - 1)) - 1


@kernel
def _shift(slots):
    """64 less the logarithm of the number of slots."""
    shift = np.uint64(64)
    capacity = len(slots)
    while capacity > 1:
        capacity >>= 1
        shift -= np.uint64(1)
    return shift


@kernel
def _rehash(nodes, size):
    capacity = 16
    while capacity < 2 * size:
        capacity *= 2
    slots = np.zeros(capacity, np.int64)
    shift = _shift(slots)
    for position in range(len(nodes)):
        slots[_probe(slots, nodes[position], shift)] = _entry(nodes[position], position)
    return slots


@kernel
def ask_for(array, place):
    """Have the memory send one element of an array, which is used soon, and do not wait for it."""
    prefetch(array, place * array.itemsize)  # pyright: ignore[reportCallIssue] (numba hands over the context)
