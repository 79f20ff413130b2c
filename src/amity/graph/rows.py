"""How kernels read the rows of neighbours: in single or half precision, fetched before they are needed."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy import ndarray

from amity.kernels import kernel, to_single

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
        row = np.uint64(values.ctypes.data) + np.uint64(indices[edge + AHEAD]) * np.uint64(stride)
        for offset in range(0, stride, 64):
            _prefetch(row + np.uint64(offset))  # pyright: ignore[reportCallIssue] (numba hands over the context)


def single(value: Any) -> Any:
    """A number in single precision; an unsigned integer is the bits of a number in half precision."""
    raise NotImplementedError(value)


@overload(single)
def _single(value):
    if value == types.uint16:
        return lambda value: to_single(value)  # noqa: PLW0108 (numba compiles a function of this name)
    return lambda value: value


@intrinsic
def _prefetch(_, address):
    """Ask for the cache line at an address; a page that is not there is no fault."""

    def generate(context, builder, _, arguments):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(arguments[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(address), generate
