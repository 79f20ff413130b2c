"""What was learned, as it is written: of every node its vector; of those who ask, with what, and how likely."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor

from amity.embedding.questions import Asking, PromptedCodes, ask_clusters
from amity.embedding.states import Rows
from amity.embedding.vectors import Embeddings, allot_asking
from amity.encoder.asking import AskingEncoder


@dataclass(frozen=True, slots=True)
class Learned:
    """The learned columns of embeddings, while they are filled."""

    encoder: AskingEncoder
    vectors: Rows
    """A row for each node."""
    asking: Asking | None = None
    """With what each node that asks does so; absent where that is its vector."""
    intent: Float32[ndarray, "queries clusters"] | None = None
    """How likely each cluster is; absent where nothing has learned it."""
    queries: range = range(0)
    """The rows of the graph that ask."""

    @classmethod
    def of(cls, encoder: AskingEncoder, made: Embeddings) -> "Learned":
        """The first columns, as many as the encoder gives."""
        asking = made.asking[..., : encoder.dim] if isinstance(made.asking, ndarray) else made.asking
        queries = range(*made.graph.queries.rows.indices(made.graph.num_nodes))
        return cls(encoder, Rows(made.vectors[:, : encoder.dim]), asking, made.intent, queries)

    @classmethod
    def of_queries(cls, encoder: AskingEncoder, count: int) -> "Learned":
        """Room in memory for so many nodes that ask."""
        asking = allot_asking(encoder, count, None, width=encoder.dim, dtype=np.float32)
        intent = np.empty((count, encoder.num_intended), np.float32) if encoder.num_intended else None
        return cls(encoder, Rows(np.empty((count, encoder.dim), np.float32)), asking, intent, range(count))

    @torch.no_grad()
    def write(self, first: int, codes: Float[Tensor, "chunk dim"], degrees: Float32[Tensor, "chunk"]) -> None:
        """Write all that follows from the codes of the nodes from `first` on."""
        encoder = self.encoder
        codes, degrees = codes.to(encoder.device), degrees.to(encoder.device)
        self.vectors.write(first, first + len(codes), encoder.stretch(encoder.scale(codes), degrees).cpu())
        inside, places = self._asking_among(first, len(codes))
        if not len(places):
            return
        codes = codes[inside]
        if isinstance(self.asking, PromptedCodes):
            self.asking.write(places, codes, encoder.stretches(degrees[inside]))
        if self.intent is not None and encoder.intent is not None:
            self.intent[places.start : places.stop] = encoder.intent(codes).softmax(1).numpy(force=True)

    def mix(self, first: int, heard: Float[Tensor, "chunk dim"], *, share: float) -> None:
        """Mix what is written of the nodes from `first` on with what they heard: v ← (1 - share) v + share heard."""
        last = first + len(heard)
        self.vectors.write(first, last, (1 - share) * self.vectors.read(first, last) + share * heard)
        _, places = self._asking_among(first, len(heard))
        if isinstance(self.asking, PromptedCodes):
            self.asking.lengths[places.start : places.stop] *= 1 - share

    def asked_each(self, *, clusters: int) -> tuple[Float[ndarray, "queries dim"], ...]:
        """The vectors with which all who ask ask each of so many clusters."""
        vectors = self.vectors.array[self.queries.start : self.queries.stop]
        return ask_clusters(self.asking, vectors, np.arange(len(self.queries)), range(clusters))

    def _asking_among(self, first: int, count: int) -> tuple[slice, range]:
        """Which of so many nodes ask, and their places among all who do."""
        start = max(first, self.queries.start)
        stop = max(min(first + count, self.queries.stop), start)
        return slice(start - first, stop - first), range(start - self.queries.start, stop - self.queries.start)
