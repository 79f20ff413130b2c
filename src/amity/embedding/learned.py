"""What was learned, as it is written: of every node its vector; of those who ask, with what, and how likely."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor

from amity.embedding.states import Rows
from amity.embedding.vectors import Embeddings
from amity.encoder.asking import AskingEncoder


@dataclass(frozen=True, slots=True)
class Learned:
    """The learned columns of embeddings, while they are filled."""

    encoder: AskingEncoder
    vectors: Rows
    """A row for each node."""
    asking: tuple[Rows, ...] = ()
    """For each cluster, a row for each node that asks; none without prompts."""
    intent: Float32[ndarray, "queries clusters"] | None = None
    """How likely each cluster is; absent where nothing has learned it."""
    queries: range = range(0)
    """The rows of the graph that ask."""

    @classmethod
    def of(cls, encoder: AskingEncoder, made: Embeddings) -> "Learned":
        """The first columns, as many as the encoder gives."""
        asking = () if made.asking is None else tuple(Rows(one[:, : encoder.dim], _nothing) for one in made.asking)
        queries = range(*made.graph.queries.rows.indices(made.graph.num_nodes))
        return cls(encoder, Rows(made.vectors[:, : encoder.dim], _nothing), asking, made.intent, queries)

    @classmethod
    def of_queries(cls, encoder: AskingEncoder, count: int) -> "Learned":
        """Room in memory for so many nodes that ask."""
        shape = count, encoder.dim
        asking = tuple(Rows(np.empty(shape, np.float32), _nothing) for _ in range(encoder.num_asked))
        intent = np.empty((count, encoder.num_intended), np.float32) if encoder.num_intended else None
        return cls(encoder, Rows(np.empty(shape, np.float32), _nothing), asking, intent, range(count))

    @torch.no_grad()
    def write(self, first: int, codes: Float[Tensor, "chunk dim"], degrees: Float32[Tensor, "chunk"]) -> None:
        """Write all that follows from the codes of the nodes from `first` on."""
        encoder = self.encoder
        codes, degrees = codes.to(encoder.device), degrees.to(encoder.device)
        self.vectors.write(first, first + len(codes), encoder.stretch(encoder.scale(codes), degrees).cpu())
        inside, places = self._asking_among(first, len(codes))
        if not len(places):
            return
        codes, degrees = codes[inside], degrees[inside]
        if encoder.head is not None:
            for rows, asked in zip(self.asking, encoder.ask(codes), strict=True):
                rows.write(places.start, places.stop, encoder.stretch(asked, degrees).cpu())
        if self.intent is not None and encoder.intent is not None:
            self.intent[places.start : places.stop] = encoder.intent(codes).softmax(1).numpy(force=True)

    def mix(self, first: int, heard: Float[Tensor, "chunk dim"], *, share: float) -> None:
        """Mix what is written of the nodes from `first` on with what they heard: v ← (1 - share) v + share heard."""
        _mix(self.vectors, first, heard, share)
        inside, places = self._asking_among(first, len(heard))
        for rows in self.asking:
            _mix(rows, places.start, heard[inside], share)

    def _asking_among(self, first: int, count: int) -> tuple[slice, range]:
        """Which of so many nodes ask, and their places among all who do."""
        start = max(first, self.queries.start)
        stop = max(min(first + count, self.queries.stop), start)
        return slice(start - first, stop - first), range(start - self.queries.start, stop - self.queries.start)


def _mix(rows: Rows, first: int, heard: Float[Tensor, "chunk dim"], share: float) -> None:
    last = first + len(heard)
    rows.write(first, last, (1 - share) * rows.read(first, last) + share * heard)


def _nothing() -> None:
    pass
