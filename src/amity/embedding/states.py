"""One row of numbers for each node, in memory where that is allowed, else in mapped files."""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from numpy.lib.array_utils import byte_bounds
from numpy.lib.format import open_memmap
from torch import Tensor

from amity.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Rows:
    """An array of one row a node, read and written in single precision."""

    array: Float[ndarray, "nodes dim"]
    """In single or half precision."""
    discard: Callable[[], None] = lambda: None
    """Delete what lies on disk; called once nobody will read it."""

    def read(self, first: int, last: int) -> Float32[Tensor, "chunk dim"]:
        """A copy of some rows."""
        return torch.from_numpy(self.array[first:last].astype(np.float32))

    def write(self, first: int, last: int, values: Float32[Tensor, "chunk dim"]) -> None:
        """Round some rows to the precision of the array; ConfigError where they are beyond its range."""
        rounded = values.half() if self.array.dtype == np.float16 else values
        if self.array.dtype == np.float16 and bool((rounded.isinf() & ~values.isinf()).any()):
            raise ConfigError(
                "A state of a node is larger than half precision can hold (65,504). "
                'Set `embedding.precision` to "single".'
            )
        self.array[first:last] = rounded.numpy()
        forget(self.array[first:last])


@dataclass(frozen=True, slots=True)
class Storage:
    """Where new arrays of states lie."""

    scratch: Path | None
    """The folder of their files; without one they lie in memory."""
    shape: tuple[int, int]
    """Nodes by dim."""
    dtype: type[np.floating]
    """float32 or float16."""

    def new(self, name: str) -> Rows:
        """An array to be filled."""
        if self.scratch is None:
            return Rows(np.empty(self.shape, self.dtype))
        path = self.scratch / f"{name}.npy"
        return Rows(open_memmap(path, mode="w+", dtype=self.dtype, shape=self.shape), path.unlink)


def forget(values: ndarray) -> None:
    """Let go of the resident pages behind a part of a mapped file; they are read again where they are used again.

    Does nothing to an array in memory.
    """
    mapped = values
    while isinstance(mapped, ndarray) and mapped.base is not None:
        if isinstance(mapped, np.memmap):
            break
        mapped = mapped.base
    if not isinstance(mapped, np.memmap) or not values.size or not hasattr(mmap, "MADV_DONTNEED"):
        return
    pages: mmap.mmap = mapped._mmap  # pyright: ignore[reportAttributeAccessIssue]  # noqa: SLF001 (the only way to the mapping)
    begin, end = (np.array(byte_bounds(values)) - np.frombuffer(pages, np.uint8).ctypes.data).tolist()
    start = begin - begin % mmap.PAGESIZE
    pages.madvise(mmap.MADV_DONTNEED, start, end - start)
