"""The divided retriever: every cluster is searched with what a query asks it, and the lists are merged."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import floor

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray

from amity.clustering import Clusters, group_by_column
from amity.embedding import Embeddings
from amity.errors import ArtifactError, ConfigError
from amity.graph import Adjacency, NodeKind
from amity.index import DividedIndex, Hits, IndexConfig, build_divided
from amity.index.building import draw_measuring
from amity.retrieval.asking import Confidence, Question, ask, ask_for
from amity.retrieval.candidates import excluded_positions, refuse_strangers, refuse_unknown
from amity.retrieval.config import RetrievalConfig
from amity.retrieval.merging import MergeConfig, merge
from amity.retrieval.quotas import quotas
from amity.retrieval.retriever import Retriever, same_vectors

QUERY_BLOCK = 1024
"""How many queries are answered at once."""


@dataclass(frozen=True, slots=True)
class DividedRetriever:
    """Searches the candidates of a graph cluster by cluster; keeps the promise of `Recommender`.

    The query itself and those it is connected to never come back, as with `Retriever`.
    """

    embeddings: Embeddings
    """What is compared; with what, and how likely, each cluster is asked, where that was learned."""
    index: DividedIndex
    """Over the vectors of the candidates."""
    merge: MergeConfig = field(default_factory=MergeConfig)
    """How the lists of the clusters become one."""
    confidence: Confidence = field(default_factory=Confidence)
    """What is to be made of scores and of intent, where `merge` gives no temperature."""

    @classmethod
    def build(
        cls,
        embeddings: Embeddings,
        clusters: Clusters,
        config: IndexConfig | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> "DividedRetriever":
        """Index the candidates of each cluster; raises `IndexingError` as `build_index` does."""
        graph, config, asking = embeddings.graph, config or IndexConfig(), None
        if embeddings.asking is not None or graph.queries is not graph.candidates:
            rows = graph.queries.first + draw_measuring(graph.queries.count, config, seed=seed)
            asking = embeddings.asked_each(rows, clusters=clusters.count)
        vectors = embeddings.vectors[graph.candidates.rows]
        index = build_divided(vectors, clusters, config, seed=seed, asking=asking, device=device)
        return cls(embeddings, index)

    @classmethod
    def with_index(cls, embeddings: Embeddings, index: DividedIndex) -> "DividedRetriever":
        """Search an index that was opened; raises `ArtifactError` where it is not one of these vectors."""
        vectors = embeddings.vectors[embeddings.graph.candidates.rows]
        fits = len(vectors) == len(index.clusters.of) and all(
            same_vectors(vectors[index.clusters.members(cluster)], part.vectors)
            for cluster, part in enumerate(index.parts)
        )
        if not fits:
            raise ArtifactError(
                f"The indexes of {index.clusters.count} clusters are not those of these embeddings: they hold other "
                f"vectors than the {len(vectors):,} candidates have. Open those of the same run, or build them again."
            )
        return cls(embeddings, index)

    def search(self, queries: Int64[ndarray, "queries"], *, k: int, known: Adjacency | None = None) -> Hits:
        """The k best candidates of each query, as rows of the graph; see `Retriever.search`, and `merge`.

        Scores are inner products, and those of other clusters than the likeliest may be shifted: see `calibrate`.
        """
        return self.search_by((self.merge,), queries, k=k, known=known)[0]

    def search_by(
        self,
        merges: Sequence[MergeConfig],
        queries: Int64[ndarray, "queries"],
        *,
        k: int,
        known: Adjacency | None = None,
    ) -> list[Hits]:
        """What `search` finds under each of several merges, at the temperature of `merge`, asking clusters once."""
        queries = np.asarray(queries, np.int64)
        self._refuse(queries, k)
        kind, clusters = self.embeddings.graph.candidates, self.index.clusters.count
        ways = [(merge, groups_of(kind, merge, clusters=clusters)) for merge in merges]
        blocks = [queries[first : first + QUERY_BLOCK] for first in range(0, max(len(queries), 1), QUERY_BLOCK)]
        found = zip(*(self._search_block(block, k, known, ways) for block in blocks), strict=True)
        return [
            Hits(np.concatenate([one.rows for one in parts]), np.concatenate([one.scores for one in parts]))
            for parts in found
        ]

    def intent(
        self, queries: Int64[ndarray, "queries"], *, k: int
    ) -> tuple[Float64[ndarray, "queries clusters"], Int64[ndarray, "queries clusters"]]:
        """How likely each query is to want each cluster, and the places that this gives the cluster among k."""
        self._refuse(queries, k)
        depth = min(k, self.embeddings.graph.candidates.count)
        answers = ask(self.index, self.question(queries), depth=depth, confidence=self._confidence)
        intent = np.exp(answers.log_intent)
        bounds = self.merge.bounds if self.merge.by == "fair" and not self.merge.by_column else (0.0, 1.0)
        return intent, quotas(intent, answers.held, answers.lots, k=k, alpha=self.merge.alpha, bounds=bounds)

    def question(self, queries: Int64[ndarray, "queries"], known: Adjacency | None = None) -> Question:
        """What queries ask of every cluster, and whom they must not get: themselves, their friends, those known."""
        embeddings = self.embeddings
        excluded = excluded_positions(embeddings.graph, queries, known)
        asked = embeddings.asked_each(queries, clusters=self.index.clusters.count)
        intent = None if embeddings.intent is None else embeddings.intent[queries - embeddings.graph.queries.first]
        return Question(asked, intent, excluded, queries)

    def _search_block(
        self, queries: ndarray, k: int, known: Adjacency | None, ways: list[tuple[MergeConfig, ndarray]]
    ) -> list[Hits]:
        candidates, confidence = self.embeddings.graph.candidates, self._confidence
        question, merges = self.question(queries, known), [way for way, _ in ways]
        answers = ask_for(self.index, question, merges, k=k, confidence=confidence)
        about = {"temperature": confidence.temperature, "vectors": self.embeddings.vectors[candidates.rows]}
        merged = (merge(answers, way, k=k, groups=own, **about) for way, own in ways)
        return [one.hits.moved(candidates.first) for one in merged]

    @property
    def _confidence(self) -> Confidence:
        said = self.merge.temperature
        return self.confidence if isinstance(said, str) else replace(self.confidence, temperature=said)

    def _refuse(self, queries: ndarray, k: int) -> None:
        """Raise `RetrievalError` for queries that no cluster can be asked for."""
        graph = self.embeddings.graph
        refuse_unknown(graph, queries, k)
        if self.embeddings.asking is not None or self.embeddings.intent is not None:
            refuse_strangers(graph, queries)


def check_divided(config: RetrievalConfig, candidates: NodeKind, *, clusters: int) -> None:
    """Raise `ConfigError` for what the lists of several clusters cannot honour; one cluster refuses nothing."""
    if clusters == 1:
        return
    if config.expansion.by != "none":
        raise ConfigError(
            "Friends cannot ask with a query where candidates are divided: `retrieval.expansion.by` is "
            f"{config.expansion.by!r}, and there are {clusters} clusters. Set it to 'none', or `clustering.by`."
        )
    groups_of(candidates, config.merge, clusters=clusters)


def groups_of(kind: NodeKind, config: MergeConfig, *, clusters: int) -> Int64[ndarray, "candidates"]:
    """The group of each candidate, by the column that fair shares are of; those without a value are one more.

    Empty where shares are of clusters, which lists tell by themselves. Raises `ConfigError` where there is no such
    column, and where the groups, or so many clusters, cannot each have the smallest share.
    """
    if not config.by_column:
        _refuse_shares(config, clusters, "clusters")
        return np.empty(0, np.int64)
    groups, _ = group_by_column(kind, config.group, setting="retrieval.merge.group")
    present, groups = np.unique(groups, return_inverse=True)
    _refuse_shares(config, len(present), f"groups of {config.group}")
    return groups


def _refuse_shares(config: MergeConfig, count: int, called: str) -> None:
    """Raise `ConfigError` where so many cannot each have the smallest share."""
    if config.by == "fair" and count * config.minimum_share > 1:
        least = floor(1e6 / count) / 1e6  # Rounded down, so that what is advised stands.
        raise ConfigError(
            f"{count} {called} cannot each have {config.minimum_share:g} of a list at least. Set "
            f"retrieval.merge.minimum_share to {least:g} or less."
        )


AnyRetriever = Retriever | DividedRetriever
"""Over one index, or over those of the clusters."""
