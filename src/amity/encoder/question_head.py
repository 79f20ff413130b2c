"""The prompts behind an encoder, apart from it: what makes questions of codes, in a small file of its own."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from amity.encoder.asking import AskingEncoder, scale
from amity.encoder.config import EncoderConfig
from amity.encoder.prompts import PromptedHead, PromptedInputs, make_prompts
from amity.encoder.saving import FileKind

FORMAT = "amity head 1"
FILE = FileKind(FORMAT, "head", "Embed again, or copy it from where it was whole.")


@dataclass(frozen=True, slots=True)
class QuestionHead:
    """Prompts behind an encoder, as they were when it embedded; on the CPU."""

    config: EncoderConfig
    """The settings of that encoder."""
    clusters: int
    """How many clusters are asked."""
    prompts: PromptedHead

    @classmethod
    def of(cls, encoder: AskingEncoder) -> "QuestionHead | None":
        """A copy of the prompts behind an encoder; none where there are none."""
        if encoder.head is None:
            return None
        return cls(encoder.config, encoder.division.clusters, copy.deepcopy(encoder.head).cpu())

    def save(self, path: Path) -> None:
        """Write one safetensors file; settings and number of clusters stand in its header as JSON."""
        page = {"encoder": self.config.model_dump(mode="json"), "clusters": self.clusters}
        FILE.save(path, self.prompts, page)

    @classmethod
    def open(cls, path: Path) -> "QuestionHead":
        """Read a file that `save` wrote; `ArtifactError` where it is torn, altered, or not a head."""
        return FILE.open(path, _head_of)

    @torch.no_grad()
    def differences(
        self, codes: Float[Tensor, "queries dim"], clusters: slice
    ) -> Float[Tensor, "clusters queries dim"]:
        """How the head's scaled answers differ from the scaled codes h: s(e^(k)) - s(h)."""
        return scale(self.prompts(codes, clusters), self.config) - scale(codes, self.config)


def _head_of(page: Mapping[str, Any]) -> tuple[PromptedHead, QuestionHead]:
    config, clusters = EncoderConfig.model_validate(page["encoder"]), page["clusters"]
    prompts = make_prompts(config.prompts, clusters=clusters, dim=config.dim, generator=Generator())
    if prompts is None or isinstance(prompts, PromptedInputs):
        raise ValueError("its settings call for no prompts behind an encoder")
    return prompts, QuestionHead(config, clusters, prompts)
