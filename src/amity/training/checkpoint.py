"""A checkpoint: one safetensors file that holds all that training needs to go on as if it had never stopped."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from amity.artifacts.files import make_durable
from amity.errors import ArtifactError
from amity.log import say

FORMAT = "amity checkpoint 1"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far training has come."""

    step: int = 0
    """Steps done."""
    best_step: int = 0
    """Steps done when validation found most."""
    best_score: float = -1.0
    """What it found then; -1 before the first validation."""


@dataclass(frozen=True, slots=True)
class Trainable:
    """What training changes, all in place."""

    modules: nn.Module
    optimizers: tuple[optim.Optimizer, ...]
    best: dict[str, Tensor]
    """The modules' parameters at `Standing.best_step`; empty before the first validation."""
    factor: Callable[[int], float] = lambda _: 1.0
    """What step sizes are multiplied by at each step."""


def save_checkpoint(path: Path, trainable: Trainable, standing: Standing, *, fingerprint: str) -> None:
    """Replace the checkpoint at once: a reader, or a kill, finds the old file or the new one.

    `fingerprint` says what is being trained, so that another training does not take the checkpoint up.
    """
    tensors = {f"now.{name}": value for name, value in trainable.modules.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in trainable.best.items()}
    scalars: dict[str, float] = {}
    for number, optimizer in enumerate(trainable.optimizers):
        for parameter, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                (tensors if isinstance(value, Tensor) else scalars)[f"optimizer{number}.{parameter}.{name}"] = value
    page = {"format": FORMAT, "fingerprint": fingerprint, "standing": asdict(standing), "scalars": scalars}
    staged = path.with_name(f".new-{path.name}")
    save_file({name: value.contiguous() for name, value in tensors.items()}, staged, {"amity": json.dumps(page)})
    make_durable(staged)
    staged.replace(path)
    make_durable(path.parent)


def load_checkpoint(path: Path, trainable: Trainable, *, fingerprint: str) -> Standing:
    """Put modules, optimizers and best parameters back to where the checkpoint has them, and say where that is.

    A checkpoint of another training is left alone, and training starts anew. A file that is torn, or is no
    checkpoint, raises `ArtifactError`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            page = json.loads((file.metadata() or {}).get("amity", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            found = page.get("format")
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        raise ArtifactError(_message(path, f"it cannot be read ({error})")) from error
    if found != FORMAT:
        raise ArtifactError(_message(path, f"its format is {found!r}, not {FORMAT!r}"))
    if page["fingerprint"] != fingerprint:
        say(f"The checkpoint {path} belongs to another graph or to other settings: training starts anew.")
        return Standing()
    trainable.modules.load_state_dict(_under("now.", tensors))
    trainable.best.update(_under("best.", tensors))
    for number, optimizer in enumerate(trainable.optimizers):
        state: dict[int, dict[str, Any]] = {}
        for name, value in _under(f"optimizer{number}.", tensors | page["scalars"]).items():
            parameter, _, field = name.partition(".")
            state.setdefault(int(parameter), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Standing(**page["standing"])


def _under(prefix: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}


def _message(path: Path, found: str) -> str:
    return f"Training cannot go on from the checkpoint {path}: {found}. Delete it to train again from the start."
