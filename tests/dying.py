"""A training that dies, as if its process were killed, when it is about to write a checkpoint."""

from pathlib import Path

import pytest

from amity.training import checkpoint, loop


class Killed(BaseException):
    """Stands for the end of the process."""


def dying(monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
    """Let training die when it is about to write the checkpoint of that step."""
    save = checkpoint.save_checkpoint

    def save_or_die(path: Path, trainable: checkpoint.Trainable, standing: checkpoint.Standing, **rest: str) -> None:
        if standing.step == at:
            raise Killed
        save(path, trainable, standing, **rest)

    monkeypatch.setattr(loop, "save_checkpoint", save_or_die)
