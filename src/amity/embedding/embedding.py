"""The whole graph, layer by layer: every node hears from all its neighbours, and no neighbourhood is computed twice."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import elu

from amity.clustering import Clusters
from amity.embedding.histories import fill_from_histories
from amity.embedding.learned import Learned
from amity.embedding.message_pass import pass_messages
from amity.embedding.propagation import DevicePropagation, KernelPropagation, Propagation
from amity.embedding.questions import PromptedCodes
from amity.embedding.spectral import AnySpectrum, SpectralConfig, find_spectrum, rms_length
from amity.embedding.states import Rows, Storage, forget
from amity.embedding.vectors import Embeddings, allot, open_embeddings
from amity.encoder import GraphEncoder, InputSource, Model, SequenceEncoder
from amity.encoder.densification import DensificationConfig, densify
from amity.encoder.graph_encoder import GraphLayer
from amity.errors import ConfigError
from amity.graph import Adjacency, Graph, NodeKind
from amity.log import Progress
from amity.sampling import Histories, histories_of
from amity.section import Section


class EmbeddingConfig(Section):
    """How the whole graph is embedded."""

    chunk: PositiveInt = 16_384
    """Nodes computed at once; time hardly changes."""
    memory_gib: PositiveFloat = 4.0
    """Memory for the states of all nodes between two layers; where they need more, they lie in mapped files."""
    precision: Literal["single", "half"] = "single"
    """How vectors, the codes that prompts make questions of, and states between two layers are stored: half takes half
    the room. Sums are always single, and so are those questions."""
    message_pass: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of what friends say in a finished vector: one more message pass, without training; 0 leaves it out."""
    heard_power: float = -0.5
    """Power of a node's degree by which the sum of what its friends say in that pass is scaled."""
    sent_power: float = -0.5
    """Power of a friend's degree by which what it says in that pass is scaled."""
    densification: DensificationConfig = DensificationConfig()
    """Whom nodes with few neighbours hear beside them; no other stage knows of it."""
    spectral: SpectralConfig = SpectralConfig()
    """What the graph's eigenvectors say, beside what was learned."""
    parquet: bool = False
    """Whether to write, beside `vectors.npy`, a Parquet table (id, vector) for each kind of node."""


@dataclass(frozen=True, slots=True)
class AtHand:
    """What embedding need not compute for itself."""

    spectrum: AnySpectrum | None = None
    """The leading eigenvectors of the graph's messages, or those of each cluster."""
    clusters: Clusters | None = None
    """How the candidates are divided."""
    histories: Histories | None = None
    """What those who ask have taken, be it more than the graph's own edges."""


def embed_graph(
    model: Model,
    graph: Graph,
    directory: Path | None = None,
    config: EmbeddingConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    at_hand: AtHand | None = None,
) -> Embeddings:
    """Embed every node of `graph` with all its neighbours at every layer: sampling with infinite fan-out.

    One layer is computed for all nodes before the next, so the cost is linear in the edges. With a directory, the
    vectors are written to `vectors.npy`, and states beyond `memory_gib` to scratch files beside it: at most two at a
    time (three where more than two layers of attention with residuals are averaged). Without one, everything stays
    in memory. What was learned does not depend on threads, and on the chunk by no more than rounding.

    Where `spectral.share` and `spectral.power` are given, numbers follow that only eigenvectors decide, those of the
    graph or of each cluster (computed here unless they are at hand, and in memory): inner products become learned +
    share x spectral. They are the same in what every cluster is asked with.

    A sequence encoder passes no messages: who asks is told by the histories at hand, or those of the graph's own edges.
    A model with prompts behind the encoder gives the codes of those who ask (`codes.npy`, `lengths.npy`) and the head
    that makes questions of them (`head.safetensors`), one with prompts at the inputs or with interests the questions
    (`asking.npy`), one that has learned intent how likely each cluster is (`intent.npy`): see `Embeddings`. Raises
    `ConfigError` where a sequence encoder is to pass messages, and where there are no clusters to find eigenvectors of.
    """
    config, at_hand, encoder = config or EmbeddingConfig(), at_hand or AtHand(), model.encoder
    fill = _filler(model, graph, config, torch.device(device), at_hand.histories)
    beside = _spectral_rows(graph, config.spectral, at_hand)
    shape, width = (graph.num_nodes, encoder.dim), encoder.dim + beside.shape[1]
    dtype = np.float16 if config.precision == "half" else np.float32
    with _scratch_in(directory) as scratch:
        fits = _SCRATCH * shape[0] * shape[1] * np.dtype(dtype).itemsize <= config.memory_gib * 2**30
        storage = Storage(None if fits or scratch is None else Path(scratch), shape, dtype)
        made = allot(encoder, graph, directory, width=width, dtype=dtype)
        fill(Learned.of(encoder, made), storage)
        _stand_beside(made, beside, config.spectral)
    if directory is None:
        return made
    _flush(made)
    embeddings = open_embeddings(directory, graph)
    if config.parquet:
        for kind in graph.kinds:
            _write_parquet(embeddings.vectors, kind, directory / f"{kind.name}.parquet", config.chunk)
    return embeddings


