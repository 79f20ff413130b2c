"""Weighted sums over the neighbours of a node, with gradients: what every layer and every bag of tokens is made of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Integer
from numpy import ndarray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from amity.kernels import kernel, parallel_kernel


@dataclass(frozen=True)
class Edges:
    """Edges from sources to targets, in compressed sparse rows: what one layer hears."""

    indptr: Int64[ndarray, "targets_and_one"]
    """Row i is `indices[indptr[i]:indptr[i + 1]]`."""
    indices: Integer[ndarray, "edges"]
    """Positions among the sources."""
    target_degrees: Float32[ndarray, "targets"]
    """How many neighbours each target has in the whole graph, drawn or not."""
    source_degrees: Float32[ndarray, "sources"]
    """How many neighbours each source has in the whole graph, drawn or not."""

    @property
    def num_sources(self) -> int:
        """How many sources there are, heard or not."""
        return len(self.source_degrees)

    @property
    def counts(self) -> Int64[ndarray, "targets"]:
        """How many sources each target hears here."""
        return np.diff(self.indptr)

    @cached_property
    def transposed(self) -> tuple[ndarray, ndarray, ndarray]:
        """The same edges in rows by source: (indptr, target of each, position of each in `indices`)."""
        return _transpose(self.indptr, self.indices, self.num_sources)

    def mean_weights(self) -> Float32[Tensor, "edges 1"]:
        """The weight of each edge that makes a sum a mean."""
        counts = self.counts
        return torch.from_numpy(np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32)[:, None])


def weighted_sums(
    values: Float[Tensor, "sources dim"], weights: Float[Tensor, "edges heads"], edges: Edges
) -> Float[Tensor, "targets dim"]:
    """The sum of weight times value over the sources of each target; each head weighs its own slice of the values.

    Gradients reach the values; the weights are constants. No tensor of edges by dim is ever made, and every sum is
    taken in the order of the edges, so that result and gradients are bitwise the same for any number of threads.
    """
    return _WeightedSums.apply(values, weights, edges)  # pyright: ignore[reportReturnType]


class _WeightedSums(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(weights)
        ctx.edges = edges
        sums = values.new_zeros(len(edges.indptr) - 1, values.shape[1])
        sum_rows((edges.indptr, edges.indices), array(weights), array(values), sums.numpy())
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (weights,), edges, gradient = ctx.saved_tensors, ctx.edges, gradients[0]
        to_values = gradient.new_zeros(edges.num_sources, gradient.shape[1])
        sum_transposed(edges.transposed, array(weights), array(gradient), to_values.numpy())
        return to_values, None, None


def prefixes(states: Float[Tensor, "nodes dim"], *lengths: int) -> tuple[Tensor, ...]:
    """The states, and their first rows, so many each; their gradients are added up in place, without padding."""
    return _Prefixes.apply(states, lengths)  # pyright: ignore[reportReturnType]


class _Prefixes(Function):
    @staticmethod
    def forward(_: Any, states: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, ...]:
        return states.view_as(states), *(states[:length] for length in lengths)

    @staticmethod
    @once_differentiable
    def backward(_: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        for gradient in gradients[1:]:
            total[: len(gradient)] += gradient
        return total, None


def array(tensor: Tensor) -> ndarray:
    """The values of a tensor, in rows without gaps, as kernels read them."""
    return tensor.detach().contiguous().numpy()


@kernel
def _transpose(indptr, indices, num_sources):
    starts = np.zeros(num_sources + 1, np.int64)
    for source in indices:
        starts[source + 1] += 1
    starts = np.cumsum(starts)
    cursor = starts[:-1].copy()
    targets = np.empty(len(indices), np.int32)
    positions = np.empty(len(indices), np.int64)
    for target in range(len(indptr) - 1):
        for edge in range(indptr[target], indptr[target + 1]):
            place = cursor[indices[edge]]
            targets[place] = target
            positions[place] = edge
            cursor[indices[edge]] = place + 1
    return starts, targets, positions


# The kernels below index two dimensions at once, and count columns from zero: so their inner loops become vector code.


@parallel_kernel
def sum_rows(rows, weights, values, sums):
    """Add to each row of `sums` the weighted values of its sources."""
    indptr, indices = rows
    heads = weights.shape[1]
    width = values.shape[1] // heads
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            source = np.int64(indices[edge])
            for head in range(heads):
                weight = weights[edge, head]
                for column in range(width):
                    sums[row, head * width + column] += weight * values[source, head * width + column]


@parallel_kernel
def sum_transposed(transposed, weights, gradient, sums):
    """Add to the row of each source in `sums` the weighted gradients of its targets."""
    indptr, targets, positions = transposed
    heads = weights.shape[1]
    width = gradient.shape[1] // heads
    for row in numba.prange(len(indptr) - 1):
        for place in range(indptr[row], indptr[row + 1]):
            target, edge = np.int64(targets[place]), positions[place]
            for head in range(heads):
                weight = weights[edge, head]
                for column in range(width):
                    sums[row, head * width + column] += weight * gradient[target, head * width + column]


@parallel_kernel
def dot_edges(rows, gradient, values, dots):
    """The dot product of each edge's target in `gradient` and source in `values`, head by head."""
    indptr, indices = rows
    heads = dots.shape[1]
    width = values.shape[1] // heads
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            source = np.int64(indices[edge])
            for head in range(heads):
                dot = dots.dtype.type(0)
                for column in range(width):
                    dot += gradient[row, head * width + column] * values[source, head * width + column]
                dots[edge, head] = dot
