"""States of the nodes of a block, and their product with a matrix, of which changed states share what is alike."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Times = Callable[[Float[Tensor, "dim width"]], Float[Tensor, "nodes width"]]


@dataclass(frozen=True, slots=True)
class States:
    """What layers read: a row a node."""

    values: Float[Tensor, "nodes dim"]
    times: Times
    """Gives the product of the values and a matrix, by the shortest way."""


def whole(values: Float[Tensor, "nodes dim"]) -> States:
    """States as they are; a product with the same matrix is taken once, however often it is asked for."""
    return States(values, cache(lambda matrix: values @ matrix))


def without_columns(states: States, dropped: Bool[Tensor, "dim"]) -> States:
    """The same columns zero for all nodes; their part of the product is taken back."""
    columns = dropped.nonzero()[:, 0]

    def times(matrix: Tensor) -> Tensor:
        part = states.values.index_select(1, columns)
        return torch.addmm(states.times(matrix), part, matrix.index_select(0, columns), alpha=-1)

    return States(states.values * ~dropped, times)


def with_rows(states: States, rows: Int64[Tensor, "rows"], state: Float[Tensor, "dim"]) -> States:
    """One state in the place of those of some nodes; the other rows of the product stay."""

    def put(values: Tensor, value: Tensor) -> Tensor:
        return values.index_copy(0, rows, value.expand(len(rows), -1))

    return States(put(states.values, state), lambda matrix: put(states.times(matrix), state @ matrix))


def of_rows(states: States, rows: Int64[Tensor, "rows"]) -> States:
    """The states of some nodes alone, with a product of their own: they may be few."""
    return whole(states.values.index_select(0, rows))
