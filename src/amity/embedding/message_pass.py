"""One more message pass over finished vectors, without parameters and without training (Ju et al., 2024)."""

import torch
from torch import Tensor

from amity.embedding.learned import Learned
from amity.embedding.states import Storage, forget
from amity.graph import Graph
from amity.graph.propagation import propagate


def pass_messages(
    graph: Graph, learned: Learned, storage: Storage, *, share: float, powers: tuple[float, float], chunk: int
) -> None:
    """Mix the vectors, in place, with what friends say: V ← (1 - share) V + share Dʰ A Dˢ V, powers (h, s).

    TAG-CF (arXiv 2404.08660), which averages both. D are degrees; where one is 0, the vector only shrinks. What
    clusters are asked with hears the same.
    """
    heard_power, sent_power = powers
    told, vectors = storage.new("told"), learned.vectors
    chunks = [(first, min(first + chunk, graph.num_nodes)) for first in range(0, graph.num_nodes, chunk)]
    for first, last in chunks:
        told.write(first, last, vectors.read(first, last) * _degrees(graph, first, last) ** sent_power)
    for first, last in chunks:
        heard = torch.from_numpy(propagate(graph.messages, told.array, first=first, last=last))
        heard *= _degrees(graph, first, last) ** heard_power
        learned.mix(first, heard, share=share)
        begin, end = graph.messages.indptr[first], graph.messages.indptr[last]
        forget(graph.messages.indices[begin:end])
    told.discard()


def _degrees(graph: Graph, first: int, last: int) -> Tensor:
    degrees = torch.from_numpy(graph.messages.indptr[first : last + 1].copy()).diff()
    return degrees.clamp(min=1).float()[:, None]
