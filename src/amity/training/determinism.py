"""The same sums in the same order: what makes a run repeat itself bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic as _untyped

settings: Any = _untyped


@contextmanager
def deterministic(device: torch.device | str = "cpu") -> Iterator[None]:
    """Forbid torch, inside, every operation whose result hangs on how threads meet; afterwards all is as it was.

    Above all the gradient of indexing: with several threads, torch otherwise adds repeated rows by atomic additions.
    New memory is not filled first, which torch does under this rule, since nothing here reads what was not written.
    On a GPU nothing is forbidden: there sums by atomic additions have no substitute that is as fast.
    """
    mode, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=torch.device(device).type == "cpu")
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=mode, warn_only=warn_only)
        settings.fill_uninitialized_memory = filled
