"""Some nodes embedded from their sampled surroundings alone, where the whole graph would be too much."""

import torch
from jaxtyping import Float32, Int64
from numpy import ndarray
from torch import Tensor

from amity.embedding import embed_nodes
from amity.encoder import GraphEncoder, InputSource, Model, SequenceEncoder, block_edges
from amity.encoder.states import whole
from amity.sampling import histories_before, sample_neighbors
from amity.sampling.draws import keyed
from amity.splitting import Split

CHUNK = 1024
"""Nodes that are embedded at once, each with a sampled neighbourhood of its own."""
NEIGHBORS = 17
"""What the seed is used for here; lower numbers are sampling's and training's, and the pool's."""


@torch.no_grad()
def embed_sampled(
    model: Model, split: Split, nodes: Int64[ndarray, "nodes"], *, fanout: tuple[int, ...], seed: int
) -> Float32[ndarray, "nodes dim"]:
    """The vectors of some distinct nodes of the train graph, each from its sampled surroundings alone."""
    encoder = model.encoder
    if isinstance(encoder, SequenceEncoder):
        return embed_nodes(model, split.train, histories_before(split, split.valid), nodes)
    codes, degrees = codes_sampled(model, split, nodes, fanout=fanout, seed=seed)
    return encoder.stretch(encoder.scale(codes), degrees).numpy(force=True)


@torch.no_grad()
def codes_sampled(
    model: Model, split: Split, nodes: Int64[ndarray, "nodes"], *, fanout: tuple[int, ...], seed: int
) -> tuple[Float32[Tensor, "nodes dim"], Float32[Tensor, "nodes"]]:
    """The codes and the degrees of some distinct nodes of the train graph, where the encoder computes."""
    encoder, source = model.encoder, InputSource.of(model.transform, split.train)
    assert isinstance(encoder, GraphEncoder)
    device = encoder.device
    codes, degrees = torch.empty(len(nodes), encoder.dim, device=device), torch.empty(len(nodes), device=device)
    for first in range(0, len(nodes), CHUNK):
        seeds = nodes[first : first + CHUNK]
        key = int(keyed(seed, NEIGHBORS, 0))
        block = sample_neighbors(split.train.messages, seeds, fanout=fanout, seed=key)
        inputs = source.gather(block.nodes)
        states = whole(encoder.encode_inputs(inputs.to(device)))
        reached = encoder.propagate(states, block_edges(block, inputs.degrees.numpy()))
        codes[first : first + len(seeds)] = encoder.blend(reached)
        degrees[first : first + len(seeds)] = inputs.degrees[: len(seeds)].to(device)
    return codes, degrees
