"""Vectors by histories: those who ask are told by what they took, the candidates by their own vectors."""

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

from amity.embedding.states import Rows
from amity.encoder import Model, SequenceEncoder
from amity.encoder.sequence_encoder import check_items
from amity.graph import Graph
from amity.log import Progress
from amity.sampling import Histories

HISTORIES = 256
"""So many are computed at once."""


@torch.no_grad()
def embed_nodes(
    model: Model, graph: Graph, histories: Histories, nodes: Int64[ndarray, "nodes"]
) -> Float32[ndarray, "nodes dim"]:
    """The vectors of some nodes: of one who asks the state after the history, of a candidate its own; else zero.

    Raises `DataError` where the candidates are not those that the model was trained on.
    """
    encoder, queries, candidates = model.encoder, graph.queries, graph.candidates
    assert isinstance(encoder, SequenceEncoder)
    check_items(model.transform, graph)
    device, length = encoder.positions.device, encoder.config.sequence.length
    vectors = np.zeros((len(nodes), encoder.dim), np.float32)
    asking = np.flatnonzero((nodes >= queries.first) & (nodes < queries.first + queries.count))
    asking = asking[np.argsort(histories.lengths()[nodes[asking] - queries.first], kind="stable")]
    for first in range(0, len(asking), HISTORIES):
        places = asking[first : first + HISTORIES]
        latest = histories.latest(nodes[places] - queries.first, length - 1)
        taken = np.count_nonzero((latest >= 0).any(0))
        items = np.concatenate([np.full((len(places), 1), -1), latest[:, length - 1 - taken :]], axis=1)
        vectors[places] = encoder.encode(torch.from_numpy(items).to(device))[:, -1].numpy(force=True)
    found = np.flatnonzero((nodes >= candidates.first) & (nodes < candidates.first + candidates.count))
    items = torch.from_numpy(nodes[found] - candidates.first).to(device)
    degrees = torch.from_numpy(graph.messages.degrees_of(nodes[found]).astype(np.float32)).to(device)
    vectors[found] = encoder.stretch(encoder.vectors_of(items), degrees).numpy(force=True)
    return vectors


def fill_from_histories(model: Model, graph: Graph, vectors: Rows, histories: Histories, chunk: int) -> None:
    """Fill `vectors` with those of all nodes, so many at once."""
    with Progress("embed", total=graph.num_nodes) as progress:
        for first in range(0, graph.num_nodes, chunk):
            nodes = np.arange(first, min(first + chunk, graph.num_nodes))
            vectors.write(first, first + len(nodes), torch.from_numpy(embed_nodes(model, graph, histories, nodes)))
            progress.advance(len(nodes))
