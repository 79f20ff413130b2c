"""How kernels read the rows of neighbours: in single or half precision, fetched before they are needed."""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload
from numpy import ndarray

from amity.kernels import kernel, prefetch, to_single

AHEAD = 12
"""So many edges before its row is read, the row of a neighbour is asked for."""


def bits(values: ndarray) -> ndarray:
    """The values as kernels take them: half precision as unsigned integers, all else as it is."""
    return values.view(np.uint16) if values.dtype == np.float16 else values


@kernel
def fetch_row(values, indices, edge, last):
    """Ask the memory for the row that will be read `AHEAD` edges after `edge`."""
    if edge + AHEAD < last:
        stride = values.strides[0]
        row = np.int64(indices[edge + AHEAD]) * stride
        for offset in range(0, stride, 64):
            prefetch(values, row + offset)  # pyright: ignore[reportCallIssue] (numba hands over the context)


def single(value: Any) -> Any:
    """A number in single precision; an unsigned integer is the bits of a number in half precision."""
    raise NotImplementedError(value)


@overload(single)
def _single(value):
    if value == types.uint16:
        return lambda value: to_single(value)  # noqa: PLW0108 (numba compiles a function of this name)
    return lambda value: value
