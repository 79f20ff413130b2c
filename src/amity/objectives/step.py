"""What all objectives of a step share, each made once: a block, its first states, the retrieval pass, and two views."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray
from pydantic import Field, PositiveInt
from torch import Generator, Tensor
from torch.nn.functional import normalize

from amity.encoder import GraphEncoder, Inputs, block_edges
from amity.encoder.states import States, of_rows, whole, with_rows, without_columns
from amity.kernels import mix
from amity.sampling.batch import Batch
from amity.sampling.neighbors import Block
from amity.sampling.views import drop_edges, surroundings
from amity.section import Section


class ViewsConfig(Section):
    """How the auxiliary objectives look at a step, and how often: what they cost."""

    edge_drop: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the edges that each of two views loses."""
    feature_drop: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the columns of the first states that each of two views loses."""
    share: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of the step's queries and candidates that auxiliary objectives look at."""
    every: PositiveInt = 3
    """Auxiliary objectives are computed at every so-many-th step, with so many times their weight."""
    retrieval_is_first: bool = True
    """Whether the retrieval pass serves as the first of the two views; it loses what `[objectives.retrieval]` says."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to the retrieval pass; nothing by default."""

    edge_drop: float = 0.0
    feature_drop: float = 0.0
    noise: float = 0.0
    """The length of what is added to every state after every layer: see `perturb`."""


@dataclass(frozen=True, slots=True)
class View:
    """The same nodes with fewer edges and fewer columns."""

    block: Block
    """The surroundings of the roots."""
    dropped: Bool[Tensor, "dim"]
    """The columns of the first states that the view loses."""