_SCRATCH = 3
"""Most arrays of states that there ever are beside the vectors."""


Fill = Callable[[Learned, Storage], None]
"""Fills the rows with what was learned."""


def _filler(
    model: Model, graph: Graph, config: EmbeddingConfig, device: torch.device, histories: Histories | None
) -> Fill:
    encoder = model.encoder
    if isinstance(encoder, SequenceEncoder):
        refuse_messages(config)
        told, there = histories or histories_of(graph), replace(model, encoder=copy.deepcopy(encoder).to(device))
        return lambda learned, _: fill_from_histories(there, graph, learned, told, config.chunk)
    means = _prepare(encoder, densify(graph, model.transform, config.densification), device)

    def fill(learned: Learned, storage: Storage) -> None:
        fill_vectors(model, graph, learned, storage, config.chunk, means)
        if config.message_pass:
            powers = config.heard_power, config.sent_power
            pass_messages(graph, learned, storage, share=config.message_pass, powers=powers, chunk=config.chunk)

    return fill


def _spectral_rows(graph: Graph, config: SpectralConfig, at_hand: AtHand) -> Float32[ndarray, "nodes spectral"]:
    if "auto" in (config.power, config.share) or not config.wanted:
        return np.empty((graph.num_nodes, 0), np.float32)
    return (at_hand.spectrum or find_spectrum(graph, config, at_hand.clusters)).rows(float(config.power))


def refuse_messages(config: EmbeddingConfig) -> None:
    """Raise `ConfigError` for messages, which those who are told by histories neither send nor hear."""
    asked = {
        "embedding.message_pass": config.message_pass,
        "embedding.densification.neighbors": config.densification.neighbors,
    }
    for name, value in asked.items():
        if value:
            raise ConfigError(
                f"A sequence encoder passes no messages, but `{name}` is {value:g}. Set it to 0, or `encoder.kind` to "
                '"graph".'
            )


def _stand_beside(made: Embeddings, beside: Float32[ndarray, "nodes spectral"], config: SpectralConfig) -> None:
    """Fill the last columns, whose inner products are to weigh `share` times as much as those of the others."""
    if not beside.shape[1]:
        return
    dim = made.vectors.shape[1] - beside.shape[1]
    length = rms_length(made.vectors[:, :dim]) * float(config.share) ** 0.5
    Rows(made.vectors[:, dim:]).write(0, len(made.vectors), torch.from_numpy(beside) * length)
    for asked in made.asking if isinstance(made.asking, ndarray) else ():
        asked[:, dim:] = made.vectors[made.graph.queries.rows, dim:]


@torch.no_grad()
def fill_vectors(
    model: Model, graph: Graph, learned: Learned, storage: Storage, chunk: int, means: tuple[list[Any], Propagation]
) -> None:
    """Fill the vectors: first with the sum of the states so far, in the last pass with what retrieval compares.

    `means` are the layers, and the way in which they are computed.
    """
    encoder, source = model.encoder, InputSource.of(model.transform, graph)
    assert isinstance(encoder, GraphEncoder)
    layers, way = means
    between = _Between(encoder, way, learned.vectors, storage)
    with Progress("embed", total=(len(layers) + 1) * graph.num_nodes) as progress:
        told = storage.new("told0")
        for first, last in _chunks(graph.num_nodes, chunk, progress):
            states = encoder.encode_inputs(source.gather(np.arange(first, last)).to(encoder.device)).cpu()
            between.keep(first, states, 0)
            told.write(first, last, way.tell(layers[0], states, first))
        for number, layer in enumerate(layers[:-1], 1):
            following = storage.new(f"told{number}")
            for first, last in _chunks(graph.num_nodes, chunk, progress):
                states = between.next(layer, told, first, last, number)
                between.keep(first, states, number)
                following.write(first, last, way.tell(layers[number], states, first))
                _forget_edges(graph, first, last)
            told.discard()
            told = following
        for first, last in _chunks(graph.num_nodes, chunk, progress):
            codes = between.codes(first, between.next(layers[-1], told, first, last, len(layers)))
            degrees = torch.from_numpy(np.diff(graph.messages.indptr[first : last + 1]).astype(np.float32))
            learned.write(first, codes, degrees)
            _forget_edges(graph, first, last)


