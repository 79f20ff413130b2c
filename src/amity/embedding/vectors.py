"""What embedding makes: a vector for each node, and with what and how likely a node asks each cluster."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from numpy.lib.format import open_memmap

from amity.errors import ArtifactError
from amity.graph import Graph
from amity.graph.storage import open_array

VECTORS, ASKING, INTENT = "vectors.npy", "asking.npy", "intent.npy"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each node of a graph; under prompts, those who ask have one for each cluster beside it."""

    vectors: Float[ndarray, "nodes dim"]
    """Row i is the vector of row i of the graph, in single or half precision: learned numbers, then spectral ones.

    May be memory-mapped.
    """
    graph: Graph
    """The graph that was embedded: its raw ids, and the friends that each node already has."""
    asking: Float[ndarray, "clusters queries dim"] | None = None
    """With what each node of `graph.queries`, in their order, asks each cluster; absent where that is its vector.

    Where there is one cluster it is asked with all of these, interests, and the best of them counts.

    May be memory-mapped.
    """
    intent: Float32[ndarray, "queries clusters"] | None = None
    """p(cluster of the next positive | query), rows of sum 1; absent where nothing has learned it."""

    def asked(self, queries: Int64[ndarray, "some"], *, cluster: int) -> Float[ndarray, "some dim"]:
        """The vectors with which some rows of the graph, of the kind that asks, ask a cluster."""
        if self.asking is None:
            return self.vectors[queries]
        return self.asking[cluster, queries - self.graph.queries.first]

    def asked_each(self, queries: Int64[ndarray, "some"], *, clusters: int) -> tuple[Float[ndarray, "some dim"], ...]:
        """The vectors with which some rows ask each of so many clusters."""
        return tuple(self.asked(queries, cluster=cluster) for cluster in range(clusters))


def allot(
    graph: Graph, directory: Path | None, *, width: int, dtype: npt.DTypeLike, asked: int, intended: int
) -> Embeddings:
    """Embeddings that are not filled yet, mapped where there is a directory.

    `asked` clusters are asked with vectors of their own, and how likely each of `intended` is will be known; 0 for
    none.
    """
    queries = graph.queries.count
    if directory is not None:
        for stale in (ASKING, INTENT):
            (directory / stale).unlink(missing_ok=True)
    return Embeddings(
        _room(directory, VECTORS, (graph.num_nodes, width), dtype),
        graph,
        _room(directory, ASKING, (asked, queries, width), dtype) if asked else None,
        _room(directory, INTENT, (queries, intended), np.float32) if intended else None,
    )


def open_embeddings(directory: Path, graph: Graph) -> Embeddings:
    """Map what `embed_graph` wrote; `graph` is the one that was embedded.

    Raises `ArtifactError` where there is not one vector for each of its nodes, and where with what, or how likely,
    clusters are asked does not fit the graph, the vectors, or each other.
    """
    nodes, queries = graph.num_nodes, graph.queries.count
    vectors = open_array(directory / VECTORS)
    if vectors.ndim != 2 or len(vectors) != nodes:
        raise _misfit(directory / VECTORS, vectors, f"the graph has {nodes:,} nodes")
    asking, intent = (_open_optional(directory / name) for name in (ASKING, INTENT))
    if asking is not None and asking.shape[1:] != (queries, vectors.shape[1]):
        wanted = f"{queries:,} nodes of the graph ask clusters with vectors of {vectors.shape[1]} numbers"
        raise _misfit(directory / ASKING, asking, wanted)
    if intent is not None and (intent.ndim != 2 or len(intent) != queries or intent.dtype != np.float32):
        raise _misfit(directory / INTENT, intent, f"{queries:,} nodes of the graph ask, in single precision")
    if asking is not None and intent is not None and len(asking) != intent.shape[1]:
        raise _misfit(directory / ASKING, asking, f"{INTENT} knows {intent.shape[1]} clusters")
    return Embeddings(vectors, graph, asking, intent)


def _room(directory: Path | None, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> ndarray:
    if directory is None:
        return np.empty(shape, dtype)
    return open_memmap(directory / name, mode="w+", dtype=dtype, shape=shape)


def _open_optional(path: Path) -> ndarray | None:
    return open_array(path) if path.exists() else None


def _misfit(path: Path, array: ndarray, wanted: str) -> ArtifactError:
    return ArtifactError(
        f"{path} holds an array of the shape {array.shape}, of {array.dtype}, and {wanted}. "
        "Open it beside the graph that was embedded, or embed this one."
    )
