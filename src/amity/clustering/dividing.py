"""Dividing: train edges, a column or vectors to clusters."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Int32, Integer
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from amity.clustering.clusters import Clusters, undivided
from amity.clustering.columns import group_by_column
from amity.clustering.communities import CommunitiesConfig, find_communities
from amity.clustering.kmeans import divide_points
from amity.clustering.word2vec import Word2VecConfig, history_vectors
from amity.errors import ConfigError
from amity.graph import Graph
from amity.section import Section
from amity.splitting import Split

OTHER = "other"
"""What groups that are too small become together."""
NAMED = ("column", "communities")
"""Ways of dividing whose groups are found, not asked for: the rest are k-means."""


class ClusteringConfig(Section):
    """How the candidates are divided into clusters, by train edges alone; `none` leaves them one.

    K-means divides vectors: those of `word2vec`, the graph's `eigenvectors`, or the embeddings of another `run`.
    """

    by: Literal["none", "word2vec", "eigenvectors", "run", "communities", "column"] = "none"
    """What the clusters are made of."""
    count: PositiveInt = 10
    """How many clusters k-means makes."""
    balanced: bool = False
    """Whether the clusters of k-means differ in size by at most one."""
    again_every: NonNegativeInt = 0
    """Steps of training after which k-means divides the candidates again, by what has been learned; 0 never does."""
    smallest: PositiveInt = 50
    """Communities, or values of a column, that have fewer members are merged into one cluster, `other`."""
    column: str = ""
    """The candidates' column to divide by: a category, a number taken as one, or a bag, whose first value counts."""
    run: str = ""
    """The directory of the run whose embeddings are divided; its split must be this one. Where its embeddings are
    made again, so are the clusters."""
    word2vec: Word2VecConfig = Word2VecConfig()
    """Vectors of what stands together in histories."""
    communities: CommunitiesConfig = CommunitiesConfig()
    """Groups with many edges inside."""

    @model_validator(mode="after")
    def _say_all_that_is_needed(self) -> Self:
        if self.by in ("column", "run") and not getattr(self, self.by):
            raise ValueError(f"`by` is {self.by!r}, so `{self.by}` must say which one")
        if self.balanced and self.by in NAMED:
            raise ValueError(f"only the clusters of k-means can be balanced, and `by` is {self.by!r}")
        if self.again_every and self.by in (*NAMED, "none"):
            raise ValueError(f"only the clusters of k-means can be made again, and `by` is {self.by!r}")
        return self


def divide(
    split: Split,
    config: ClusteringConfig,
    *,
    seed: int,
    vectors: Float[ndarray, "candidates dim"] | None = None,
) -> Clusters:
    """Every candidate's cluster; the largest stands first.

    `vectors` are what k-means divides where neither the train edges nor a column decide: by `eigenvectors` or `run`.
    Raises `ConfigError` where the candidates cannot be divided so, or a library is missing.
    """
    graph = split.train
    if config.by == "none":
        return undivided(graph.candidates.count)
    if config.by == "column":
        return _merge_small(*group_by_column(graph.candidates, config.column), config)
    _check_edges(graph, config)
    if config.by == "communities":
        groups, _ = _largest_first(find_communities(graph, config.communities, seed=seed))
        return _merge_small(groups, [f"community {number}" for number in range(groups.max() + 1)], config)
    if config.by == "word2vec":
        vectors = history_vectors(graph, config.word2vec, seed=seed)
    assert vectors is not None, "by eigenvectors or by a run, the caller brings the vectors"
    return _by_means(vectors, config, seed=seed)


def divide_again(vectors: Float[ndarray, "candidates dim"], before: Clusters, *, balanced: bool, seed: int) -> Clusters:
    """As many clusters by other vectors, each under the number of that one of before with which it shares most.

    Numbers are given to the pairs that share most first. Where k-means leaves a group empty, all stays as it was.
    """
    groups, count = divide_points(vectors, before.count, balanced=balanced, seed=seed), before.count
    if len(np.unique(groups)) < count:
        return before
    shared = np.bincount(groups * count + before.of, minlength=count * count).reshape(count, count)
    number = np.empty(count, np.int32)
    for _ in range(count):
        group, old = np.unravel_index(shared.argmax(), shared.shape)
        number[group] = old
        shared[group], shared[:, old] = -1, -1
    return Clusters(number[groups], before.names)


def _by_means(vectors: Float[ndarray, "candidates dim"], config: ClusteringConfig, *, seed: int) -> Clusters:
    told = np.count_nonzero(vectors.any(axis=1))
    if told < config.count:
        raise ConfigError(
            f"{config.count} clusters were asked for, and only {told} of {len(vectors)} candidates have a vector. "
            "Lower `clustering.count`."
        )
    groups, order = _largest_first(divide_points(vectors, config.count, balanced=config.balanced, seed=seed))
    return Clusters(groups, tuple(f"cluster {number}" for number in range(len(order))))


def _merge_small(groups: Integer[ndarray, "candidates"], names: Sequence[str], config: ClusteringConfig) -> Clusters:
    """Groups as clusters; those of fewer members than `smallest` become one."""
    sizes = np.bincount(groups, minlength=len(names))
    if sizes.max(initial=0) < config.smallest:
        by = config.column if config.by == "column" else config.by
        raise ConfigError(
            f"By {by} no group has `clustering.smallest` ({config.smallest}) members: the "
            f"largest has {sizes.max(initial=0)}. Lower it, or divide by something else."
        )
    merged = np.where(sizes < config.smallest, len(names), np.arange(len(names)))
    of, order = _largest_first(merged[groups])
    called = [*names, _unused(OTHER, names)]
    return Clusters(of, tuple(called[place] for place in order))


def _unused(name: str, names: Sequence[str]) -> str:
    """A name that none of the others is: where a value is called so itself, with dashes behind it."""
    while name in names:
        name += "-"
    return name


def _largest_first(
    groups: Integer[ndarray, "candidates"],
) -> tuple[Int32[ndarray, "candidates"], Integer[ndarray, "clusters"]]:
    """Groups numbered by size, the empty ones left out; and which group each number stands for."""
    sizes = np.bincount(groups)
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    number = np.empty(len(sizes), np.int32)
    number[order] = np.arange(len(order))
    return number[groups], order


def _check_edges(graph: Graph, config: ClusteringConfig) -> None:
    edges = graph.target.adjacency if config.by == "word2vec" else graph.messages
    if not edges.num_edges:
        raise ConfigError(
            f"The candidates cannot be divided by {config.by}: the train part holds no edges. "
            "Divide by a column, or leave `clustering.by` at none."
        )