@dataclass(frozen=True)
class Step:
    """A batch under an encoder; whatever two objectives need is computed once.

    All that is drawn is a function of the seed, and each use draws from a stream of its own, so that turning an
    objective off leaves the others' draws as they were.
    """

    encoder: GraphEncoder
    batch: Batch
    inputs: Inputs
    """Those of `batch.block.nodes`."""
    seed: int
    config: ViewsConfig
    augmentation: Augmentation = Augmentation()

    @cached_property
    def first(self) -> States:
        """The first states of the block's nodes."""
        return whole(self.encoder.encode_inputs(self.inputs, generator=self.generator("encoder")))

    @cached_property
    def reached(self) -> list[Float[Tensor, "seeds dim"]]:
        """The retrieval pass: the states of queries and candidates after each layer, the first states first."""
        drops, block, first = self.augmentation, self.batch.block, self.first
        if drops.edge_drop:
            block = drop_edges(block, rate=drops.edge_drop, seed=self.key("retrieval", "edges"))
        if drops.feature_drop:
            first = without_columns(first, self._columns(drops.feature_drop, "retrieval"))
        edges = block_edges(block, self.inputs.degrees.numpy())
        return self.encoder.propagate(first, edges, perturb=self._perturb())

    @cached_property
    def codes(self) -> Float[Tensor, "seeds dim"]:
        """The codes of queries and candidates in the retrieval pass."""
        return self.encoder.blend(self.reached)

    @cached_property
    def vectors(self) -> Float[Tensor, "seeds dim"]:
        """The vectors of queries and candidates that retrieval compares."""
        return self.encoder.scale(self.codes)

    @cached_property
    def asking(self) -> Float[Tensor, "prompts queries dim"]:
        """The vectors with which the queries of the rows ask each cluster: see `AskingEncoder.ask`."""
        queries = self.on_device(self.batch.queries)
        return self.vectors[queries][None] if self.encoder.head is None else self.encoder.ask(self.codes[queries])

    @cached_property
    def clusters(self) -> Int64[Tensor, "candidates"]:
        """The clusters of the columns."""
        return self.on_device(self.batch.clusters).long()

    @cached_property
    def roots(self) -> Int64[ndarray, "roots"]:
        """The seeds that auxiliary objectives look at, as positions in the block: evenly spread over them."""
        count = self.batch.block.hops[0]
        return np.unique(np.linspace(0, count - 1, max(1, round(count * self.config.share))).astype(np.int64))

    @cached_property
    def whole(self) -> View:
        """The surroundings of the roots as they are."""
        block = self.batch.block
        inner = block if len(self.roots) == block.hops[0] else surroundings(block, self.roots)
        return View(inner, torch.zeros(self.encoder.dim, dtype=torch.bool, device=self.first.values.device))

    @cached_property
    def degrees(self) -> Float32[ndarray, "inner"]:
        """How many friends the nodes around the roots have in the whole graph."""
        inner = self.whole.block
        return self.inputs.degrees.numpy() if inner is self.batch.block else self.inputs.degrees.numpy()[inner.nodes]

    @cached_property
    def around(self) -> States:
        """The first states of the nodes around the roots."""
        return self.within(self.first)

    @cached_property
    def masked(self) -> Int64[Tensor, "masked"]:
        """The roots that are queries, as positions among the nodes around the roots: those that are masked.

        Duplicates are not: nobody is around them from whom they could be restored.
        """
        queries = np.setdiff1d(self.batch.queries, self.batch.duplicates)
        return self.on_device(np.flatnonzero(np.isin(self.roots, queries)))

    @cached_property
    def views(self) -> tuple[View, View]:
        """Two views of the roots; the first loses nothing where the retrieval pass serves as it."""
        return self.whole if self.config.retrieval_is_first else self._view("first"), self._view("second")

    @cached_property
    def view_codes(self) -> tuple[Float[Tensor, "roots dim"], Float[Tensor, "roots dim"]]:
        """The codes of the roots in either view."""
        first, second = self.views
        seen = self.encode(second, self.encoder, self.around)
        if self.config.retrieval_is_first:
            return self.codes[self.on_device(self.roots)], seen
        return self.encode(first, self.encoder, self.around), seen

    def encode(self, view: View, encoder: GraphEncoder, around: States) -> Float[Tensor, "roots dim"]:
        """The codes that an encoder gives the roots of a view, from the first states of the nodes around them."""
        seen = without_columns(around, view.dropped) if view.dropped.any() else around
        return encoder.blend(encoder.propagate(seen, block_edges(view.block, self.degrees)))

    def dropped(self, rate: float, *names: str) -> Block:
        """The surroundings of the roots without a share of their edges."""
        return drop_edges(self.whole.block, rate=rate, seed=self.key(*names, "edges"))

    def propagate(self, block: Block, around: States, *, reach: int = 0) -> list[Tensor]:
        """The states of the roots after each layer, from the first states of the nodes around them."""
        return self.encoder.propagate(around, block_edges(block, self.degrees, reach=reach))

    def within(self, first: States) -> States:
        """Of the first states of the block's nodes, those of the nodes around the roots."""
        inner = self.whole.block
        return first if inner is self.batch.block else of_rows(first, self.on_device(inner.nodes))

    def hide(self, token: Float[Tensor, "dim"]) -> States:
        """The first states of the nodes around the roots, with a mask token in the place of the masked nodes'."""
        return with_rows(self.around, self.masked, token)

    def on_device(self, values: ndarray) -> Tensor:
        """An array as a tensor where the encoder computes."""
        return torch.from_numpy(values).to(self.first.values.device)

    def key(self, *names: str) -> int:
        """A non-negative seed of its own for each use."""
        return key_of(self.seed, *names)

    def generator(self, *names: str) -> Generator:
        """A generator of its own for each use."""
        return generator_of(self.seed, *names)

    def _view(self, name: str) -> View:
        return View(self.dropped(self.config.edge_drop, name), self._columns(self.config.feature_drop, name))

    def _columns(self, rate: float, *names: str) -> Bool[Tensor, "dim"]:
        """The columns that are dropped, the same ones for all nodes: the feature drop of CCA-SSG."""
        dropped = torch.rand(self.encoder.dim, generator=self.generator(*names, "features")) < rate
        return dropped.to(self.first.values.device)

    def _perturb(self) -> Callable[[Tensor], Tensor]:
        length, generator = self.augmentation.noise, self.generator("noise")
        return lambda states: perturb(states, length=length, generator=generator) if length else states


def perturb(states: Float[Tensor, "nodes dim"], *, length: float, generator: Generator) -> Float[Tensor, "nodes dim"]:
    """States with noise of that length in the orthant of each: e + ε sign(e) ⊙ ω / ‖ω‖, ω uniform in [0, 1).

    SimGCL and XSimGCL (Yu et al., 2022, arXiv 2112.08679 and 2209.02544).
    """
    noise = torch.rand(states.shape, generator=generator).to(states.device)
    return states + length * states.detach().sign() * normalize(noise, dim=1)


def generator_of(seed: int, *names: str) -> Generator:
    """A generator of its own for each use, from one seed for all."""
    return torch.Generator().manual_seed(key_of(seed, *names))


def key_of(seed: int, *names: str) -> int:
    """A non-negative seed of its own for each use, from one seed for all."""
    key = int(mix(seed))
    for byte in "/".join(names).encode():
        key = int(mix(key ^ byte))
    return key & 0x7FFFFFFFFFFFFFFF
