"""Files that numbers are scattered to by range, so that each can be sorted in memory by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.kernels import kernel

FIELDS: dict[str, type[np.generic]] = {"times": np.int64, "weights": np.float32, "parts": np.int8}
"""What a number may carry, and of which type."""

MAX_FILES = 128
"""How many ranges are open at a time; each is a file for its numbers and one for every field."""

_HANDY = 1 << 21
"""How many numbers sort fastest: more would not stay in the caches, and fewer make small files."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The numbers of one range, in files."""

    path: Path
    """What the names of the files begin with."""
    size: int
    """How many numbers there are."""

    def load(self, begin: int, count: int) -> tuple[Int64[ndarray, "numbers"], dict[str, ndarray]]:
        """Some of the numbers, and what they carry."""
        columns = {
            name: np.fromfile(path, dtype, count, offset=begin * np.dtype(dtype).itemsize)
            for name, path, dtype in self._files()
        }
        return columns.pop("keys"), columns

    def remove(self) -> None:
        """Delete the files."""
        for _, path, _ in self._files():
            path.unlink()

    def _files(self) -> Iterator[tuple[str, Path, type[np.generic]]]:
        for name, dtype in ({"keys": np.int64} | FIELDS).items():
            path = self.path.with_name(f"{self.path.name}.{name}")
            if path.exists():
                yield name, path, dtype


class Buckets:
    """Open files, one a range and a field."""

    def __init__(self, scratch: Path, name: str, ranges: int, fields: tuple[str, ...]) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._paths = [scratch / f"{name}-{number}" for number in range(ranges)]
        self._sizes = np.zeros(ranges, np.int64)
        self._files = {
            field: [path.with_name(f"{path.name}.{field}").open("wb") for path in self._paths]
            for field in ("keys", *fields)
        }

    def add(self, keys: Int64[ndarray, "numbers"], carried: dict[str, ndarray], *, shift: int, base: int) -> None:
        """Write every number to the file of its range, which is `(number - base) >> shift`."""
        several = len(self._paths) > 1
        bounds = _bounds(keys, shift, base, len(self._paths)) if several else np.array([0, len(keys)])
        for field, values in {"keys": keys, **carried}.items():
            arranged = _arrange(values, keys, bounds, shift, base) if several else np.ascontiguousarray(values)
            for number in np.flatnonzero(np.diff(bounds)):
                self._files[field][number].write(arranged[bounds[number] : bounds[number + 1]].data)
        self._sizes += np.diff(bounds)

    def finish(self) -> list[Bucket]:
        """Close the files; the buckets in the order of their ranges."""
        self.close()
        return [Bucket(path, int(size)) for path, size in zip(self._paths, self._sizes, strict=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for files in self._files.values():
            for file in files:
                file.close()


def files_for(numbers: int, capacity: int) -> int:
    """How many files keep each about half of what may be sorted at once, and no more than sorts fast."""
    return min(MAX_FILES, max(1, -(-2 * numbers // capacity), numbers // _HANDY))


def shift_for(numbers: int, files: int) -> int:
    """How many low bits to leave out so that at most so many ranges remain; at least one, which mirrors a pair."""
    return max(1, max(numbers - 1, 1).bit_length() - (files.bit_length() - 1))


@kernel
def _bounds(keys, shift, base, files):
    """Where each range begins once numbers of one range lie beside each other."""
    bounds = np.zeros(files + 1, np.int64)
    for key in keys:
        bounds[((key - base) >> shift) + 1] += 1
    return np.cumsum(bounds)


@kernel
def _arrange(values, keys, bounds, shift, base):
    """What numbers carry, that of one range beside each other."""
    cursor = bounds[:-1].copy()
    arranged = np.empty(len(values), values.dtype)
    for i in range(len(keys)):
        bucket = (keys[i] - base) >> shift
        arranged[cursor[bucket]] = values[i]
        cursor[bucket] += 1
    return arranged
