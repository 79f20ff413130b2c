"""A divided graph: a row learns in the cluster of its positive, beside a share of the columns that all rows see.

With s the scores of a row, each candidate's by what its own cluster is asked with, C the cluster of the positive p,
and λ the global share, its softmax is over

    exp(s_p) + Σ_{c in C, c ≠ p} exp(s_c) + λ Σ_{c not in C} exp(s_c)

which λ = 1 makes the undivided one, and λ = 0 that of paper B's tasks (arXiv 2302.02657): one for each cluster.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64
from numpy import ndarray

from amity.clustering import Clusters
from amity.graph import Adjacency
from amity.kernels import kernel
from amity.sampling.draws import choose, keyed
from amity.sampling.negatives import uniform_nodes
from amity.sampling.order import shuffled

LOCAL = 0x10CA1
"""Keeps the draws within clusters apart from other draws under the same seed."""


@dataclass(frozen=True, slots=True)
class Negatives:
    """What a step draws beside its positives, as rows of the graph."""

    everywhere: Int64[ndarray, "whole"]
    """Those that every row is compared with."""
    inside: Int64[ndarray, "local"]
    """Those of the positives' clusters."""
    missed: Float64[ndarray, "clusters"]
    """How likely a candidate of each cluster is in neither."""
    missed_everywhere: float
    """How likely a candidate is not among those for every row."""


@dataclass(frozen=True, slots=True)
class Locality:
    """Who lies in which cluster, and how much of a step is not divided."""

    clusters: Clusters
    members: Adjacency
    """Row k: the rows of the graph that lie in cluster k."""
    rows: range
    """The candidates among the rows of the graph."""
    share: float
    """Of a step's negatives, and of positives from all over, how many every row is compared with; 1 where there is one
    cluster."""

    @classmethod
    def of(cls, clusters: Clusters, rows: range, *, share: float) -> "Locality":
        """Bring the members of each cluster together."""
        order = rows.start + np.argsort(clusters.of, kind="stable")
        members = Adjacency(np.append(0, np.cumsum(clusters.sizes())), order)
        return cls(clusters, members, rows, share if clusters.count > 1 else 1.0)

    def of_nodes(self, nodes: Int64[ndarray, "nodes"]) -> Int32[ndarray, "nodes"]:
        """The clusters of some candidates, by their rows of the graph."""
        return self.clusters.of[nodes - self.rows.start]

    def draw(self, targets: Int64[ndarray, "queries"], count: int, *, seed: int, step: int) -> Negatives:
        """Draw up to `count` negatives: the global share uniformly from all, the others where the positives lie.

        The clusters in which positives lie share these others evenly; one that has no more gives all its members, and
        leaves the rest to the larger ones. Within a cluster they are distinct, and every member is as likely. So a
        row has negatives of its own however many clusters there are, while there are as many others as clusters.
        """
        whole = round(self.share * count)
        own = self.of_nodes(targets)
        present = own[np.sort(np.unique(own, return_index=True)[1])].astype(np.int64)
        sizes = self.members.degrees_of(present)
        quotas = even_quotas(count - whole, sizes)
        missed_everywhere = (1 - 1 / len(self.rows)) ** whole
        missed = np.full(self.clusters.count, missed_everywhere)
        missed[present] *= 1 - quotas / sizes
        inside = _draw_members(self.members.indptr, self.members.indices, (present, quotas), (seed ^ LOCAL, step))
        everywhere = uniform_nodes(whole, self.rows, seed=seed, step=step)
        return Negatives(everywhere, inside, missed, missed_everywhere)

    def draw_columns(
        self, present: Int64[ndarray, "present"], count: int, *, seed: int
    ) -> tuple[Int64[ndarray, "columns"], Float32[ndarray, "clusters columns"]]:
        """Draw up to `count` distinct candidates, as ascending positions; for each cluster, log of how often each is.

        The global share is drawn from all, the others from the clusters that are `present`, as in `draw`. The rate is
        infinite where a column is not for rows of the cluster, so that it weighs nothing for them. Where there are no
        more candidates than `count`, all are columns, and what a row learns of its own cluster is the whole softmax.
        """
        size, inside = len(self.rows), np.zeros(self.clusters.count)
        drawn = np.arange(size)
        columns = drawn
        if count < size:
            drawn = shuffled(np.arange(round(self.share * count)), size=size, seed=seed)
            sizes = self.members.degrees_of(present)
            quotas = even_quotas(count - len(drawn), sizes)
            own = _draw_members(self.members.indptr, self.members.indices, (present, quotas), (seed ^ LOCAL, 0))
            columns = np.union1d(drawn, own - self.rows.start)
            inside[present] = quotas / sizes
        of, whole = self.clusters.of[columns], len(drawn) / size
        home = whole + inside[of] - whole * inside[of]
        elsewhere = np.where(np.isin(columns, drawn), whole / self.share if self.share else np.inf, np.inf)
        clusters = np.arange(self.clusters.count)[:, None]
        return columns, np.log(np.where(clusters == of, home, elsewhere)).astype(np.float32)

    def abroad(
        self, targets: Int64[ndarray, "queries"], columns: Int64[ndarray, "candidates"]
    ) -> Bool[ndarray, "queries candidates"]:
        """Where a column lies in another cluster than the row's positive."""
        return self.of_nodes(targets)[:, None] != self.of_nodes(columns)


def even_quotas(count: int, sizes: Int64[ndarray, "clusters"]) -> Int64[ndarray, "clusters"]:
    """As much for each cluster as for any other, save where it holds less; in sum `count`, or all that there is."""
    quotas = np.zeros_like(sizes)
    while left := min(count, int(sizes.sum())) - int(quotas.sum()):
        open_ones = np.flatnonzero(quotas < sizes)
        quotas[open_ones[:left]] += max(left // len(open_ones), 1)
        quotas = np.minimum(quotas, sizes)
    return quotas


@kernel
def _draw_members(indptr, indices, drawn, key):
    """So many distinct members of each of some clusters, end to end."""
    clusters, quotas = drawn
    nodes = np.empty(quotas.sum(), np.int64)
    end = 0
    for i in range(len(clusters)):
        begin, size = indptr[clusters[i]], indptr[clusters[i] + 1] - indptr[clusters[i]]
        chosen = nodes[end : end + quotas[i]]
        if len(chosen) < size:
            choose(chosen, size, keyed(key[0], key[1], clusters[i]))
        else:
            chosen[:] = np.arange(size)
        for place in range(len(chosen)):
            chosen[place] = indices[begin + chosen[place]]
        end += quotas[i]
    return nodes
