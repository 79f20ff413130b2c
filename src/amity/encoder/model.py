"""A trained encoder with all it needs to embed a graph, in one safetensors file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amity.encoder.config import EncoderConfig
from amity.encoder.features import FeatureTransform, fit_features
from amity.encoder.graph_encoder import GraphEncoder
from amity.encoder.prompts import UNDIVIDED, Division
from amity.encoder.saving import FileKind
from amity.encoder.sequence_encoder import SequenceEncoder, fit_items
from amity.graph import Graph

FORMAT = "amity model 1"
FILE = FileKind(FORMAT, "model", "Train again, or copy it from where it was whole.")

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
            "encoder": self.encoder.config.model_dump(mode="json"),
            "transform": self.transform.model_dump(mode="json"),
            "division": asdict(self.encoder.division),
        }
        FILE.save(path, self.encoder, page)

    @classmethod
    def open(cls, path: Path) -> "Model":
        """Read a file that `save` wrote; `ArtifactError` where it is torn, altered, or not a model."""
        return FILE.open(path, _model_of)


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


def _model_of(page: Mapping[str, Any]) -> tuple[Encoder, Model]:
    config = EncoderConfig.model_validate(page["encoder"])
    transform = FeatureTransform.model_validate(page["transform"])
    division = Division(**page.get("division", {}))
    encoder = ENCODERS[config.kind](config, transform, seed=0, division=division)
    return encoder, Model(encoder, transform)
