"""How the gradients of the objectives become one, and what they say of each other.

Retrieval is the main task: nothing here ever changes its gradient. An objective's own head learns from the gradient as
it is; what is weighed is the gradient of the parameters that all share.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from amity.section import Section

MAIN = "retrieval"
TINY = 1e-30
"""Keeps a ratio of lengths finite."""

Gradient = Sequence[Tensor | None]
"""A gradient of the shared parameters, one by one; None where an objective does not touch a parameter.

Sparse ones hold no row twice: see `summed`.
"""


class WeighingConfig(Section):
    """How auxiliary gradients are weighed against that of retrieval, beyond the weights of the objectives."""

    method: Literal["static", "metabalance", "projection"] = "static"
    """Nothing further; a cap on their length; or without what opposes retrieval's."""
    cap: PositiveFloat = 0.1
    """Under `metabalance`: the length of an auxiliary gradient of a parameter, at most, as a share of retrieval's."""
    memory: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Under `metabalance`: the share of the past in the moving averages of lengths."""
    observe_every: PositiveInt = 100
    """Every so many steps, and after 1, 2, 4, 8, ..., the log is told the lengths of the gradients and their cosines
    with retrieval's."""


class Weighing(nn.Module):
    """The moving averages of the gradients' lengths, and what is done with them."""

    lengths: Tensor
    counts: Tensor

    def __init__(self, config: WeighingConfig, names: Iterable[str], *, num_parameters: int) -> None:
        super().__init__()
        self.config = config
        self.rows = {name: row for row, name in enumerate(names)}
        self.register_buffer("lengths", torch.zeros(len(self.rows), num_parameters))
        self.register_buffer("counts", torch.zeros(len(self.rows), 1))

    def combine(self, gradients: Mapping[str, Gradient]) -> list[Tensor | None]:
        """The gradient to follow, of the weighted gradients of the objectives."""
        main = gradients.get(MAIN)
        if main is None or self.config.method == "static":
            return add(gradients.values())
        if self.config.method == "projection":
            others = (without_opposition(one, main) for name, one in gradients.items() if name != MAIN)
            return add([main, *others])
        averages = {name: self._remember(self.rows[name], gradient) for name, gradient in gradients.items()}
        others = (self._capped(one, averages[name], averages[MAIN]) for name, one in gradients.items() if name != MAIN)
        return add([main, *others])

    def _remember(self, row: int, gradient: Gradient) -> Float[Tensor, "parameters"]:
        """The moving average of the lengths, without the zeros that it began with: some objectives come more seldom."""
        none, memory = self.lengths.new_zeros(()), self.config.memory
        found = torch.stack([none if one is None else _values(one).norm() for one in gradient])
        self.counts[row] += 1
        return self.lengths[row].lerp_(found, 1 - memory) / (1 - memory ** self.counts[row])

    def _capped(
        self, gradient: Gradient, own: Float[Tensor, "parameters"], main: Float[Tensor, "parameters"]
    ) -> Gradient:
        """A gradient, parameter by parameter, times min(1, cap m_main / m_own), m the moving averages of lengths.

        MetaBalance (He et al., 2022, arXiv 2203.06801) where it only shortens, with a cap in place of its relaxation.
        What retrieval does not move at all is left to the others.
        """
        scales = torch.where(main > 0, (self.config.cap * main / own.clamp(min=TINY)).clamp(max=1.0), 1.0)
        return [None if one is None else one * scale for one, scale in zip(gradient, scales, strict=True)]


def is_observed(number: int, every: int) -> bool:
    """Whether the step of that number, from 0, is among those whose gradients are looked at."""
    return number % every == 0 or number & (number - 1) == 0


def without_opposition(gradient: Gradient, main: Gradient) -> Gradient:
    """A gradient less its component along the main one, where the two point apart: g - min(0, g·m / m·m) m.

    The projection of PCGrad (Yu et al., 2020, arXiv 2001.06782, algorithm 1), on one side only.
    """
    opposition = torch.clamp(dot(gradient, main) / dot(main, main).clamp(min=TINY), max=0.0)
    return add([gradient, [None if one is None else one * -opposition for one in main]])


def add(gradients: Iterable[Gradient]) -> list[Tensor | None]:
    """The sum of some gradients."""
    return [_sum([part for part in parts if part is not None]) for parts in zip(*gradients, strict=True)]


def summed(gradient: Tensor | None) -> Tensor | None:
    """A gradient of one parameter in which no row stands twice, as those of hashed ids do that nodes share."""
    if gradient is None or not gradient.is_sparse:
        return gradient
    rows, places = torch.unique(gradient._indices()[0], return_inverse=True)  # noqa: SLF001 (as `_values`)
    values = _values(gradient)
    if len(rows) == len(values):
        return gradient
    sums = values.new_zeros(len(rows), *values.shape[1:]).index_add_(0, places, values)
    return torch.sparse_coo_tensor(rows[None], sums, gradient.shape, check_invariants=False)


def dot(first: Gradient, second: Gradient) -> Float[Tensor, ""]:
    """The inner product of two gradients of the same step."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    return torch.stack([(_values(a) * _values(b)).sum() for a, b in pairs] or [torch.zeros(())]).sum()


def cosine(first: Gradient, second: Gradient) -> float:
    """The cosine of the angle between two gradients; 0 where one of them is zero."""
    lengths = dot(first, first).sqrt() * dot(second, second).sqrt()
    return float(dot(first, second) / lengths.clamp(min=TINY))


def length(gradient: Gradient) -> float:
    """The Euclidean length of a gradient."""
    return float(dot(gradient, gradient).sqrt())


def _values(gradient: Tensor) -> Tensor:
    """The entries of a gradient. Sparse ones of a step are aligned: one look-up feeds all objectives, row by row."""
    return gradient._values() if gradient.is_sparse else gradient  # noqa: SLF001 (coalescing would sort millions of rows)


def _sum(parts: list[Tensor]) -> Tensor | None:
    if not parts:
        return None
    total = torch.stack([_values(part) for part in parts]).sum(0) if len(parts) > 1 else _values(parts[0])
    first = parts[0]
    if not first.is_sparse:
        return total
    return torch.sparse_coo_tensor(first._indices(), total, first.shape, check_invariants=False)  # noqa: SLF001
