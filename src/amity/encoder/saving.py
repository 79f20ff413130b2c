"""Parameters in one safetensors file, whose header tells as JSON what they are the parameters of."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amity.errors import ArtifactError, ConfigError

Whole = TypeVar("Whole")
_UNREADABLE = (
    *(OSError, SafetensorError, ValidationError, ConfigError),
    *(ValueError, KeyError, AttributeError, TypeError, RuntimeError),
)
"""What a file that is none of ours, or was altered, makes of reading it and of building what it tells of."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What such a file is, and what to do where it is not."""

    format: str
    """What its header says first."""
    called: str
    """What messages call it: a model, a head."""
    remedy: str
    """What to do where it cannot be read, as a sentence."""

    def save(self, path: Path, module: nn.Module, page: Mapping[str, Any]) -> None:
        """Write the parameters of a module, and a page from which it can be made again."""
        tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
        header = json.dumps({"format": self.format, **page}, ensure_ascii=False)
        save_file(tensors, path, {"amity": header})
        path.chmod(0o644)  # safetensors lets its owner alone read it, but who serves it may be another.

    def open(self, path: Path, make: Callable[[Mapping[str, Any]], tuple[nn.Module, Whole]]) -> Whole:
        """Read what `save` wrote: of a page, `make` gives the module to be filled, and what it is a part of.

        Raises `ArtifactError` where the file is torn, altered, or of another kind.
        """
        try:
            with safe_open(path, framework="pt") as file:
                page = json.loads((file.metadata() or {}).get("amity", "{}"))
                if page.get("format") != self.format:
                    raise self._error(path, f"its format is {page.get('format')!r}, not {self.format!r}")
                module, whole = make(page)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except _UNREADABLE as error:
            raise self._error(path, f"it cannot be read ({error})") from error
        wrong = _differing(module.state_dict(), tensors)
        if wrong:
            what = f"the tensors {', '.join(wrong)} are missing, or are not those its settings call for"
            raise self._error(path, what)
        module.load_state_dict(tensors)
        return whole

    def _error(self, path: Path, found: str) -> ArtifactError:
        return ArtifactError(f"{path} is not a {self.called} that can be used: {found}. {self.remedy}")


def _differing(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that are not in both, or are of other shapes or types."""
    wanted, there = ({name: (one.shape, one.dtype) for name, one in tensors.items()} for tensors in (expected, found))
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
