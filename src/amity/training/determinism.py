"""The same sums in the same order: what makes a run repeat itself bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """Forbid torch, inside, every operation whose result hangs on how threads meet; afterwards all is as it was.

    Above all the gradient of indexing: with several threads, torch otherwise adds repeated rows by atomic additions.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)
