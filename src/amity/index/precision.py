"""Vectors in single or half precision: kernels read either as it lies, matrix products a block at a time in single."""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.kernels import kernel, shared, to_single


def stored(vectors: Float[ndarray, "rows dim"]) -> ndarray:
    """The same memory as kernels take it: float32, or the bits of float16, which numba does not know, as uint16."""
    return vectors.view(np.uint16) if vectors.dtype == np.float16 else vectors


def in_single(vectors: Float[ndarray, "rows dim"]) -> Float32[ndarray, "rows dim"]:
    """These vectors in single precision, exactly: themselves, or a copy of those in half."""
    if vectors.dtype != np.float16:
        return vectors
    singles = np.empty(vectors.shape, np.float32)
    shared(_to_single, len(vectors), vectors.view(np.uint16), singles)
    return singles


@kernel
def _to_single(part, halves, singles):
    for i in range(*part):
        for j in range(halves.shape[1]):
            singles[i, j] = to_single(halves[i, j])
