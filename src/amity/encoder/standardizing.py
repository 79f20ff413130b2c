"""Numbers and vectors, as a table had them, to inputs of mean 0 and deviation 1: one pass over the drawn rows."""

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy import ndarray

from amity.encoder.features import NumbersTransform
from amity.graph import Column, Number, Vector
from amity.kernels import kernel, shared, to_single

LIMIT = 10.0
"""Standardised numbers are cut off at so many deviations, so that one wild value cannot drown a node."""
EXPONENT = 0x7C00
"""The bits of a number in half precision that are all set where it is not finite."""


def standardize(
    column: Column | None,
    transform: NumbersTransform,
    rows: Int64[ndarray, "nodes"],
    standardized: Float32[ndarray, "nodes width"],
) -> None:
    """Fill what `gather` gives of one column: the values, 0 where missing, and the flag of a missing row at the end.

    Row -1 stands for a node of another kind, and what is gathered of it is left as it was.
    """
    if column is None:
        standardized[rows >= 0, -1] = 1.0
        return
    assert isinstance(column, Number | Vector)
    half = column.values.dtype == np.float16
    shared(
        _standardize,
        len(rows),
        _bits(column.values.reshape(len(column.values), -1)),
        (half, transform.log, np.array(transform.mean), np.array(transform.deviation)),
        rows,
        standardized,
    )


def _bits(values: Float[ndarray, "nodes width"]) -> ndarray:
    """A view that kernels can read: in half precision its bits, and never to be written, as a mapped file is."""
    view = values.view(np.uint16) if values.dtype == np.float16 else values.view()
    view.flags.writeable = False
    return view


@kernel
def _standardize(part, values, rules, rows, standardized):
    half, log, means, deviations = rules
    for i in range(*part):
        row = rows[i]
        if row < 0:
            continue
        complete = True
        for column in range(len(means)):
            complete &= np.isfinite(_read(values[row, column], half))
        standardized[i, len(means)] = not complete
        for column in range(len(means)):
            value = _read(values[row, column], half) if complete else means[column]
            if log and complete:
                value = np.log1p(max(value, 0.0))
            value = np.divide(value - means[column], deviations[column])
            standardized[i, column] = min(max(value, -LIMIT), LIMIT)


@kernel
def _read(value, half):
    """The number itself, or the one whose bits in half precision are given; NaN for all that is not finite there."""
    if not half:
        return np.float64(value)
    if (np.int64(value) & EXPONENT) == EXPONENT:
        return np.nan
    return np.float64(to_single(np.int64(value)))
