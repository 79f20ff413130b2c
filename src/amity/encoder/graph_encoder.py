"""The encoder: inputs to vectors, by passing messages over the sampled block."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray
from torch import Generator, Tensor, nn
from torch.nn.functional import elu

from amity.encoder.aggregation import Edges, prefixes, weighted_sums
from amity.encoder.asking import AskingEncoder
from amity.encoder.config import EncoderConfig
from amity.encoder.features import FeatureTransform
from amity.encoder.inputs import Inputs
from amity.encoder.layers import GatLayer, LightGcnLayer, SageLayer
from amity.encoder.prompts import UNDIVIDED, Division
from amity.encoder.states import States, whole
from amity.errors import ConfigError
from amity.sampling.neighbors import Block

INPUT_SCALE = 0.1
"""Standard deviation of a node's first state, summed over its columns."""


class GraphEncoder(AskingEncoder):
    """Parameters that turn the inputs of nodes, and who hears whom, into vectors.

    The first state of a node is the sum of its tokens' vectors, of its numbers through a linear map, and of its own
    vector where ids are on. Each layer then adds what the node makes of its neighbours.
    """

    def __init__(
        self, config: EncoderConfig, transform: FeatureTransform, *, seed: int, division: Division = UNDIVIDED
    ) -> None:
        _check(config)
        super().__init__(config, division, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        dim, scale = config.dim, INPUT_SCALE / max(transform.num_columns, 1) ** 0.5
        self.tokens = _normal(transform.num_tokens, dim, scale, generator)
        self.numbers = _normal(transform.num_numbers, dim, scale / 2, generator)
        self.structure = _normal(transform.structure.width, dim, scale / 2, generator)
        self.ids = _id_table(transform, dim, generator) if transform.ids != "none" else None
        self.layers = nn.ModuleList(GraphLayer(config, generator) for _ in range(config.layers))

    def encode_inputs(self, inputs: Inputs, *, generator: Generator | None = None) -> Float[Tensor, "nodes dim"]:
        """The first states of nodes; with a generator, as in training, entries are dropped at random."""
        states = weighted_sums(
            self.tokens, inputs.weights[:, None].to(self.tokens.device), _token_edges(inputs, len(self.tokens))
        )
        for values, weights in ((inputs.dense, self.numbers), (inputs.structure, self.structure)):
            states = torch.addmm(states, values, weights) if len(weights) else states
        if generator is not None and self.config.dropout:
            states = drop_entries(states, rate=self.config.dropout, generator=generator)
        if self.ids is None:
            return states
        ids, rate = inputs.ids, self.config.features.id_dropout
        if generator is not None and rate:
            ids = drop_ids(ids, rate=rate, stranger=len(self.ids.weight) - 1, generator=generator)
        return states + self.ids(ids)

    @torch.no_grad()
    def forget_ids(self, nodes: Bool[ndarray, "nodes"]) -> None:
        """Make the vectors of their own zero for some nodes of the training graph, as for a stranger."""
        if self.ids is not None:
            self.ids.weight[:-1][torch.from_numpy(nodes)] = 0.0

    def propagate(
        self,
        first: States,
        edges: Sequence[Edges],
        *,
        perturb: Callable[[Tensor], Tensor] = lambda states: states,
    ) -> list[Float[Tensor, "seeds dim"]]:
        """The states of the last layer's targets: the first ones, then those after each layer, if asked perturbed.

        For the edges see `block_edges`.
        """
        reached = []
        sources, seeds = first, len(edges[-1].target_degrees)
        for layer, heard in zip(self.layers, edges, strict=True):
            values, targets, kept = prefixes(sources.values, len(heard.target_degrees), seeds)
            reached.append(kept)
            sources = whole(perturb(layer(targets, States(values, sources.times), heard)))
        return [*reached, sources.values]

    def blend(self, states: Sequence[Float[Tensor, "nodes dim"]]) -> Float[Tensor, "nodes dim"]:
        """One code from the states after each layer, before any scaling to unit length."""
        return sum(states[1:], states[0]) / len(states) if self.config.combine == "mean" else states[-1]


class GraphLayer(nn.Module):
    """One message pass with what stands around it: activation and residual."""

    def __init__(self, config: EncoderConfig, generator: Generator) -> None:
        super().__init__()
        identity = config.initialization == "identity"
        if config.layer == "gat":
            self.convolution = GatLayer(config.dim, heads=config.heads, identity=identity, generator=generator)
        elif config.layer == "sage":
            self.convolution = SageLayer(config.dim, identity=identity, generator=generator)
        else:
            self.convolution = LightGcnLayer()
        plain = config.layer == "lightgcn"
        self.residual = config.residual and not plain
        self.activation = "none" if plain else config.activation

    def forward(
        self, targets: Float[Tensor, "targets dim"], sources: States, edges: Edges
    ) -> Float[Tensor, "targets dim"]:
        """The next states of the targets, who are the first of the sources."""
        states = self.convolution(targets, sources, edges)
        states = elu(states) if self.activation == "elu" else states
        return states + targets if self.residual else states


def block_edges(block: Block, degrees: Float32[ndarray, "nodes"], *, reach: int = 0) -> list[Edges]:
    """Who hears whom at each layer, so that the last layer's targets are the nodes within `reach` hops of the seeds.

    Where the block ends, nodes are heard as long as their state is known: a layer's sources are the targets of the
    one before. With `reach` 0 that leaves nothing out, since each layer then computes one hop less. Targets are
    expanded nodes: a reach of L hops or more is cut to L - 1.
    """
    last = len(block.hops) - 2
    targets = [block.hops[min(reach + last - layer, last)] for layer in range(last + 1)]
    sources = [block.hops[-1], *targets[:-1]]
    return [edges_between(block, degrees, targets=t, sources=s) for t, s in zip(targets, sources, strict=True)]


def edges_between(block: Block, degrees: Float32[ndarray, "nodes"], *, targets: int, sources: int) -> Edges:
    """The edges of a block that lead from its first `sources` nodes to its first `targets` ones."""
    indptr, indices = block.indptr[: targets + 1], block.indices[: block.indptr[targets]]
    if sources < block.hops[-1]:
        heard = indices < sources
        indptr, indices = np.append(0, np.cumsum(heard))[indptr], indices[heard]
    return Edges(indptr, indices, degrees[:targets], degrees[:sources])


def drop_entries(
    states: Float[Tensor, "*nodes dim"], *, rate: float, generator: Generator
) -> Float[Tensor, "*nodes dim"]:
    """Dropout whose mask is drawn from a generator."""
    kept = torch.rand(states.shape, generator=generator) >= rate
    return states * kept.to(states.device) / (1 - rate)


def drop_ids(
    ids: Int64[Tensor, "nodes"], *, rate: float, stranger: int, generator: Generator
) -> Int64[Tensor, "nodes"]:
    """Ids of which a share, drawn from a generator, has become the stranger's."""
    dropped = torch.rand(ids.shape, generator=generator) < rate
    return ids.masked_fill(dropped.to(ids.device), stranger)


def _check(config: EncoderConfig) -> None:
    if config.layer == "gat" and config.dim % config.heads:
        raise ConfigError(
            "The heads of the attention share the width of the vectors between them, but "
            f"{config.dim} (`encoder.dim`) is no multiple of {config.heads} (`encoder.heads`). Choose a multiple."
        )
    if config.prompts.at == "inputs":
        raise ConfigError(
            "Prompts at the inputs would take a pass of the graph encoder for each cluster (`encoder.prompts.at` is "
            '"inputs"). Set it to "head".'
        )


def _normal(rows: int, dim: int, scale: float, generator: Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, dim, generator=generator) * scale)


def _id_table(transform: FeatureTransform, dim: int, generator: Generator) -> nn.Embedding:
    weights = torch.randn(transform.num_ids + 1, dim, generator=generator) * INPUT_SCALE
    weights[-1] = 0.0
    return nn.Embedding.from_pretrained(weights, freeze=False, padding_idx=transform.num_ids, sparse=True)


def _token_edges(inputs: Inputs, num_tokens: int) -> Edges:
    none = np.zeros(len(inputs.degrees), np.float32)
    return Edges(inputs.indptr.numpy(), inputs.tokens.numpy(), none, np.zeros(num_tokens, np.float32))
