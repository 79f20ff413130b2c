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
from amity.kernels import kernel, parallel_kernel, summing_kernel

SLOPE = 0.2
"""Slope of the LeakyReLU below zero, as in the paper of graph attention."""


def sum_rows(edges: Edges, weights: Tensor, values: Tensor, *, groups: int) -> Tensor:
    """The sum of weight times value over the sources of each target, head by head."""
    return _sums(edges, weights, values, groups, normalize=False)


def add_transposed(edges: Edges, weights: Tensor, gradient: Tensor, sums: Tensor) -> None:
    """Add to each source in `sums`, in place, the sum of weight times gradient over its targets."""
    _add_transposed(edges.by_source, array(weights), array(gradient), sums.numpy())


def dot_edges(edges: Edges, gradient: Tensor, values: Tensor) -> Tensor:
    """The dot product of each edge's target in `gradient` and source in `values`, head by head."""
    dots = values.new_empty(len(edges.indices), len(gradient))
    _dot_edges(edges.indptr, edges.indices, array(gradient), array(values), dots.numpy())
    return dots


def weigh_rows(edges: Edges, logits: tuple[Tensor, Tensor], values: Tensor, *, groups: int) -> tuple[Tensor, Tensor]:
    """The weight of each edge, a softmax over those of its target head by head, and the sums as of `sum_rows`.

    The logit of an edge is what its source sends and its target receives, through a LeakyReLU.
    """
    sent, received = logits
    weights = sent.new_empty(len(edges.indices), sent.shape[1])
    _logits_below_peak(edges.indptr, edges.indices, array(sent), array(received), weights.numpy())
    weights.exp_()  # Here, since the compiler of kernels has no vector code for it.
    return weights, _sums(edges, weights, values, groups, normalize=True)


def softmax_gradient(
    edges: Edges, logits: tuple[Tensor, Tensor], weights: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of what each edge's logit was before the LeakyReLU, and of what its target received.

    They come from that of its weight; `logits` are as for `weigh_rows`.
    """
    to_logits, to_received = weights.new_empty(weights.shape), weights.new_empty(logits[1].shape)
    arrays = tuple(map(array, (*logits, weights, gradient)))
    _softmax_gradient(edges.indptr, edges.indices, arrays, to_logits.numpy(), to_received.numpy())
    return to_logits, to_received


def _sums(edges: Edges, weights: Tensor, values: Tensor, groups: int, *, normalize: bool) -> Tensor:
    sums = values.new_empty(weights.shape[1], edges.num_targets, values.shape[1] // groups)
    _sum_rows(edges.indptr, edges.indices, array(weights), array(values), sums.numpy(), normalize)
    return sums


def array(tensor: Tensor) -> ndarray:
    """The values of a tensor, in rows without gaps, as kernels read them."""
    return tensor.detach().contiguous().numpy()


# The kernels below index all dimensions at once, and count columns from zero: so their inner loops become vector code.


@parallel_kernel
def _sum_rows(indptr, indices, weights, values, sums, normalize):
    heads, targets, width = sums.shape
    split = values.shape[1] > width
    for row in numba.prange(targets):
        begin, end = indptr[row], indptr[row + 1]
        fours = begin + (end - begin) // 4 * 4
        for head in range(heads):
            if normalize:
                _normalize(weights, begin, end, head)
            first = head * width if split else 0
            sums[head, row, :] = 0
            # Four edges at a time, in their order: the sum is read and written once for them all.
            for edge in range(begin, fours, 4):
                i, j = np.int64(indices[edge]), np.int64(indices[edge + 1])
                m, n = np.int64(indices[edge + 2]), np.int64(indices[edge + 3])
                a, b = weights[edge, head], weights[edge + 1, head]
                c, d = weights[edge + 2, head], weights[edge + 3, head]
                for column in range(width):
                    place = first + column
                    total = sums[head, row, column] + a * values[i, place] + b * values[j, place]
                    sums[head, row, column] = total + c * values[m, place] + d * values[n, place]
            for edge in range(fours, end):
                source, weight = np.int64(indices[edge]), weights[edge, head]
                for column in range(width):
                    sums[head, row, column] += weight * values[source, first + column]


@kernel
def _normalize(weights, begin, end, head):
    total = weights.dtype.type(0)
    for edge in range(begin, end):
        total += weights[edge, head]
    for edge in range(begin, end):
        weights[edge, head] = np.divide(weights[edge, head], total)


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
def _logits_below_peak(indptr, indices, sent, received, logits):
    """The logit of each edge, less the largest one of its target: so no exponential overflows."""
    zero, slope = logits.dtype.type(0), logits.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for head in range(logits.shape[1]):
            peak = -logits.dtype.type(np.inf)
            for edge in range(indptr[row], indptr[row + 1]):
                logit = sent[indices[edge], head] + received[row, head]
                logits[edge, head] = logit if logit > zero else slope * logit
                peak = max(peak, logits[edge, head])
            for edge in range(indptr[row], indptr[row + 1]):
                logits[edge, head] -= peak


@parallel_kernel
def _softmax_gradient(indptr, indices, arrays, to_logits, to_received):
    """α (g - Σ α g), times the slope of the LeakyReLU; and the sum of that over the edges of each target."""
    sent, received, weights, gradient = arrays
    zero, slope = weights.dtype.type(0), weights.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for head in range(weights.shape[1]):
            mean, total = zero, zero
            for edge in range(indptr[row], indptr[row + 1]):
                mean += weights[edge, head] * gradient[edge, head]
            for edge in range(indptr[row], indptr[row + 1]):
                to_logit = weights[edge, head] * (gradient[edge, head] - mean)
                rises = sent[indices[edge], head] + received[row, head] > zero
                to_logits[edge, head] = to_logit if rises else slope * to_logit
                total += to_logits[edge, head]
            to_received[row, head] = total
