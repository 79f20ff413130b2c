"""Runs side by side leave the process that began them as it was."""

import os

import pytest
from running import THREADS, threads


@pytest.mark.parametrize("before", [{}, {"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2"}])
def test_the_environment_is_what_it_was_when_runs_have_ended_or_failed(before: dict, monkeypatch: pytest.MonkeyPatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    with threads(5):
        assert [os.environ[name] for name in THREADS] == ["5", "5"]
    with pytest.raises(RuntimeError, match="failed"), threads(5):
        raise RuntimeError("failed")
    assert {name: os.environ[name] for name in THREADS if name in os.environ} == before
