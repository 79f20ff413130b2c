"""The whole graph, layer by layer: every node hears from all its neighbours, and no neighbourhood is computed twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray
from numpy.lib.format import open_memmap
from pydantic import PositiveInt

from amity.encoder import InputSource, Model, block_edges
from amity.errors import ArtifactError
from amity.graph import Graph, NodeKind
from amity.graph.storage import open_array
from amity.log import Progress
from amity.sampling import sample_neighbors
from amity.section import Section

VECTORS = "vectors.npy"


class EmbeddingConfig(Section):
    """How the whole graph is embedded."""

    chunk: PositiveInt = 16_384
    """Nodes computed at once; memory grows with their neighbourhoods, time hardly changes."""
    parquet: bool = False
    """Whether to write, beside `vectors.npy`, a Parquet table (id, vector) for each kind of node."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each node of a graph."""

    vectors: Float32[ndarray, "nodes dim"]
    """Row i is the vector of row i of the graph. May be memory-mapped."""
    graph: Graph
    """The graph that was embedded: its raw ids, and the friends that each node already has."""


def embed_graph(
    model: Model, graph: Graph, directory: Path | None = None, config: EmbeddingConfig | None = None
) -> Embeddings:
    """Embed every node of `graph` with all its neighbours at every layer: sampling with infinite fan-out.

    One layer is computed for all nodes before the next, so the cost is linear in the edges. With a directory, the
    layers' states are memory-mapped scratch files and the vectors are written to `vectors.npy`; without one,
    everything stays in memory.
    """
    config = config or EmbeddingConfig()
    if directory is None:
        return Embeddings(_embed(model, graph, config, _in_memory), graph)
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".states-", dir=directory) as scratch:
        vectors = _embed(model, graph, config, _in_files(Path(scratch), directory / VECTORS))
        vectors.flush()  # pyright: ignore[reportAttributeAccessIssue]
    embeddings = open_embeddings(directory, graph)
    if config.parquet:
        for kind in graph.kinds:
            _write_parquet(embeddings.vectors, kind, directory / f"{kind.name}.parquet", config.chunk)
    return embeddings


def open_embeddings(directory: Path, graph: Graph) -> Embeddings:
    """Map vectors that `embed_graph` wrote; `graph` is the one that was embedded.

    Raises `ArtifactError` where there is not one vector for each of its nodes.
    """
    vectors = open_array(directory / VECTORS)
    if vectors.ndim != 2 or len(vectors) != graph.num_nodes:
        raise ArtifactError(
            f"{directory / VECTORS} holds an array of the shape {vectors.shape}, and the graph has "
            f"{graph.num_nodes:,} nodes. Open it beside the graph that was embedded, or embed this one."
        )
    return Embeddings(vectors, graph)


Allocate = Callable[[int | None, int, int], ndarray]
"""(layer, or None for the final vectors; nodes; dim) -> float32 array of that shape, to be filled."""


@torch.no_grad()
def _embed(model: Model, graph: Graph, config: EmbeddingConfig, allocate: Allocate) -> Float32[ndarray, "nodes dim"]:
    encoder, nodes = model.encoder, graph.num_nodes
    source, degrees = InputSource.of(model.transform, graph), graph.messages.degrees().astype(np.float32)
    passes = len(encoder.layers) + 2
    with Progress("embed", total=passes * nodes) as progress:
        states = [allocate(0, nodes, encoder.dim)]
        for rows in _chunks(nodes, config.chunk, progress):
            states[0][rows] = encoder.encode_inputs(source.gather(rows)).numpy()
        for number, layer in enumerate(encoder.layers):
            states.append(allocate(number + 1, nodes, encoder.dim))
            for rows in _chunks(nodes, config.chunk, progress):
                block = sample_neighbors(graph.messages, rows, fanout=(-1,), seed=0)
                sources = torch.from_numpy(states[number][block.nodes])
                (edges,) = block_edges(block, degrees[block.nodes])
                states[-1][rows] = layer(sources[: len(rows)], sources, edges).numpy()
        vectors = allocate(None, nodes, encoder.dim)
        for rows in _chunks(nodes, config.chunk, progress):
            combined = encoder.combine([torch.from_numpy(state[rows]) for state in states])
            vectors[rows] = encoder.stretch(combined, torch.from_numpy(degrees[rows])).numpy()
    return vectors


def _chunks(nodes: int, chunk: int, progress: Progress) -> Iterator[Int64[ndarray, "chunk"]]:
    for first in range(0, nodes, chunk):
        rows = np.arange(first, min(first + chunk, nodes))
        yield rows
        progress.advance(len(rows))


def _in_memory(_layer: int | None, nodes: int, dim: int) -> ndarray:
    return np.empty((nodes, dim), np.float32)


def _in_files(scratch: Path, vectors: Path) -> Allocate:
    def allocate(layer: int | None, nodes: int, dim: int) -> ndarray:
        path = vectors if layer is None else scratch / f"layer{layer}.npy"
        return open_memmap(path, mode="w+", dtype=np.float32, shape=(nodes, dim))

    return allocate


def _write_parquet(vectors: Float32[ndarray, "nodes dim"], kind: NodeKind, path: Path, chunk: int) -> None:
    dim = vectors.shape[1]
    id_type = pa.int64() if kind.vocabulary.id_offsets is None else pa.string()
    schema = pa.schema([("id", id_type), ("vector", pa.list_(pa.float32(), dim))])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, kind.count, chunk):
            rows = range(first, min(first + chunk, kind.count))
            part = vectors[kind.first + rows.start : kind.first + rows.stop]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), dim)
            writer.write_table(pa.table([pa.array(kind.vocabulary.ids(rows), id_type), flat], schema=schema))
