"""With what clusters are asked: with the vectors, with questions as they are stored, or with those made of codes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor

from amity.embedding.states import Rows
from amity.encoder.question_head import QuestionHead


@dataclass(frozen=True, slots=True)
class PromptedCodes:
    """A code of each node that asks, and the head that makes questions of it, which alone grows with the clusters."""

    codes: Float[ndarray, "queries dim"]
    """What the head is told, in single or half precision; may be memory-mapped."""
    lengths: Float32[ndarray, "queries"]
    """λ, by what the difference that the head makes is multiplied: as the vector is stretched, less the share of a
    message pass."""
    head: QuestionHead

    def __len__(self) -> int:
        """How many clusters are asked."""
        return self.head.clusters

    def write(self, places: range, codes: Float[Tensor, "some dim"], lengths: Float32[Tensor, "some"]) -> None:
        """Write codes and lengths at some places."""
        Rows(self.codes).write(places.start, places.stop, codes.cpu())
        self.lengths[places.start : places.stop] = lengths.cpu()

    def ask(
        self, vectors: Float[ndarray, "some width"], places: Int64[ndarray, "some"], clusters: range
    ) -> Float32[ndarray, "clusters some width"]:
        """The questions of those at some places, who have these vectors v, to some clusters.

            q^(k) = v + λ (s(e^(k)) - s(h)),  e^(k) the head's answer to the code h, s(h) scaled

        That holds with a message pass too: v is then (1 - share) stretch s(h) + share heard, and λ (1 - share) stretch.
        Columns beyond the code's, of eigenvectors, are those of v.
        """
        codes = torch.from_numpy(self.codes[places].astype(np.float32))
        differences = self.head.differences(codes, slice(clusters.start, clusters.stop))
        differences *= torch.from_numpy(self.lengths[places])[:, None]
        asked = np.repeat(vectors[None].astype(np.float32), len(clusters), axis=0)
        asked[..., : codes.shape[1]] += differences.numpy()
        return asked


Asking = Float[ndarray, "clusters queries dim"] | PromptedCodes
"""Questions as they are stored, or what makes them."""


def ask_clusters(
    asking: Asking | None, vectors: Float[ndarray, "some dim"], places: Int64[ndarray, "some"], clusters: range
) -> tuple[Float[ndarray, "some dim"], ...]:
    """The questions of those at some places, who have these vectors, to each of some clusters."""
    if asking is None:
        return (vectors,) * len(clusters)
    if isinstance(asking, PromptedCodes):
        return tuple(asking.ask(vectors, places, clusters))
    return tuple(asking[cluster, places] for cluster in clusters)
