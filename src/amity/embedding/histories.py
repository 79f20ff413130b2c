"""Vectors by histories: those who ask are told by what they took, the candidates by their own vectors."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor

from amity.embedding.learned import Learned
from amity.embedding.states import Rows
from amity.encoder import Model, SequenceEncoder
from amity.encoder.sequence_encoder import check_items
from amity.graph import Graph
from amity.log import Progress
from amity.sampling import Histories

HISTORIES = 256
"""So many are computed at once."""


def embed_nodes(
    model: Model, graph: Graph, histories: Histories, nodes: Int64[ndarray, "nodes"]
) -> Float32[ndarray, "nodes dim"]:
    """The vectors of some nodes: of one who asks the state after the history, of a candidate its own; else zero.

    Raises `DataError` where the candidates are not those that the model was trained on.
    """
    encoder, queries = model.encoder, graph.queries
    assert isinstance(encoder, SequenceEncoder)
    vectors = _of_candidates(model, graph, nodes)
    asking = np.flatnonzero((nodes >= queries.first) & (nodes < queries.first + queries.count))
    codes = codes_after(encoder, histories, nodes[asking] - queries.first)
    codes = codes if encoder.pooling is None else codes.mean(1)
    vectors[asking] = encoder.scale(codes).numpy(force=True)
    return vectors


@torch.no_grad()
def codes_after(
    encoder: SequenceEncoder, histories: Histories, queries: Int64[ndarray, "queries"], *, cluster: int | None = None
) -> Float[Tensor, "queries *interests dim"]:
    """The codes of some who ask, counted among all who do: the states after their histories, or their interests.

    With a cluster they are prompted for it at the inputs, if prompts are there.
    """
    device, length = encoder.device, encoder.config.sequence.length
    interests = (encoder.num_asked,) if encoder.pooling is not None else ()
    codes = torch.zeros(len(queries), *interests, encoder.dim)
    order = np.argsort(histories.lengths()[queries], kind="stable")
    for first in range(0, len(order), HISTORIES):
        places = order[first : first + HISTORIES]
        latest = histories.latest(queries[places], length - 1)
        taken = int(np.count_nonzero((latest >= 0).any(0)))
        items = np.concatenate([np.full((len(places), 1), -1), latest[:, length - 1 - taken :]], axis=1)
        clusters = None if cluster is None else torch.full((len(places),), cluster, device=device)
        last = torch.full((len(places), 1), taken, device=device)
        reached = encoder.reach(torch.from_numpy(items).to(device), last, clusters=clusters)
        codes[torch.from_numpy(places)] = reached[:, 0].cpu()
    return codes


def ask_after(
    encoder: SequenceEncoder, learned: Learned, histories: Histories, queries: Int64[ndarray, "queries"], *, first: int
) -> None:
    """Fill what follows from the histories of some who ask, counted among all who do, from row `first` on.

    With prompts at the inputs that is a pass of the encoder for each cluster. The vector of a user with interests is
    their mean.
    """
    codes, place = codes_after(encoder, histories, queries), first - learned.queries.start
    learned.write(first, codes if encoder.pooling is None else codes.mean(1), torch.ones(len(queries)))
    for number, rows in enumerate(learned.asking if isinstance(learned.asking, ndarray) else ()):
        interested = encoder.pooling is not None
        asked = codes[:, number] if interested else codes_after(encoder, histories, queries, cluster=number)
        Rows(rows).write(place, place + len(queries), encoder.scale(asked))


@torch.no_grad()
def fill_from_histories(model: Model, graph: Graph, learned: Learned, histories: Histories, chunk: int) -> None:
    """Fill what embedding makes of all nodes, so many at once."""
    encoder, asking = model.encoder, learned.queries
    assert isinstance(encoder, SequenceEncoder)
    with Progress("embed", total=graph.num_nodes) as progress:
        for first in range(0, graph.num_nodes, chunk):
            nodes = np.arange(first, min(first + chunk, graph.num_nodes))
            learned.vectors.write(first, first + len(nodes), torch.from_numpy(_of_candidates(model, graph, nodes)))
            progress.advance(len(nodes))
        for first in range(0, len(asking), chunk):
            queries = np.arange(first, min(first + chunk, len(asking)))
            ask_after(encoder, learned, histories, queries, first=asking.start + first)


@torch.no_grad()
def _of_candidates(model: Model, graph: Graph, nodes: Int64[ndarray, "nodes"]) -> Float32[ndarray, "nodes dim"]:
    """The vectors of those nodes that are candidates; else zero."""
    encoder, candidates = model.encoder, graph.candidates
    assert isinstance(encoder, SequenceEncoder)
    check_items(model.transform, graph)
    device, vectors = encoder.device, np.zeros((len(nodes), encoder.dim), np.float32)
    found = np.flatnonzero((nodes >= candidates.first) & (nodes < candidates.first + candidates.count))
    items = torch.from_numpy(nodes[found] - candidates.first).to(device)
    degrees = torch.from_numpy(graph.messages.degrees_of(nodes[found]).astype(np.float32)).to(device)
    vectors[found] = encoder.stretch(encoder.vectors_of(items), degrees).numpy(force=True)
    return vectors
