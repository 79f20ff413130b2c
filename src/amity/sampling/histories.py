"""Histories: what each query took, in the order of time; and batches of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from amity.clustering import Clusters, undivided
from amity.errors import ConfigError, SplitError
from amity.graph import Adjacency, Graph
from amity.sampling.batch import NEGATIVES, ORDER, SamplingConfig
from amity.sampling.draws import keyed
from amity.sampling.locality import Locality
from amity.sampling.negatives import mask_known
from amity.sampling.numbering import number
from amity.sampling.order import shuffled
from amity.splitting import HeldOut, Split

POSITIONS, CLUSTERS = 18, 19
"""What the seed is used for here, beside the order of the queries and the negatives; `evaluation/damage.py` has these
numbers too, but histories are never damaged."""
ALIKE = 32
"""Histories that are computed together, no longer than the longest of them."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What each query has taken, oldest first; made by `histories_of`."""

    indptr: Int64[ndarray, "queries_and_one"]
    """The history of query i, counted among those who ask, is `items[indptr[i]:indptr[i + 1]]`."""
    items: Int32[ndarray, "edges"]
    """Positions among the candidates."""

    def lengths(self) -> Int64[ndarray, "queries"]:
        """How many items each query has taken."""
        return np.diff(self.indptr)

    def latest(self, queries: Int64[ndarray, "queries"], count: int) -> Int64[ndarray, "queries count"]:
        """The last `count` items of some queries, oldest first, with -1 on the left where there are fewer."""
        places = self.indptr[queries + 1, None] + np.arange(-count, 0)
        inside = places >= self.indptr[queries, None]
        return np.where(inside, self.items[np.where(inside, places, 0)] if len(self.items) else -1, -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """What one step learns from: at each place of some histories, the item that comes next."""

    step: int
    items: Int64[ndarray, "histories length"]
    """What stands at each place, the shortest histories first: -1 for the start and for what is before it."""
    targets: Int64[ndarray, "histories length"]
    """The item that follows each place; -1 where nothing is learned."""
    columns: Int64[ndarray, "columns"]
    """Items that all places are compared with, distinct, one cluster after another."""
    homes: Int64[ndarray, "columns"]
    """The cluster of each column, ascending."""
    masked: Bool[ndarray, "histories columns"]
    """Where a column is anywhere in the history."""
    log_rates: Float32[ndarray, "clusters columns"]
    """For a target in each cluster, log of how often each column is drawn, for logQ: infinite where it is not compared
    with the column. One row where the candidates are not divided."""
    clusters: Int64[ndarray, "histories length"]
    """The cluster of what follows each place of the share that is drawn, in whichever cluster the history learns; -1
    at all others."""
    prompted: Int64[ndarray, "histories"]
    """The cluster in which each history learns, where that is one alone; else 0."""

    def alike(self) -> Iterator[tuple[slice, slice]]:
        """Rows and places that cover all histories, with few places that are empty."""
        length = self.items.shape[1]
        for first in range(0, len(self.items), ALIKE):
            rows = slice(first, first + ALIKE)
            taken = np.count_nonzero((self.items[rows] >= 0).any(0))
            yield rows, slice(max(length - taken - 1, 0), length)


@dataclass(frozen=True, slots=True)
class HistoryMaker:
    """Makes the batch of any step; made by `prepare`."""

    split: Split
    config: SamplingConfig
    histories: Histories
    length: int
    seed: int
    askers: Int64[ndarray, "askers"]
    """The queries that have a history."""
    locality: Locality
    """How the candidates are divided."""
    one_cluster: bool
    """Whether a history learns in one cluster at a time."""

    @classmethod
    def prepare(
        cls,
        split: Split,
        config: SamplingConfig,
        clusters: Clusters | None = None,
        *,
        length: int,
        seed: int,
        one_cluster: bool = False,
    ) -> "HistoryMaker":
        """Order the train edges; raises `ConfigError` where they have no order, or settings ask for what they lack.

        Without clusters there is one, which holds all candidates.
        """
        _check(config)
        histories, candidates = histories_of(split.train), split.train.candidates
        rows = range(candidates.first, candidates.first + candidates.count)
        locality = Locality.of(clusters or undivided(len(rows)), rows, share=config.global_share)
        return cls(split, config, histories, length, seed, np.flatnonzero(histories.lengths()), locality, one_cluster)

    def __call__(self, step: int) -> HistoryBatch:
        """The batch of a step: a pure function of the split, the section, the seed and the step.

        Queries follow each other through epochs without a gap.
        """
        graph, size = self.split.train, self.config.batch_size
        turns = np.arange(step * size, (step + 1) * size)
        queries = self.askers[shuffled(turns, size=len(self.askers), seed=self._seed(ORDER))]
        queries = queries[np.argsort(self.histories.lengths()[queries], kind="stable")]
        targets = self.histories.latest(queries, self.length)
        items = np.concatenate([np.full((size, 1), -1), targets[:, :-1]], axis=1)
        targets = self._some(targets, step)
        clusters = np.where(targets >= 0, self.locality.clusters.of[targets], -1).astype(np.int64)
        prompted = np.zeros(size, np.int64)
        if self.one_cluster:
            prompted = self._draw_clusters(clusters, step)
            targets = np.where(clusters == prompted[:, None], targets, -1)
        present, key = np.unique(clusters[targets >= 0]), int(keyed(self._seed(NEGATIVES), step, 0))
        columns, log_rates = self.locality.draw_columns(present, self.config.negatives, seed=key)
        order = np.argsort(self.locality.clusters.of[columns], kind="stable")
        columns, log_rates = columns[order], log_rates[:, order]
        homes = self.locality.clusters.of[columns].astype(np.int64)
        rows, slots, _ = number(_NONE, _NONE, columns + graph.candidates.first)
        askers, none = queries + graph.queries.first, np.full(size, -1)
        masked = mask_known(graph.target.adjacency, askers, (rows, slots), none)
        return HistoryBatch(step, items, targets, columns, homes, masked, log_rates, clusters, prompted)

    def _draw_clusters(self, clusters: Int64[ndarray, "histories length"], step: int) -> Int64[ndarray, "histories"]:
        """For each history the cluster of one of its targets, each target as likely; 0 where there is none."""
        draw = np.random.default_rng(int(keyed(self._seed(CLUSTERS), step, 0)) & 0x7FFFFFFFFFFFFFFF)
        chosen = np.where(clusters >= 0, draw.random(clusters.shape), -1.0).argmax(1)
        return np.maximum(clusters[np.arange(len(clusters)), chosen], 0)

    def _some(self, targets: ndarray, step: int) -> Int64[ndarray, "histories length"]:
        """The share of the targets that is learned from."""
        draw = np.random.default_rng(int(keyed(self._seed(POSITIONS), step, 0)) & 0x7FFFFFFFFFFFFFFF)
        return np.where(draw.random(targets.shape) < self.config.positions, targets, -1)

    def _seed(self, use: int) -> int:
        return int(keyed(self.seed, use, 0))


def histories_of(graph: Graph, known: Adjacency | None = None) -> Histories:
    """The edges of the first relation, and those that are `known` beside them, in the order of their times.

    Of several items at one time the first row comes first. Raises `ConfigError` where edges have no times, and where
    those who ask are themselves the candidates.
    """
    relation, queries = graph.target, graph.queries
    parts = [relation.adjacency] if known is None or not known.num_edges else [relation.adjacency, known]
    if relation.source == relation.target or any(part.times is None for part in parts):
        raise ConfigError(_no_histories(graph))
    sources, items, times = (
        np.concatenate(values)
        for values in zip(*((part.sources(), part.indices, part.times) for part in parts), strict=True)
    )
    order = np.lexsort((items, times, sources))
    starts = np.searchsorted(sources[order], queries.first + np.arange(queries.count + 1))
    return Histories(starts, (items[order] - graph.candidates.first).astype(np.int32))


def histories_before(split: Split, held_out: HeldOut) -> Histories:
    """The histories as they stand when a held-out part is asked for: train edges, and those known by then.

    Raises `SplitError` where they would hold an edge of that part.
    """
    histories, graph = histories_of(split.train, held_out.known), split.train
    size, truth = graph.candidates.count, held_out.truth
    owners = np.repeat(np.arange(graph.queries.count), histories.lengths())
    asked = (truth.sources() - graph.queries.first) * size + truth.indices - graph.candidates.first
    leaked = np.flatnonzero(np.isin(asked, owners * size + histories.items))
    if len(leaked):
        raise SplitError(
            f"The histories leak: {len(leaked):,} of the {truth.num_edges:,} held-out edges stand in those that are to "
            "foretell them. The split was altered: split again."
        )
    return histories


def _check(config: SamplingConfig) -> None:
    if config.clusters_per_step:
        raise ConfigError(
            f"A history learns of all clusters that its items lie in, but `sampling.clusters_per_step` is "
            f'{config.clusters_per_step}. Set it to 0, or `encoder.kind` to "graph".'
        )
    if config.duplicates:
        raise ConfigError(
            "A duplicate is a node without its neighbours (`sampling.duplicates` is true), and histories know of none. "
            'Turn duplicates off, or set `encoder.kind` to "graph".'
        )
    if not config.negatives:
        raise ConfigError(
            "A history learns to tell what comes next from other candidates, but none are drawn (`sampling.negatives` "
            "is 0). Draw some hundreds."
        )


def _no_histories(graph: Graph) -> str:
    relation = graph.target
    if relation.source == relation.target:
        return (
            f"A history is what somebody took of another kind, but in {relation.name!r} {relation.source} nodes ask "
            f'for {relation.target} nodes. Set `encoder.kind` to "graph", or make a relation of two kinds the `target`.'
        )
    return (
        f"Histories need an order, but the edges of {relation.name!r} have no times. Name their `time` column, or a "
        '`sequence`, in [ingestion], or set `encoder.kind` to "graph".'
    )


_NONE = np.empty(0, np.int64)
