"""Lazy Adam: of a table with a sparse gradient only the touched rows move, in one pass over them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor, optim

from amity.kernels import kernel, shared
from amity.sampling.numbering import number


class LazyAdam(optim.Optimizer):
    """Adam (arXiv 1412.6980) as torch's `SparseAdam` has it, for tables on the CPU whose gradients are sparse.

    With g the summed gradient of a touched row, and t the number of steps of the whole table:

        m ← m + (1 - β₁)(g - m),  v ← v + (1 - β₂)(g² - v),  w ← w - lr √(1 - β₂ᵗ)/(1 - β₁ᵗ) · m / (√v + ε)

    A row that is not touched keeps its moments. Sums are taken in the order of the gradient's entries and rows are
    shared between threads whole, so that the result is bitwise the same for any number of them. The state has the
    names that `SparseAdam` gives it.
    """

    def __init__(
        self,
        tables: Sequence[Tensor],
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(tables, {"lr": learning_rate, "betas": betas, "eps": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move the rows that stand in the gradients."""
        assert closure is None
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    _update_table(table, self.state[table], group)


def _update_table(table: Tensor, state: dict[str, Any], settings: dict[str, Any]) -> None:
    assert table.grad is not None
    # Not `coalesce()`, which sorts and copies: what stands twice is summed below.
    rows, gradients = table.grad._indices()[0], table.grad._values()  # noqa: SLF001
    if not state:
        state |= {"step": 0, "exp_avg": torch.zeros_like(table), "exp_avg_sq": torch.zeros_like(table)}
    state["step"] += 1
    first, second = settings["betas"]
    size = settings["lr"] * (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"])
    groups = _entries_of_rows(rows.numpy())
    shared(
        _update_rows,
        len(groups[0]),
        groups,
        gradients.contiguous().numpy(),
        (table.detach().numpy(), state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()),
        tuple(np.float32(rate) for rate in (1 - first, 1 - second, size, settings["eps"])),
    )


def _entries_of_rows(rows: Int64[ndarray, "entries"]) -> tuple[ndarray, ndarray, ndarray]:
    """The distinct rows, and the entries of each: those of row i are `entries[starts[i]:starts[i + 1]]`, ascending."""
    distinct, _, places = number(_NONE, _NONE, rows)
    return distinct, *_group(places, len(distinct))


_NONE = np.empty(0, np.int64)


@kernel
def _group(places, count):
    starts = np.zeros(count + 1, np.int64)
    for place in places:
        starts[place + 1] += 1
    starts = np.cumsum(starts)
    cursor = starts[:-1].copy()
    entries = np.empty(len(places), np.int64)
    for entry in range(len(places)):
        entries[cursor[places[entry]]] = entry
        cursor[places[entry]] += 1
    return starts, entries


@kernel
def _update_rows(part, groups, gradients, table, rates):
    rows, starts, entries = groups
    weights, means, squares = table
    first, second, size, epsilon = rates
    for i in range(*part):
        row, gradient = rows[i], gradients[entries[starts[i]]].copy()
        for place in range(starts[i] + 1, starts[i + 1]):
            for column in range(len(gradient)):
                gradient[column] += gradients[entries[place], column]
        for column in range(len(gradient)):
            means[row, column] += first * (gradient[column] - means[row, column])
            squares[row, column] += second * (gradient[column] * gradient[column] - squares[row, column])
            # Not `/`, which asks whether the divisor is zero and so is no vector code.
            change = np.divide(means[row, column], np.sqrt(squares[row, column]) + epsilon)
            weights[row, column] -= size * change
