"""What is forbidden while training is as it was before, afterwards."""

import pytest
import torch

from amity.training.determinism import deterministic


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_afterwards_all_is_as_it_was(before: tuple[bool, bool]):
    mode, warn_only = before
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    try:
        with deterministic():
            assert standing() == (True, False)
        assert standing() == before
    finally:
        torch.use_deterministic_algorithms(mode=False)


def standing() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
