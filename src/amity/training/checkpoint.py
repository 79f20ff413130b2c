"""A checkpoint: one safetensors file that holds all a run needs to go on as if it had never stopped."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from amity.errors import ArtifactError

FORMAT = "amity checkpoint 1"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far training has come."""

    step: int = 0
    """Steps done."""
    best_step: int = 0
    """The step whose parameters found most on the validation part."""
    best_score: float = -1.0
    """Validation recall at that step; -1 before the first validation."""
    stale: int = 0
    """Validations since then without a gain."""


@dataclass(frozen=True, slots=True)
class Trainable:
    """What training changes: modules and optimizers, in place, and the best parameters so far."""

    modules: nn.Module
    optimizers: tuple[optim.Optimizer, ...]
    best: dict[str, Tensor]
    """Parameters at `Standing.best_step`; empty before the first validation."""


def save_checkpoint(path: Path, trainable: Trainable, standing: Standing, *, fingerprint: str) -> None:
    """Replace the checkpoint at once: a reader, or a kill, sees the old file or the new one.

    `fingerprint` says what is being trained, so that another run's checkpoint is not taken up by mistake.
    """
    tensors = {f"now.{name}": value for name, value in trainable.modules.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in trainable.best.items()}
    scalars: dict[str, float] = {}
    for number, optimizer in enumerate(trainable.optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                (tensors if isinstance(value, Tensor) else scalars)[f"optimizer.{number}.{parameter}.{name}"] = value
    page = {"format": FORMAT, "fingerprint": fingerprint, "standing": asdict(standing), "scalars": scalars}
    staged = path.with_name(path.name + ".staged")
    save_file({name: value.contiguous() for name, value in tensors.items()}, staged, {"amity": json.dumps(page)})
    _make_durable(staged)
    staged.replace(path)
    _make_durable(path.parent)


def load_checkpoint(path: Path, trainable: Trainable, *, fingerprint: str) -> Standing:
    """Put modules, optimizers and best parameters back to where the checkpoint has them.

    A file that is no checkpoint, or one of another training, raises `ArtifactError`; nothing is changed then.
    """
    try:
        with safe_open(path, framework="pt") as file:
            page = json.loads((file.metadata() or {}).get("amity", "{}"))
            _check(page, path, fingerprint)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(_message(path, f"it cannot be read ({error})")) from error
    trainable.modules.load_state_dict(_under("now.", tensors))
    trainable.best.clear()
    trainable.best.update(_under("best.", tensors))
    for number, optimizer in enumerate(trainable.optimizers):
        state: dict[int, dict[str, Tensor | float]] = {}
        for name, value in _under(f"optimizer.{number}.", tensors | page["scalars"]).items():
            parameter, _, field = name.partition(".")
            state.setdefault(int(parameter), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Standing(**page["standing"])


def _under(prefix: str, entries: dict) -> dict:
    return {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}


def _check(page: dict, path: Path, fingerprint: str) -> None:
    if page.get("format") != FORMAT:
        raise ArtifactError(_message(path, f"its format is {page.get('format')!r}, not {FORMAT!r}"))
    if page["fingerprint"] != fingerprint:
        raise ArtifactError(_message(path, "it belongs to another graph or to other settings"))


def _message(path: Path, found: str) -> str:
    return f"The checkpoint {path} cannot be gone on from: {found}. Delete it and train again from the start."


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
