"""What sums and attention are made of, as operations of torch for any device; `row_kernels` is its twin and says more.

Sums are products with sparse matrices, a head at a time; dot products gather some edges at a time.
"""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from amity.encoder.edges import Edges
from amity.encoder.row_kernels import SLOPE

GATHERED = 1 << 26
"""Numbers, at most, that are gathered at once."""


def sum_rows(edges: Edges, weights: Tensor, values: Tensor, *, groups: int) -> Tensor:
    """The sum of weight times value over the sources of each target, head by head."""
    rows = edges.on(values.device)
    matrices = (_sparse(rows.indptr, rows.sources, weight, edges.num_sources) for weight in weights.T)
    return torch.stack([matrix @ part for matrix, part in zip(matrices, _parts(values, groups, weights), strict=True)])


def add_transposed(edges: Edges, weights: Tensor, gradient: Tensor, sums: Tensor) -> None:
    """Add to each source in `sums`, in place, the sum of weight times gradient over its targets."""
    rows = edges.on(sums.device)
    parts = _parts(sums, sums.shape[1] // gradient.shape[2], weights)
    for part, weight, values in zip(parts, weights.T, gradient, strict=True):
        targets, ordered = rows.targets[rows.by_source], weight[rows.by_source]
        part.add_(_sparse(rows.source_indptr, targets, ordered, edges.num_targets) @ values)


def dot_edges(edges: Edges, gradient: Tensor, values: Tensor) -> Tensor:
    """The dot product of each edge's target in `gradient` and source in `values`, head by head."""
    rows, (heads, _, width) = edges.on(values.device), gradient.shape
    dots = values.new_empty(len(rows.sources), heads)
    parts = _parts(values, values.shape[1] // width, dots)
    some = max(GATHERED // width, 1)
    for head, (part, wanted) in enumerate(zip(parts, gradient, strict=True)):
        for first in range(0, len(dots), some):
            chunk = slice(first, first + some)
            dots[chunk, head] = (wanted[rows.targets[chunk]] * part[rows.sources[chunk]]).sum(1)
    return dots


def weigh_rows(edges: Edges, logits: tuple[Tensor, Tensor], values: Tensor, *, groups: int) -> tuple[Tensor, Tensor]:
    """The weight of each edge, a softmax over those of its target head by head, and the sums as of `sum_rows`."""
    rows, (sent, received) = edges.on(values.device), logits
    before = leaky_relu(sent[rows.sources] + received[rows.targets], SLOPE)
    peaks = torch.segment_reduce(before, "max", offsets=rows.indptr)
    exponentials = (before - peaks[rows.targets]).exp()
    weights = exponentials / _row_sums(rows.indptr, exponentials)[rows.targets]
    return weights, sum_rows(edges, weights, values, groups=groups)


def softmax_gradient(
    edges: Edges, logits: tuple[Tensor, Tensor], weights: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of what each edge's logit was before the LeakyReLU, and of what its target received."""
    rows, (sent, received) = edges.on(weights.device), logits
    means = _row_sums(rows.indptr, weights * gradient)
    slopes = torch.where(sent[rows.sources] + received[rows.targets] > 0, 1.0, SLOPE).to(weights.dtype)
    to_logits = weights * (gradient - means[rows.targets]) * slopes
    return to_logits, _row_sums(rows.indptr, to_logits)


def _row_sums(indptr: Tensor, values: Tensor) -> Tensor:
    return torch.segment_reduce(values, "sum", offsets=indptr, initial=0)


def _parts(values: Tensor, groups: int, weights: Tensor) -> tuple[Tensor, ...]:
    """What each head reads of the values: its own slice, or all."""
    return values.chunk(groups, dim=1) if groups > 1 else (values,) * weights.shape[1]


def _sparse(indptr: Tensor, indices: Tensor, weights: Tensor, columns: int) -> Tensor:
    return torch.sparse_csr_tensor(indptr, indices, weights, (len(indptr) - 1, columns), check_invariants=False)
