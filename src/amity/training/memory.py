"""Memory that training keeps: a step takes again what the step before it gave back."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""The parameters of `mallopt`, as the header malloc.h of the GNU C library numbers them."""
KEEP = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1))
"""Map no block of its own, and hand nothing back."""
USUAL = ((MMAP_MAX, 1 << 16), (MMAP_THRESHOLD, 1 << 25), (TRIM_THRESHOLD, 1 << 26))
"""What that library arrives at by itself once large blocks have been freed."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, keep freed memory for the next allocation; afterwards all that is free goes back to the system.

    The tensors of a step are large, and the C library maps each anew: the system clears their pages again and again,
    which took 17 to 40% of a step where it was measured. Libraries other than GNU's are left as they are.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    _set(library, KEEP)
    try:
        yield
    finally:
        _set(library, USUAL)
        library.malloc_trim(ctypes.c_size_t(0))


def _set(library: ctypes.CDLL, parameters: tuple[tuple[int, int], ...]) -> None:
    for parameter, value in parameters:
        library.mallopt(parameter, value)
