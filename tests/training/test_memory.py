"""What is kept between steps is not asked of the system again."""

import ctypes
import resource

import pytest
import torch

from amity.training.memory import kept_memory

NUMBERS = 1 << 24
PAGES = 4 * NUMBERS // resource.getpagesize()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the GNU C library")
def test_a_large_tensor_takes_the_memory_of_those_before_it_while_memory_is_kept():
    with kept_memory():
        assert min(_new_pages() for _ in range(5)) < PAGES / 10


def _new_pages() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(NUMBERS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
