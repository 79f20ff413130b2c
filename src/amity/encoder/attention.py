"""Graph attention on compressed sparse rows, with gradients (Veličković et al., 2018, arXiv 1710.10903, eq. 1-5)."""

from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from amity.encoder.aggregation import Edges, array, weighted_sums
from amity.kernels import parallel_kernel

SLOPE = 0.2
"""Slope of the LeakyReLU below zero, as in the paper."""


def attend(
    targets: Float[Tensor, "targets dim"],
    sources: Float[Tensor, "sources dim"],
    attention: Float[Tensor, "two heads width"],
    edges: Edges,
) -> Float[Tensor, "targets dim"]:
    """The attention of each target over its sources and itself, head by head, side by side.

    `targets` and `sources` are the transformed states W h; `attention` holds a_src and a_dst of each head:

        e_ij = LeakyReLU(a_src · W h_j + a_dst · W h_i),  α = softmax over j in N(i) ∪ {i},  Σ_j α_ij W h_j

    Eq. 3-5 of arXiv 1710.10903. A target without sources hears itself alone.
    """
    heads = attention.shape[1]
    toward_targets = _logits(targets, attention[1])
    own_logits = leaky_relu(_logits(targets, attention[0]) + toward_targets, SLOPE)
    own, weights = softmax_over_neighbors(own_logits, _logits(sources, attention[0]), toward_targets, edges)
    from_itself = (targets.unflatten(1, (heads, -1)) * own.unsqueeze(2)).flatten(1)
    return from_itself + weighted_sums(sources, weights, edges)


def softmax_over_neighbors(
    own: Float[Tensor, "targets heads"],
    sources: Float[Tensor, "sources heads"],
    targets: Float[Tensor, "targets heads"],
    edges: Edges,
) -> tuple[Float[Tensor, "targets heads"], Float[Tensor, "edges heads"]]:
    """The softmax of `own` and of LeakyReLU(sources_j + targets_i) over the sources j of each target i."""
    return _NeighborSoftmax.apply(own, sources, targets, edges)  # pyright: ignore[reportReturnType]


class _NeighborSoftmax(Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, sources: Tensor, targets: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        own_weights = own.detach().clone(memory_format=torch.contiguous_format)
        weights = own.new_empty(len(edges.indices), own.shape[1])
        _softmax((edges.indptr, edges.indices), array(sources), array(targets), own_weights.numpy(), weights.numpy())
        ctx.save_for_backward(sources, targets, own_weights, weights)
        ctx.edges = edges
        return own_weights, weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        sources, targets, own_weights, weights = ctx.saved_tensors
        edges, (to_own_weights, to_weights) = ctx.edges, gradients
        to_own = to_own_weights.clone(memory_format=torch.contiguous_format)
        to_logits = to_weights.clone(memory_format=torch.contiguous_format)
        to_targets, to_sources = torch.zeros_like(own_weights), torch.zeros_like(sources)
        rows = edges.indptr, edges.indices
        _softmax_gradient(rows, (array(own_weights), array(weights)), to_own.numpy(), to_logits.numpy())
        _slope_gradient(rows, (array(sources), array(targets)), to_logits.numpy(), to_targets.numpy())
        _sum_at_sources(edges.transposed, to_logits.numpy(), to_sources.numpy())
        return to_own, to_sources, to_targets, None


def _logits(states: Tensor, attention: Tensor) -> Tensor:
    return (states.unflatten(1, attention.shape) * attention).sum(2)


@parallel_kernel
def _softmax(rows, sources, targets, own, weights):
    """Turn the own logits in place, and those of the edges, into weights that sum to one for each target."""
    indptr, indices = rows
    zero, slope = own.dtype.type(0), own.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for head in range(own.shape[1]):
            peak = own[row, head]
            for edge in range(indptr[row], indptr[row + 1]):
                logit = sources[indices[edge], head] + targets[row, head]
                logit = logit if logit > zero else slope * logit
                weights[edge, head] = logit
                peak = max(peak, logit)
            total = np.exp(own[row, head] - peak)
            own[row, head] = total
            for edge in range(indptr[row], indptr[row + 1]):
                weight = np.exp(weights[edge, head] - peak)
                weights[edge, head] = weight
                total += weight
            own[row, head] /= total
            for edge in range(indptr[row], indptr[row + 1]):
                weights[edge, head] /= total


@parallel_kernel
def _softmax_gradient(rows, alphas, own, edges):
    """Turn gradients of the weights in place into gradients of the logits: α (g - Σ α g)."""
    indptr = rows[0]
    own_weights, weights = alphas
    for row in numba.prange(len(indptr) - 1):
        for head in range(own.shape[1]):
            mean = own_weights[row, head] * own[row, head]
            for edge in range(indptr[row], indptr[row + 1]):
                mean += weights[edge, head] * edges[edge, head]
            own[row, head] = own_weights[row, head] * (own[row, head] - mean)
            for edge in range(indptr[row], indptr[row + 1]):
                edges[edge, head] = weights[edge, head] * (edges[edge, head] - mean)


@parallel_kernel
def _slope_gradient(rows, logits, edges, totals):
    """Pass gradients of the edges' logits back through the LeakyReLU, and sum them for each target."""
    indptr, indices = rows
    sources, targets = logits
    zero, slope = totals.dtype.type(0), totals.dtype.type(SLOPE)
    for row in numba.prange(len(indptr) - 1):
        for edge in range(indptr[row], indptr[row + 1]):
            for head in range(totals.shape[1]):
                if sources[indices[edge], head] + targets[row, head] <= zero:
                    edges[edge, head] *= slope
                totals[row, head] += edges[edge, head]


@parallel_kernel
def _sum_at_sources(transposed, edges, totals):
    indptr, _, positions = transposed
    for row in numba.prange(len(indptr) - 1):
        for place in range(indptr[row], indptr[row + 1]):
            for head in range(totals.shape[1]):
                totals[row, head] += edges[positions[place], head]
