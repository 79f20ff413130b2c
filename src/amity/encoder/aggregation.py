"""Weighted sums over the neighbours of a node, with gradients: what layers and bags of tokens are made of."""

from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from amity.encoder import row_kernels, row_operations
from amity.encoder.edges import Edges


def weighted_sums(
    values: Float[Tensor, "sources dim"], weights: Float[Tensor, "edges heads"], edges: Edges
) -> Float[Tensor, "targets dim"]:
    """The sum of weight times value over the sources of each target; each head weighs its own slice of the values.

    Gradients reach the values; the weights are constants. No tensor of edges by dim is ever made.
    """
    return _WeightedSums.apply(values, weights.to(values.device), edges).transpose(0, 1).flatten(1)  # pyright: ignore[reportOptionalMemberAccess]


class _WeightedSums(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(weights)
        ctx.edges = edges
        return operations(values.device).sum_rows(edges, weights, values, groups=weights.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (weights,), edges, gradient = ctx.saved_tensors, ctx.edges, gradients[0]
        to_values = gradient.new_zeros(edges.num_sources, len(gradient) * gradient.shape[2])
        operations(gradient.device).add_transposed(edges, weights, gradient, to_values)
        return to_values, None, None


def prefixes(states: Float[Tensor, "nodes dim"], *lengths: int) -> tuple[Tensor, ...]:
    """The states, and their first rows, so many each; their gradients are added up in place, without padding."""
    return _Prefixes.apply(states, lengths)  # pyright: ignore[reportReturnType]


class _Prefixes(Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, ...]:
        ctx.shape = states.shape
        ctx.set_materialize_grads(False)
        return states.view_as(states), *(states[:length] for length in lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        known = [gradient for gradient in gradients if gradient is not None]
        if not known:
            return None, None
        total = known[0].new_zeros(ctx.shape)
        for gradient in known:
            total[: len(gradient)] += gradient
        return total, None


def operations(device: torch.device) -> ModuleType:
    """Sums and their gradients for tensors on a device: kernels in main memory, operations of torch elsewhere."""
    return row_kernels if device.type == "cpu" else row_operations
