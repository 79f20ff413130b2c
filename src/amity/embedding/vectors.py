"""What embedding makes: a vector for each node, and with what and how likely a node asks each cluster."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from numpy.lib.format import open_memmap

from amity.embedding.questions import Asking, PromptedCodes, ask_clusters
from amity.encoder.asking import AskingEncoder
from amity.encoder.question_head import QuestionHead
from amity.errors import ArtifactError
from amity.graph import Graph
from amity.graph.storage import open_array

VECTORS, ASKING, INTENT = "vectors.npy", "asking.npy", "intent.npy"
CODES, LENGTHS, HEAD = "codes.npy", "lengths.npy", "head.safetensors"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each node of a graph; under prompts, those who ask have a question to each cluster beside it."""

    vectors: Float[ndarray, "nodes dim"]
    """Row i is the vector of row i of the graph, in single or half precision: learned numbers, then spectral ones.

    May be memory-mapped.
    """
    graph: Graph
    """The graph that was embedded: its raw ids, and the friends that each node already has."""
    asking: Asking | None = None
    """With what each node of `graph.queries`, in their order, asks each cluster; absent where that is its vector.

    Behind an encoder prompts make questions of codes when they are asked; of prompts at the inputs the questions are
    stored. So are interests: where there is one cluster it is asked with all of them, and the best counts.

    May be memory-mapped.
    """
    intent: Float32[ndarray, "queries clusters"] | None = None
    """p(cluster of the next positive | query), rows of sum 1; absent where nothing has learned it."""

    def asked(self, queries: Int64[ndarray, "some"], *, cluster: int) -> Float[ndarray, "some dim"]:
        """The vectors with which some rows of the graph, of the kind that asks, ask a cluster."""
        return self._ask(queries, range(cluster, cluster + 1))[0]

    def asked_each(self, queries: Int64[ndarray, "some"], *, clusters: int) -> tuple[Float[ndarray, "some dim"], ...]:
        """The vectors with which some rows ask each of so many clusters."""
        return self._ask(queries, range(clusters))

    def _ask(self, queries: ndarray, clusters: range) -> tuple[ndarray, ...]:
        return ask_clusters(self.asking, self.vectors[queries], queries - self.graph.queries.first, clusters)


def allot(
    encoder: AskingEncoder, graph: Graph, directory: Path | None, *, width: int, dtype: npt.DTypeLike
) -> Embeddings:
    """Embeddings that are not filled yet, mapped where there is a directory; the head of the encoder is written."""
    queries, intended = graph.queries.count, encoder.num_intended
    if directory is not None:
        for stale in (ASKING, CODES, LENGTHS, HEAD, INTENT):
            (directory / stale).unlink(missing_ok=True)
    return Embeddings(
        _room(directory, VECTORS, (graph.num_nodes, width), dtype),
        graph,
        allot_asking(encoder, queries, directory, width=width, dtype=dtype),
        _room(directory, INTENT, (queries, intended), np.float32) if intended else None,
    )


def allot_asking(
    encoder: AskingEncoder, queries: int, directory: Path | None, *, width: int, dtype: npt.DTypeLike
) -> Asking | None:
    """Room for what so many ask clusters with; none where an encoder gives them nothing but vectors."""
    head = QuestionHead.of(encoder)
    if head is None:
        asked = encoder.num_asked
        return _room(directory, ASKING, (asked, queries, width), dtype) if asked else None
    if directory is not None:
        head.save(directory / HEAD)
    codes = _room(directory, CODES, (queries, encoder.dim), dtype)
    return PromptedCodes(codes, _room(directory, LENGTHS, (queries,), np.float32), head)


def open_embeddings(directory: Path, graph: Graph) -> Embeddings:
    """Map what `embed_graph` wrote; `graph` is the one that was embedded.

    Raises `ArtifactError` where there is not one vector for each of its nodes, and where with what, or how likely,
    clusters are asked does not fit the graph, the vectors, or each other.
    """
    nodes, queries = graph.num_nodes, graph.queries.count
    vectors = _open(directory / VECTORS)
    if vectors.ndim != 2 or len(vectors) != nodes:
        raise _misfit(directory / VECTORS, vectors, f"the graph has {nodes:,} nodes")
    asking = _open_asking(directory, queries, vectors)
    intent = _open_optional(directory / INTENT)
    if intent is not None and (intent.ndim != 2 or len(intent) != queries or intent.dtype != np.float32):
        raise _misfit(directory / INTENT, intent, f"{queries:,} nodes of the graph ask, in single precision")
    if asking is not None and intent is not None and len(asking) != intent.shape[1]:
        raise _misfit(directory / INTENT, intent, f"{len(asking)} clusters are asked")
    return Embeddings(vectors, graph, asking, intent)


def _open_asking(directory: Path, queries: int, vectors: ndarray) -> Asking | None:
    asking, width = _open_optional(directory / ASKING), vectors.shape[1]
    if asking is not None and (asking.ndim != 3 or asking.shape[1:] != (queries, width)):
        wanted = f"{queries:,} nodes of the graph ask clusters with vectors of {width} numbers"
        raise _misfit(directory / ASKING, asking, wanted)
    if not any((directory / name).exists() for name in (CODES, LENGTHS, HEAD)):
        return asking
    if asking is not None:
        raise _misfit(directory / ASKING, asking, f"a head that makes questions of codes ({HEAD}) lies beside it")
    head, codes, lengths = QuestionHead.open(directory / HEAD), _open(directory / CODES), _open(directory / LENGTHS)
    dim = head.config.dim
    if codes.shape != (queries, dim) or dim > width or codes.dtype != vectors.dtype:
        what = f"a head of codes of {dim} numbers, beside vectors of {width} in {vectors.dtype}"
        wanted = f"{queries:,} nodes of the graph ask by {what}"
        raise _misfit(directory / CODES, codes, wanted)
    if lengths.shape != (queries,) or lengths.dtype != np.float32:
        raise _misfit(directory / LENGTHS, lengths, f"{queries:,} nodes of the graph ask, in single precision")
    return PromptedCodes(codes, lengths, head)


def _room(directory: Path | None, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> ndarray:
    if directory is None:
        return np.empty(shape, dtype)
    return open_memmap(directory / name, mode="w+", dtype=dtype, shape=shape)


def _open(path: Path) -> ndarray:
    try:
        return open_array(path)
    except (OSError, ValueError, EOFError) as error:
        remedy = "Embed again, or copy it from where it was whole."
        raise ArtifactError(f"{path} cannot be read ({error}). {remedy}") from error


def _open_optional(path: Path) -> ndarray | None:
    return _open(path) if path.exists() else None


def _misfit(path: Path, array: ndarray, wanted: str) -> ArtifactError:
    return ArtifactError(
        f"{path} holds an array of the shape {array.shape}, of {array.dtype}, and {wanted}. "
        "Open it beside the graph that was embedded, or embed this one."
    )
