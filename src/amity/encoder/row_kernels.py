"""What sums and attention are made of, as kernels for tensors in main memory; `row_operations` is its twin.

`values` are (sources, groups · width): each head reads a slice of its own where there are as many groups as heads,
and all of it where there is one. What targets have or get is (heads, targets, width). Every sum is taken in the order
of the edges, so that results are bitwise the same for any number of threads.
"""

import numba
import numpy as np
from numpy import ndarray
from torch import Tensor

from amity.encoder.edges import Edges
from amity.kernels import parallel_kernel, summing_kernel

SLOPE = 0.2
"""Slope of the LeakyReLU below zero, as in the paper of graph attention."""


def sum_rows(edges: Edges, weights: Tensor, values: Tensor, *, groups: int) -> Tensor:
    """The sum of weight times value over the sources of each target, head by head."""
    sums = values.new_empty(weights.shape[1], edges.num_targets, values.shape[1] // groups)
    _sum_rows(edges.indptr, edges.indices, array(weights), array(values), sums.numpy())
    return sums


def add_transposed(edges: Edges, weights: Tensor, gradient: Tensor, sums: Tensor) -> None:
    """Add to each source in `sums`, in place, the sum of weight times gradient over its targets."""
    _add_transposed(edges.by_source, array(weights), array(gradient), sums.numpy())


def dot_edges(edges: Edges, gradient: Tensor, values: Tensor) -> Tensor:
    """The dot product of each edge's target in `gradient` and source in `values`, head by head."""
    dots = values.new_empty(len(edges.indices), len(gradient))
    _dot_edges(edges.indptr, edges.indices, array(gradient), array(values), dots.numpy())
    return dots


def softmax(edges: Edges, sent: Tensor, received: Tensor) -> Tensor:
    """The weight of each edge, head by head: they are positive, and sum to one for each target."""
    weights = sent.new_empty(len(edges.indices), sent.shape[1])
    _softmax(edges.indptr, edges.indices, array(sent), array(received), weights.numpy())
    return weights


def softmax_gradient(edges: Edges, logits: tuple[Tensor, Tensor], weights: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of each edge's logit before the LeakyReLU, from that of its weight; `logits` as for `softmax`."""
    to_logits = weights.new_empty(weights.shape)
    arrays = tuple(map(array, (*logits, weights, gradient)))
    _softmax_gradient(edges.indptr, edges.indices, arrays, to_logits.numpy())
    return to_logits


def array(tensor: Tensor) -> ndarray:
    """The values of a tensor, in rows without gaps, as kernels read them."""
    return tensor.detach().contiguous().numpy()


# The kernels below index all dimensions at once, and count columns from zero: so their inner loops become vector code.


@parallel_kernel
def _sum_rows(indptr, indices, weights, values, sums):
    heads, targets, width = sums.shape
    split = values.shape[1] > width
    for row in numba.prange(targets):
        for head in range(heads):
            first = head * width if split else 0
            sums[head, row, :] = 0
            for edge in range(indptr[row], indptr[row + 1]):
                source, weight = np.int64(indices[edge]), weights[edge, head]
                for column in range(width):
                    sums[head, row, column] += weight * values[source, first + column]


@parallel_kernel
def _add_transposed(by_source, weights, gradient, sums):
    starts, order, targets = by_source
    heads, _, width = gradient.shape
    split = sums.shape[1] > width
    for source in numba.prange(len(sums)):
        for place in range(starts[source], starts[source + 1]):
            edge, row = order[place], np.int64(targets[place])
            for head in range(heads):
                first, weight = head * width if split else 0, weights[edge, head]
                for column in range(width):
                    sums[source, first + column] += weight * gradient[head, row, column]


@parallel_kernel
def _dot_edges(indptr, indices, gradient, values, dots):
    heads, targets, width = gradient.shape
    split = values.shape[1] > width
    for row in numba.prange(targets):
        for edge in range(indptr[row], indptr[row + 1]):
            source = np.int64(indices[edge])
            for head in range(heads):
                first = head * width if split else 0
                dots[edge, head] = _dot(gradient[head, row], values[source, first : first + width])


@summing_kernel
def _dot(first, second):
    total = first.dtype.type(0)
    for column in range(len(first)):
        total += first[column] * second[column]
    return total


@parallel_kernel
def _softmax(indptr, indices, sent, received, weights):
    zero, slope = weights.dtype.type(0), weights.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for head in range(weights.shape[1]):
            peak, total = -weights.dtype.type(np.inf), zero
            for edge in range(indptr[row], indptr[row + 1]):
                logit = sent[indices[edge], head] + received[row, head]
                weights[edge, head] = max(logit, slope * logit)
                peak = max(peak, weights[edge, head])
            for edge in range(indptr[row], indptr[row + 1]):
                weights[edge, head] = np.exp(weights[edge, head] - peak)
                total += weights[edge, head]
            for edge in range(indptr[row], indptr[row + 1]):
                weights[edge, head] /= total


@parallel_kernel
def _softmax_gradient(indptr, indices, arrays, to_logits):
    """α (g - Σ α g), times the slope of the LeakyReLU."""
    sent, received, weights, gradient = arrays
    zero, slope = weights.dtype.type(0), weights.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for head in range(weights.shape[1]):
            mean = zero
            for edge in range(indptr[row], indptr[row + 1]):
                mean += weights[edge, head] * gradient[edge, head]
            for edge in range(indptr[row], indptr[row + 1]):
                to_logit = weights[edge, head] * (gradient[edge, head] - mean)
                rises = sent[indices[edge], head] + received[row, head] > zero
                to_logits[edge, head] = to_logit if rises else slope * to_logit
