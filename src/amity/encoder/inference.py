"""Attention over all neighbours of a node, without gradients: one random read an edge, and no block.

The mathematics is that of `amity.encoder.attention`; tests hold the two against each other.
"""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.encoder.row_kernels import SLOPE
from amity.graph import Adjacency
from amity.graph.rows import bits, fetch_row, single
from amity.kernels import kernel, shared, summing_kernel

TILE = 32
"""Neighbours whose weights are made together: so many rows stay in the first cache."""


def attend_everywhere(
    adjacency: Adjacency,
    transformed: Float[ndarray, "nodes dim"],
    attention: Float32[ndarray, "two heads width"],
    *,
    first: int,
    last: int,
) -> Float32[ndarray, "rows dim"]:
    """The attention of each node from `first` up to `last` over all its neighbours and itself.

    `transformed` holds W h of every node, in single or half precision; eq. 3-5 of arXiv 1710.10903. The softmax is
    taken as the rows come in (Milakov and Gimelshein, 2018, arXiv 1805.02867), so each is read once, and the logits
    are made of the row itself. Each node is computed alone: neither threads nor the range matter.
    """
    indptr = adjacency.indptr[first : last + 1]
    heard = np.empty((last - first, transformed.shape[1]), np.float32)
    rows = indptr, adjacency.indices, first
    shared(_attend, last - first, rows, bits(transformed), np.ascontiguousarray(attention), heard)
    return heard


@kernel
def _attend(part, rows, values, attention, heard):
    indptr, indices, offset = rows
    heads = attention.shape[1]
    tile = np.empty((TILE, values.shape[1]), np.float32)
    weights = np.empty((heads, TILE), np.float32)
    state = np.empty((3, heads), np.float32)  # Of each head: what the target adds to a logit, the peak, the total.
    for row in range(*part):
        _begin(values, offset + row, attention, state, heard[row])
        for start in range(indptr[row], indptr[row + 1], TILE):
            size = min(TILE, indptr[row + 1] - start)
            for place in range(size):
                fetch_row(values, indices, start + place, indptr[part[1]])
                _read(values, np.int64(indices[start + place]), tile[place])
                _score(tile[place], attention[0], state[0], weights[:, place])
            _weigh(weights, size, state, heard[row])
            _add(tile, weights, size, heard[row])
        _scale(heard[row], state[2])


@kernel
def _read(values, row, output):
    for column in range(len(output)):
        output[column] = single(values[row, column])


@summing_kernel
def _begin(values, row, attention, state, heard):
    """Begin the softmax of a node with itself."""
    heads, width = attention.shape[1], attention.shape[2]
    _read(values, row, heard)
    for head in range(heads):
        received = sent = np.float32(0)
        for column in range(width):
            sent += attention[0, head, column] * heard[head * width + column]
            received += attention[1, head, column] * heard[head * width + column]
        state[0, head], state[1, head], state[2, head] = received, _leak(sent + received), 1


@summing_kernel
def _score(source, attention, received, logits):
    heads, width = attention.shape
    for head in range(heads):
        sent = np.float32(0)
        for column in range(width):
            sent += attention[head, column] * source[head * width + column]
        logits[head] = _leak(sent + received[head])


@summing_kernel
def _weigh(weights, size, state, heard):
    """Turn logits into weights relative to the highest logit so far; what was summed before is scaled to it."""
    width = len(heard) // len(weights)
    for head in range(len(weights)):
        peak = state[1, head]
        for place in range(size):
            peak = max(peak, weights[head, place])
        if peak > state[1, head]:
            factor = _exponential(state[1, head] - peak)
            state[1, head] = peak
            state[2, head] *= factor
            for column in range(head * width, (head + 1) * width):
                heard[column] *= factor
        total = np.float32(0)
        for place in range(size):
            weights[head, place] = _exponential(weights[head, place] - peak)
            total += weights[head, place]
        state[2, head] += total


@kernel
def _add(tile, weights, size, heard):
    width = len(heard) // len(weights)
    for place in range(size):
        for head in range(len(weights)):
            weight = weights[head, place]
            for column in range(width):
                heard[head * width + column] += weight * tile[place, head * width + column]


@kernel
def _scale(heard, totals):
    width = len(heard) // len(totals)
    for head in range(len(totals)):
        for column in range(head * width, (head + 1) * width):
            heard[column] /= totals[head]


@kernel
def _leak(logit):
    return logit if logit > 0 else np.float32(SLOPE) * logit


@kernel
def _exponential(power):
    """The exponential of a number of at most 0: 2ⁿ eʳ with |r| ≤ ln 2 / 2, and the polynomial of Cephes' expf."""
    power = max(power, np.float32(-87))
    n = np.floor(power * np.float32(1.44269504) + np.float32(0.5))
    r = power - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    series = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    series = series * r + np.float32(8.3334519073e-3)
    series = series * r + np.float32(4.1665795894e-2)
    series = series * r + np.float32(1.6666665459e-1)
    series = series * r + np.float32(5.0000001201e-1)
    series = series * r * r + r + np.float32(1)
    return series * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
