"""A trained encoder with all it needs to embed a graph, in one safetensors file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from amity.encoder.config import EncoderConfig
from amity.encoder.features import FeatureTransform, fit_features
from amity.encoder.graph_encoder import GraphEncoder
from amity.encoder.prompts import UNDIVIDED, Division
from amity.encoder.sequence_encoder import SequenceEncoder, fit_items
from amity.errors import ArtifactError
from amity.graph import Graph

FORMAT = "amity model 1"

Encoder = GraphEncoder | SequenceEncoder
ENCODERS: dict[str, type[Encoder]] = {"graph": GraphEncoder, "sequence": SequenceEncoder}
"""By `encoder.kind`."""


@dataclass(frozen=True, slots=True)
class Model:
    """An encoder, and the transform that makes its inputs."""

    encoder: Encoder
    """The parameters."""
    transform: FeatureTransform
    """How the columns of a graph become inputs; of a sequence encoder, which candidates have vectors."""

    def save(self, path: Path) -> None:
        """Write one safetensors file; settings, transform and number of clusters stand in its header as JSON."""
        page = {
            "format": FORMAT,
            "encoder": self.encoder.config.model_dump(mode="json"),
            "transform": self.transform.model_dump(mode="json"),
            "division": asdict(self.encoder.division),
        }
        tensors = {name: value.contiguous() for name, value in self.encoder.state_dict().items()}
        save_file(tensors, path, {"amity": json.dumps(page, ensure_ascii=False)})
        path.chmod(0o644)  # safetensors lets its owner alone read it, but who serves it may be another.

    @classmethod
    def open(cls, path: Path) -> "Model":
        """Read a file that `save` wrote; `ArtifactError` where it is torn, altered, or not a model."""
        try:
            with safe_open(path, framework="pt") as file:
                page = json.loads((file.metadata() or {}).get("amity", "{}"))
                if page.get("format") != FORMAT:
                    raise ArtifactError(_message(path, f"its format is {page.get('format')!r}, not {FORMAT!r}"))
                config = EncoderConfig.model_validate(page["encoder"])
                transform = FeatureTransform.model_validate(page["transform"])
                division = Division(**page.get("division", {}))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError, ValidationError, TypeError) as error:
            raise ArtifactError(_message(path, f"it cannot be read ({error})")) from error
        encoder = ENCODERS[config.kind](config, transform, seed=0, division=division)
        _check(encoder, tensors, path)
        encoder.load_state_dict(tensors)
        return cls(encoder, transform)


def build_model(graph: Graph, config: EncoderConfig, *, seed: int, division: Division = UNDIVIDED) -> Model:
    """An untrained model for a graph: its transform fitted, its parameters drawn from `seed`.

    Nobody without an edge has a learned vector of its own: nothing would ever be learned of its friends, so that it
    would be noise beside the features.
    """
    if config.kind == "sequence":
        items = fit_items(graph)
        return Model(SequenceEncoder(config, items, seed=seed, division=division), items)
    transform = fit_features(graph, config.features)
    encoder = GraphEncoder(config, transform, seed=seed, division=division)
    if transform.ids == "learned":
        encoder.forget_ids(graph.isolated())
    return Model(encoder, transform)


def _check(encoder: Encoder, tensors: dict[str, torch.Tensor], path: Path) -> None:
    expected = {name: (value.shape, value.dtype) for name, value in encoder.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise ArtifactError(
            _message(path, f"the tensors {', '.join(wrong)} are missing, or are not those its settings call for")
        )


def _message(path: Path, found: str) -> str:
    return f"{path} is not a model that can be used: {found}. Train again, or copy it from where it was whole."
