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

from amity.encoder.aggregation import Edges, array, dot_edges, sum_rows, sum_transposed
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

    Eq. 3-5 of arXiv 1710.10903. A target without sources hears itself alone. Of each edge only its α is kept, one
    number a head; result and gradients are bitwise the same for any number of threads.
    """
    return _Attention.apply(targets, sources, attention, edges)  # pyright: ignore[reportReturnType]


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, targets: Tensor, sources: Tensor, attention: Tensor, edges: Edges) -> Tensor:
        from_source, from_target = (_block_diagonal(vectors) for vectors in attention)
        received, sent = targets @ from_target, sources @ from_source
        own = leaky_relu(targets @ from_source + received, SLOPE)
        weights = own.new_empty(len(edges.indices), own.shape[1])
        rows = edges.indptr, edges.indices
        _softmax(rows, array(sent), array(received), own.numpy(), weights.numpy())
        ctx.save_for_backward(targets, sources, attention, received, sent, own, weights)
        ctx.edges = edges
        sums = _scale(targets, own).contiguous()
        sum_rows(rows, array(weights), array(sources), sums.numpy())
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        targets, sources, attention, received, sent, own, weights = ctx.saved_tensors
        gradient, edges, heads = gradients[0].contiguous(), ctx.edges, own.shape[1]
        from_source, from_target = (_block_diagonal(vectors) for vectors in attention)
        to_own = (gradient * targets).unflatten(1, (heads, -1)).sum(2)
        to_weights, to_received, to_sent = torch.empty_like(weights), torch.zeros_like(own), torch.zeros_like(sent)
        rows = edges.indptr, edges.indices
        dot_edges(rows, array(gradient), array(sources), to_weights.numpy())
        _softmax_gradient(rows, (array(own), array(weights)), to_own.numpy(), to_weights.numpy())
        _slope_gradient(rows, (array(sent), array(received)), to_weights.numpy(), to_received.numpy())
        _sum_at_sources(edges.transposed, to_weights.numpy(), to_sent.numpy())
        to_own *= torch.where(targets @ from_source + received > 0, 1.0, SLOPE)
        to_received += to_own
        to_sources = torch.zeros_like(sources, memory_format=torch.contiguous_format)
        sum_transposed(edges.transposed, array(weights), array(gradient), to_sources.numpy())
        to_targets = _scale(gradient, own).addmm_(to_own, from_source.T).addmm_(to_received, from_target.T)
        to_attention = to_sent.T @ sources + to_own.T @ targets, to_received.T @ targets
        return (
            to_targets,
            to_sources.addmm_(to_sent, from_source.T),
            torch.stack([*map(_diagonal_blocks, to_attention)]),
            None,
        )


def _block_diagonal(vectors: Tensor) -> Tensor:
    """(heads, width) to (heads · width, heads): a product with it is the dot product of each head."""
    return torch.block_diag(*vectors).T.contiguous()


def _diagonal_blocks(matrix: Tensor) -> Tensor:
    """(heads, heads · width) to (heads, width): of each head's row, its own part."""
    return matrix.unflatten(1, (len(matrix), -1)).diagonal(dim1=0, dim2=1).T


def _scale(values: Tensor, weights: Tensor) -> Tensor:
    return (values.unflatten(1, (weights.shape[1], -1)) * weights.unsqueeze(2)).flatten(1)


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