def _prepare(encoder: GraphEncoder, messages: Adjacency, device: torch.device) -> tuple[list[Any], Propagation]:
    layers = encoder.layers if encoder.device == device else copy.deepcopy(encoder.layers).to(device)
    return list(layers), KernelPropagation(messages) if device.type == "cpu" else DevicePropagation(messages, device)


class _Between:
    """What of the states is kept between layers, in as few arrays as will do.

    With X_l the states after layer l and `combine` the mean, `vectors` holds Σ X_l so far. The residual of layer
    l + 1 needs X_l again: it is what nodes tell each other, or the whole of the sum while l = 0, or it is added to
    the sum in advance if l + 1 is the last layer; only between these it needs an array of its own.
    """

    def __init__(self, encoder: GraphEncoder, way: Propagation, vectors: Rows, storage: Storage) -> None:
        layer = cast("GraphLayer", encoder.layers[0])
        self._vectors, self._passes = vectors, len(encoder.layers)
        self._mean, self._told = encoder.config.combine == "mean", way.tells_states(layer) or not layer.residual
        self._way, self._advance = way, self._mean and not self._told
        self._own = storage.new("own") if self._advance and self._passes > 2 else vectors

    def keep(self, first: int, states: Float[Tensor, "chunk dim"], number: int) -> None:
        """Keep the states after `number` layers, which are not the last."""
        last = first + len(states)
        total = states if number == 0 or not self._mean else self._vectors.read(first, last) + states
        if self._advance and number == self._passes - 1:
            total = total + states
        elif self._own is not self._vectors and number:
            self._own.write(first, last, states)
        self._vectors.write(first, last, total)

    def next(self, layer: GraphLayer, told: Rows, first: int, last: int, number: int) -> Tensor:
        """The states after `number` layers; of the last one without a residual that was added in advance."""
        heard = self._way.hear(layer, told.array, first, last)
        heard = elu(heard) if layer.activation == "elu" else heard
        if not layer.residual or (self._advance and number == self._passes):
            return heard
        if self._told:
            return heard + told.read(first, last)
        return heard + (self._vectors if number == 1 else self._own).read(first, last)

    def codes(self, first: int, states: Float[Tensor, "chunk dim"]) -> Float[Tensor, "chunk dim"]:
        """The codes of nodes, from what is kept and their last states."""
        if not self._mean:
            return states
        return (self._vectors.read(first, first + len(states)) + states) / (self._passes + 1)


def _scratch_in(directory: Path | None) -> AbstractContextManager[str | None]:
    """A folder for states, in that of the vectors, where there is one."""
    if directory is None:
        return nullcontext()
    directory.mkdir(parents=True, exist_ok=True)
    return TemporaryDirectory(prefix=".states-", dir=directory)


def _flush(made: Embeddings) -> None:
    asking = made.asking
    asked = (asking.codes, asking.lengths) if isinstance(asking, PromptedCodes) else (asking,)
    for array in (made.vectors, *asked, made.intent):
        if isinstance(array, np.memmap):
            array.flush()


def _forget_edges(graph: Graph, first: int, last: int) -> None:
    indptr = graph.messages.indptr
    forget(graph.messages.indices[indptr[first] : indptr[last]])


def _chunks(nodes: int, chunk: int, progress: Progress) -> Iterator[tuple[int, int]]:
    for first in range(0, nodes, chunk):
        last = min(first + chunk, nodes)
        yield first, last
        progress.advance(last - first)


def _write_parquet(vectors: Float[ndarray, "nodes dim"], kind: NodeKind, path: Path, chunk: int) -> None:
    dim = vectors.shape[1]
    id_type = pa.int64() if kind.vocabulary.id_offsets is None else pa.string()
    schema = pa.schema([("id", id_type), ("vector", pa.list_(pa.float32(), dim))])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, kind.count, chunk):
            rows = range(first, min(first + chunk, kind.count))
            part = vectors[kind.first + rows.start : kind.first + rows.stop]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel().astype(np.float32)), dim)
            writer.write_table(pa.table([pa.array(kind.vocabulary.ids(rows), id_type), flat], schema=schema))
