"""The pairs of a step: supervising edges from all over the graph, or in runs, each of them from a cluster.

Where there are many clusters, a step that draws from all over holds few candidates of each, and so few hard negatives:
paper B's tasks (arXiv 2302.02657) take a batch of one cluster each. Some runs a step stand between the two.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numpy import ndarray

from amity.graph import Adjacency
from amity.sampling.draws import keyed
from amity.sampling.locality import Locality
from amity.sampling.order import shuffled


@dataclass(frozen=True, slots=True)
class Drawn:
    """The pairs of one step, and how often such steps hold a pair."""

    queries: Int64[ndarray, "rows"]
    targets: Int64[ndarray, "rows"]
    """The positives, as rows of the graph; a duplicate's pair is that of its original with itself."""
    home: Float64[ndarray, "clusters"]
    """How often a step that asks for a cluster as often as this one holds each of its pairs: rows over pairs, a row's
    own counted with the others, which matters where it has few beside it."""
    abroad: float
    """How often a step holds each pair, for rows of other clusters; 0 where these are not to see its positive."""


@dataclass(frozen=True, slots=True)
class ShuffledPairs:
    """Pairs from all over the graph, each once an epoch; epochs follow each other without a gap."""

    supervision: Adjacency
    """Row i: whom i is to find."""
    duplicated: Int64[ndarray, "duplicated"]
    """Who has a duplicate."""
    clusters: int
    seed: int

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return self.supervision.num_edges + len(self.duplicated)

    def draw(self, step: int, size: int) -> Drawn:
        """So many pairs: a pure function of the seed and the step."""
        edges = self.supervision
        chosen = shuffled(np.arange(step * size, (step + 1) * size), size=self.count, seed=self.seed)
        friends, (queries, targets) = chosen < edges.num_edges, np.empty((2, size), np.int64)
        queries[friends] = np.searchsorted(edges.indptr, chosen[friends], side="right") - 1
        targets[friends] = edges.indices[chosen[friends]]
        queries[~friends] = targets[~friends] = self.duplicated[chosen[~friends] - edges.num_edges]
        rate = size / self.count
        return Drawn(queries, targets, np.full(self.clusters, rate), rate)


@dataclass(frozen=True, slots=True)
class PairsInRuns:
    """A few runs of pairs a step, each from one cluster, but where two meet or small ones do not fill it; made by `of`.

    Pairs stand in the order of the clusters of their positives, shuffled within each, and are cut into runs whose order
    is shuffled: so each is drawn once an epoch, but that the last run is filled up with the first pairs.
    """

    asked_by: Adjacency
    """Row i: who is to find i."""
    frequency: Int32[ndarray, "nodes"]
    """How many pairs have each node as their positive: one more than `asked_by` says where it has a duplicate."""
    positives: Int64[ndarray, "candidates"]
    """The candidates, one cluster after another."""
    ends: Int64[ndarray, "candidates"]
    """How many pairs there are up to each of them, its own included."""
    starts: Int64[ndarray, "clusters_and_one"]
    """How many pairs there are before each cluster."""
    runs: int
    seed: int

    @classmethod
    def of(
        cls, asked_by: Adjacency, frequency: Int32[ndarray, "nodes"], locality: Locality, *, runs: int, seed: int
    ) -> "PairsInRuns":
        """Count the pairs of every cluster."""
        positives = locality.members.indices
        ends = np.cumsum(frequency[positives], dtype=np.int64)
        starts = np.append(0, ends)[locality.members.indptr]
        return cls(asked_by, frequency, positives, ends, starts, runs, seed)

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return int(self.starts[-1])

    def draw(self, step: int, size: int) -> Drawn:
        """As many pairs as make runs of one length, at most `size`: a pure function of the seed and the step."""
        runs = min(self.runs, size)
        length = size // runs
        an_epoch, turns = -(-self.count // length), np.arange(step * runs, (step + 1) * runs)
        first = shuffled(turns, size=an_epoch, seed=self.seed) * length
        places = ((first[:, None] + np.arange(length)) % self.count).ravel()
        clusters = np.searchsorted(self.starts, places, side="right") - 1
        places = self._shuffle(places, clusters, np.repeat(turns // an_epoch, length))
        rows = np.bincount(clusters, minlength=len(self.starts) - 1)
        return Drawn(*self._pairs(places), rows / np.maximum(np.diff(self.starts), 1), 0.0)

    def _shuffle(
        self, places: Int64[ndarray, "rows"], clusters: Int64[ndarray, "rows"], epochs: Int64[ndarray, "rows"]
    ) -> Int64[ndarray, "rows"]:
        """Other places of the same clusters: within each, every place has one other in an epoch."""
        found = np.empty_like(places)
        for cluster in np.unique(clusters):
            here, start = clusters == cluster, self.starts[cluster]
            size = int(self.starts[cluster + 1] - start)
            turns, seed = epochs[here] * size + places[here] - start, int(keyed(self.seed, cluster, 1))
            found[here] = start + shuffled(turns, size=size, seed=seed)
        return found

    def _pairs(self, places: Int64[ndarray, "rows"]) -> tuple[Int64[ndarray, "rows"], Int64[ndarray, "rows"]]:
        """The pairs at some places: of each positive those who are to find it, then its duplicate."""
        which = np.searchsorted(self.ends, places, side="right")
        targets = self.positives[which]
        number = places - self.ends[which] + self.frequency[targets]
        asked, begin = self.asked_by, self.asked_by.indptr[targets]
        doubled = begin + number == asked.indptr[targets + 1]
        friends = asked.indices[np.where(doubled, 0, begin + number)]
        return np.where(doubled, targets, friends).astype(np.int64), targets
