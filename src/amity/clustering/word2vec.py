"""Word2Vec: histories as sentences, candidates as words (Mikolov et al., 2013, arXiv 1310.4546), by gensim."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Integer
from numpy import ndarray
from pydantic import PositiveInt

from amity.errors import ConfigError
from amity.graph import Graph
from amity.section import Section

LONGEST = 10_000
"""Gensim reads no further than that in a sentence; a longer history is several."""


class Word2VecConfig(Section):
    """Skip-gram with negative sampling over the train histories."""

    dim: PositiveInt = 64
    """Width of the vectors."""
    window: PositiveInt = 5
    """How far apart in a history two candidates stand at most to count as neighbours."""
    negatives: PositiveInt = 5
    """Drawn for each pair of neighbours."""
    epochs: PositiveInt = 5
    """Passes over the histories."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """The histories as gensim reads them, again in each epoch: what each query was given, candidate by candidate."""

    starts: Int64[ndarray, "queries_and_one"]
    positions: Integer[ndarray, "edges"]

    def __iter__(self) -> Iterator[list[int]]:
        for first, last in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            for begin in range(first, last, LONGEST):
                yield self.positions[begin : min(begin + LONGEST, last)].tolist()


def read_histories(graph: Graph, *, seed: int) -> Sentences:
    """The targets of each node's edges in the order of their times; where there are none, in one drawn by the seed."""
    edges = graph.target.adjacency
    keys = edges.times if edges.times is not None else np.random.default_rng(seed).permutation(edges.num_edges)
    order = np.lexsort((keys, edges.sources()))
    return Sentences(edges.indptr, edges.indices[order] - graph.candidates.first)


def history_vectors(graph: Graph, config: Word2VecConfig, *, seed: int) -> Float32[ndarray, "candidates dim"]:
    """A vector for each candidate, zeros for those in no history.

    One thread computes, so that the same seed gives the same vectors. Raises `ConfigError` where gensim is not
    installed.
    """
    try:
        from gensim.models import Word2Vec  # noqa: PLC0415 (an extra, of which most have no need)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Dividing by `word2vec` needs {error.name}, which is not here. Type: pip install 'amity[clustering]'"
        ) from error
    model = Word2Vec(
        read_histories(graph, seed=seed),
        vector_size=config.dim,
        window=config.window,
        negative=config.negatives,
        epochs=config.epochs,
        sg=1,
        min_count=1,
        workers=1,
        seed=seed % 2**31,
    )
    vectors = np.zeros((graph.candidates.count, config.dim), np.float32)
    vectors[np.array(model.wv.index_to_key, np.int64)] = model.wv.vectors
    return vectors
