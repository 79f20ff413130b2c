"""The retriever: for a node of the graph, the candidates it is not connected to yet, best first."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray

from amity.embedding import Embeddings
from amity.errors import ArtifactError, ConfigError
from amity.graph import Adjacency, Graph
from amity.index import Hits, Index, IndexConfig, build_index, mapped_file
from amity.index.building import draw_measuring
from amity.retrieval.candidates import Candidates, excluded_positions, refuse_strangers, refuse_unknown
from amity.retrieval.expansion import ExpansionConfig, choose_friends, mean_vectors
from amity.retrieval.fusion import fuse, keep_best
from amity.retrieval.heuristics import Recommender

COMPARED = 65536
"""How many vectors are compared at once with those of an index."""


@dataclass(frozen=True, slots=True)
class Retriever:
    """Searches the candidates of a graph by the vectors of its nodes.

    The query itself and those it is connected to in the relation that retrieval is about never come back: they are
    left out inside the search, so that lists are not shortened by them.
    """

    embeddings: Embeddings
    index: Index
    """Over the vectors of the candidates, in the order of their rows."""
    expansion: ExpansionConfig = field(default_factory=ExpansionConfig)
    """Whose vectors a query asks with beside its own."""
    seed: int = 0
    """Draws the friends that ask with a query."""

    def __post_init__(self) -> None:
        if self.embeddings.asking is not None and self.expansion.by != "none":
            raise ConfigError(
                "Friends cannot ask with a query that asks with interests, or questions, of its own: "
                f"`retrieval.expansion.by` is {self.expansion.by!r}, and there are {len(self.embeddings.asking)} of "
                "these for each query. Set it to 'none', or `encoder.sequence.interests` to 0."
            )

    @classmethod
    def build(
        cls,
        embeddings: Embeddings,
        config: IndexConfig | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> "Retriever":
        """Index the candidates of the graph; raises `IndexingError` as `build_index` does."""
        graph, config, asking = embeddings.graph, config or IndexConfig(), None
        vectors = embeddings.vectors[graph.candidates.rows]
        if embeddings.asking is not None:
            rows = graph.queries.first + draw_measuring(graph.queries.count, config, seed=seed)
            asking = np.concatenate(embeddings.asked_each(rows, clusters=len(embeddings.asking)))
        elif graph.queries is not graph.candidates:
            asking = embeddings.vectors[graph.queries.rows]
        index = build_index(vectors, config, seed=seed, asking=asking, device=device)
        return cls(embeddings, index, seed=seed)

    @classmethod
    def with_index(cls, embeddings: Embeddings, index: Index) -> "Retriever":
        """Search an index that was opened; raises `ArtifactError` where it is not one of these vectors."""
        vectors = embeddings.vectors[embeddings.graph.candidates.rows]
        if not same_vectors(vectors, index.vectors):
            raise ArtifactError(
                f"The index is not one of these embeddings: it holds {len(index.vectors):,} vectors of "
                f"{index.vectors.shape[1]} numbers, and those of the {len(vectors):,} candidates ({vectors.shape[1]} "
                "numbers each) are different ones. Open the index of the same run, or build it again."
            )
        return cls(embeddings, index)

    def search(self, queries: Int64[ndarray, "queries"], *, k: int, known: Adjacency | None = None) -> Hits:
        """The k best candidates of each query, as rows of the graph.

        Row r of `known` holds further rows that node r must not get. Ties depend on the query's row, not on who
        else asks. Raises `RetrievalError` for k < 1 and for rows that are not in the graph.
        """
        graph = self.embeddings.graph
        queries = np.asarray(queries, np.int64)
        refuse_unknown(graph, queries, k)
        excluded, vectors = excluded_positions(graph, queries, known), self.embeddings.vectors
        if self.expansion.by == "none":
            return self._ask_alone(queries, excluded, k)
        friends = choose_friends(graph.target.adjacency, queries, count=self.expansion.friends, seed=self.seed)
        if self.expansion.by == "mean":
            return self._ask(mean_vectors(vectors, queries, friends), queries, excluded, k)
        lists = [self._ask(vectors[queries], queries, excluded, k)]
        lists += [
            self._ask(vectors[np.maximum(one, 0)], queries, excluded, k).where(one[:, None] >= 0) for one in friends.T
        ]
        if self.expansion.by == "max":
            return keep_best(lists, k=k, names=queries, seed=self.seed)
        return fuse(lists, np.ones((len(lists), len(queries))), k=k, names=queries, seed=self.seed)

    def _ask_alone(self, queries: ndarray, excluded: Adjacency, k: int) -> Hits:
        """What queries find by themselves: by their vectors, or by whichever of their interests scores best."""
        asking = self.embeddings.asking
        if asking is None:
            return self._ask(self.embeddings.vectors[queries], queries, excluded, k)
        refuse_strangers(self.embeddings.graph, queries)
        # One after the other: so many vectors of all queries at once would be much.
        asked = (self.embeddings.asked(queries, cluster=interest) for interest in range(len(asking)))
        lists = [self._ask(vectors, queries, excluded, k) for vectors in asked]
        return keep_best(lists, k=k, names=queries, seed=self.seed)

    def _ask(self, vectors: ndarray, queries: ndarray, excluded: Adjacency, k: int) -> Hits:
        """The k best rows of the graph for each vector, less what the query is not to get."""
        hits = self.index.search(vectors, k=k, excluded=excluded, names=queries)
        return hits.moved(self.embeddings.graph.candidates.first)

    def top_k(self, raw_id: int | str, k: int = 10) -> Candidates:
        """The k best candidates of one node by its raw id: see `top_k`."""
        return top_k(self, self.embeddings.graph, raw_id, k)


def top_k(recommender: Recommender, graph: Graph, raw_id: int | str, k: int = 10) -> Candidates:
    """The k best candidates of one node by its raw id: `42`, `"42"`, or `"user:42"` where the kind must be said.

    All that are eligible where there are fewer than k. Raises `RetrievalError` for k < 1 and an id that is not in the
    graph.
    """
    hits = recommender.search(np.array([graph.row(raw_id)]), k=min(k, graph.candidates.count))
    found = hits.rows[0][hits.rows[0] >= 0]
    ids = graph.candidates.vocabulary.ids(found - graph.candidates.first)
    return Candidates(raw_id, graph.candidates.name, tuple(ids), tuple(map(float, hits.scores[0][: len(found)])))


def same_vectors(vectors: Float[ndarray, "some dim"], others: Float[ndarray, "others width"]) -> bool:
    """Whether they are equal; two names of one file are known to be without reading it."""
    if vectors.shape != others.shape or vectors.dtype != others.dtype:
        return False
    file, other = mapped_file(vectors), mapped_file(others)
    if file is not None and other is not None and file.samefile(other):
        return True
    return all(
        np.array_equal(vectors[first : first + COMPARED], others[first : first + COMPARED])
        for first in range(0, len(vectors), COMPARED)
    )
