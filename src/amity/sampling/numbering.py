"""Nodes numbered in the order in which they are first seen, by a hash table as large as the batch.

A slot holds 0 (free), or the low half of a node beside its position and one, so that one read settles most look-ups.
"""

import numpy as np

from amity.kernels import kernel, mix


@kernel
def number(nodes, slots, found):
    """Give every node in `found` a position: the one it has in `nodes`, or the next.

    Returns (nodes and the new ones in order, slots, the position of each node found as int32). `slots` is written
    in place, or replaced where it is too small; start with two empty int64 arrays.
    """
    grown = np.empty(len(nodes) + len(found), np.int64)
    grown[: len(nodes)] = nodes
    if 2 * len(grown) > len(slots):
        slots = _rehash(nodes, len(grown))
    positions = np.empty(len(found), np.int32)
    size = len(nodes)
    for i in range(len(found)):
        node = np.int64(found[i])
        slot, position = _probe(grown, slots, node)
        if position < 0:
            grown[size] = node
            slots[slot] = _entry(node, size)
            position = size
            size += 1
        positions[i] = position
    return grown[:size], slots, positions


@kernel
def position_of(nodes, slots, node):
    """The position of one node, or -1 where it has none."""
    return _probe(nodes, slots, node)[1] if len(slots) else np.int64(-1)


@kernel
def _probe(nodes, slots, node):
    """The slot where a node is or would be, and its position or -1."""
    mask = np.uint64(len(slots) - 1)
    slot = np.uint64(mix(node)) & mask
    while slots[slot] != 0:
        entry = slots[slot]
        position = (entry & 0xFFFFFFFF) - 1
        # The halves agree for one node in 2^32 at most: only graphs past 2^31 nodes ever compare in vain.
        if (entry >> 32) == ((node << 32) >> 32) and nodes[position] == node:
            return slot, position
        slot = (slot + np.uint64(1)) & mask
    return slot, np.int64(-1)


@kernel
def _entry(node, position):
    return (node << 32) | (position + 1)


@kernel
def _rehash(nodes, size):
    capacity = 16
    while capacity < 2 * size:
        capacity *= 2
    slots = np.zeros(capacity, np.int64)
    for position in range(len(nodes)):
        slot, _ = _probe(nodes, slots, nodes[position])
        slots[slot] = _entry(nodes[position], position)
    return slots
