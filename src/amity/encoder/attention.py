"""Graph attention on compressed sparse rows, with gradients (Veličković et al., 2018, arXiv 1710.10903, eq. 1-5)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from amity.encoder.aggregation import operations
from amity.encoder.edges import Edges


def attend(
    values: Float[Tensor, "sources dim"],
    projection: Float[Tensor, "dim logits"],
    edges: Edges,
    *,
    groups: int,
) -> Float[Tensor, "heads targets width"]:
    """What each target, the first of the sources, hears from its sources and itself, head by head.

    `projection` turns values into logits: its first columns, one a head, weigh who is heard (p_src), its last who
    hears (p_dst).

        e_ij = LeakyReLU(p_src · v_j + p_dst · v_i),  α = softmax over j in N(i) ∪ {i},  Σ_j α_ij v_j

    Eq. 3-5 of arXiv 1710.10903. With as many `groups` as heads a head sums its own slice of the values, which are
    W h there; with one it sums all of them. A target without sources hears itself alone. Of each edge only its α is
    kept, one number a head; on the CPU, result and gradients are bitwise the same for any number of threads.
    """
    return _Attention.apply(values, projection, edges.with_loops, groups)  # pyright: ignore[reportReturnType]


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, projection: Tensor, edges: Edges, groups: int) -> Tensor:
        rows = operations(values.device)
        sent, received = _logits(values, projection, edges)
        weights, heard = rows.weigh_rows(edges, (sent, received), values, groups=groups)
        ctx.save_for_backward(values, projection, sent, received, weights)
        ctx.edges = edges
        return heard

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, projection, sent, received, weights = ctx.saved_tensors
        edges, gradient, rows = ctx.edges, gradients[0].contiguous(), operations(values.device)
        to_weights = rows.dot_edges(edges, gradient, values)
        to_logits, to_received = rows.softmax_gradient(edges, (sent, received), weights, to_weights)
        ones = values.new_ones(sent.shape[1], edges.num_targets, 1)
        to_sent = torch.zeros_like(sent)
        rows.add_transposed(edges, to_logits, ones, to_sent)
        to_projected = torch.cat([to_sent, pad(to_received, (0, 0, 0, len(values) - edges.num_targets))], dim=1)
        to_values = to_projected @ projection.T
        rows.add_transposed(edges, weights, gradient, to_values)
        return to_values, (to_projected.T @ values).T, None, None


def _logits(values: Tensor, projection: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """What each source sends and each target receives: (sources, heads), (targets, heads)."""
    # A product with few columns is twice as fast where these are stored as rows.
    sent, received = (values @ projection.T.contiguous().T).chunk(2, dim=1)
    return sent.contiguous(), received[: edges.num_targets].contiguous()
