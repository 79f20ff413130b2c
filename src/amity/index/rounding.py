"""Vectors rounded to small integers: a machine multiplies those four times as fast, and the error is bounded.

With x = s x̂ + e, where x̂ are integers and e what rounding took away, Cauchy and Schwarz give

    |q·x − s_q s_x q̂·x̂| ≤ |q| |e_x| + |e_q| |s_x x̂|

and the norms on the right are computed, not estimated.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int8, Int32
from numpy import ndarray
from torch import Tensor

from amity.kernels import kernel, shared, summing_kernel

LEVELS = 63
"""The largest integer: two products of a byte and a sign-shifted byte still fit into the 16 bits of older machines."""
DOUBLE = 1e-9
"""Room, as a share of |q||x|, for the rounding of sums and bounds in double precision."""


class Rounded(NamedTuple):
    """Vectors as integers times a scale."""

    integers: Int8[ndarray, "rows dim"]
    """With a zero at the end where dim is 1: torch multiplies matrices of one column wrongly."""
    scales: Float64[ndarray, "rows"]
    norms: Float64[ndarray, "rows"]
    """Of the vectors as they were."""
    rounded_norms: Float64[ndarray, "rows"]
    """Of the integers times their scale."""
    errors: Float64[ndarray, "rows"]
    """Norms of what rounding took away."""


def round_rows(vectors: Float32[ndarray, "rows dim"]) -> Rounded:
    """Each vector by a scale of its own."""
    largest = np.abs(vectors).max(axis=1, initial=0).astype(np.float64)
    return _round(vectors, np.where(largest > 0, largest, 1) / LEVELS)


def round_together(vectors: Float32[ndarray, "rows dim"]) -> Rounded:
    """All vectors by one scale, so that their products with a query compare as integers."""
    largest = float(max(vectors.max(initial=0), -vectors.min(initial=0)))
    return _round(vectors, np.full(len(vectors), (largest or 1.0) / LEVELS))


def multiply(asked: Rounded, offered: Rounded, scratch: Int32[Tensor, "products"]) -> Int32[ndarray, "queries items"]:
    """The inner products of the integers, written into scratch memory."""
    shape = len(asked.integers), len(offered.integers)
    products = scratch[: shape[0] * shape[1]].view(shape)
    torch._int_mm(  # noqa: SLF001 # pyright: ignore[reportPrivateImportUsage] - it has no public name
        torch.from_numpy(asked.integers), torch.from_numpy(offered.integers).T, out=products
    )
    return products.numpy()


def error_bounds(asked: Rounded, offered: Rounded) -> tuple[Float64[ndarray, "queries"], Float64[ndarray, "queries"]]:
    """For each query what a product of integers is worth, and how far it may then lie from the true one."""
    slack = asked.norms * offered.errors.max() + asked.errors * offered.rounded_norms.max()
    rounding = DOUBLE * asked.norms * offered.norms.max() + 1e-44
    return asked.scales * offered.scales[0], slack + rounding


def _round(vectors: Float32[ndarray, "rows dim"], scales: Float64[ndarray, "rows"]) -> Rounded:
    integers = np.zeros((len(vectors), max(2, vectors.shape[1])), np.int8)
    squares = np.empty((3, len(vectors)), np.float64)
    vectors = vectors.view()
    vectors.flags.writeable = False  # As those of an index, so that one kernel is compiled for all.
    shared(_round_rows, len(vectors), vectors, scales, integers, squares)
    return Rounded(integers, scales, *np.sqrt(squares))


@kernel
def _round_rows(part, vectors, scales, integers, squares):
    for i in range(*part):
        squares[0, i], squares[1, i], squares[2, i] = _round_row(vectors[i], scales[i], integers[i])


@summing_kernel
def _round_row(vector, scale, integers):
    square = rounded = error = 0.0
    inverse = 1.0 / scale
    for j in range(len(vector)):
        value = np.float64(vector[j])
        whole = np.rint(value * inverse)
        integers[j] = np.int8(whole)
        square += value * value
        rounded += (whole * scale) * (whole * scale)
        error += (value - whole * scale) * (value - whole * scale)
    return square, rounded, error
