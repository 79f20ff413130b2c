"""One index per cluster: every cluster is asked, and each answers with its own best."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray

from amity.clustering import Clusters
from amity.graph import Adjacency
from amity.index.approximate import ApproximateIndex
from amity.index.building import IndexConfig, build_index
from amity.index.hits import NOBODY, Hits, Index
from amity.index.masses import log_masses
from amity.index.together import is_file, raise_best, search_files

EXACT_BELOW = 4096
"""A cluster of fewer candidates is compared as a whole, whatever kind of index is asked for: that is quicker."""

Asked = Sequence[Float[ndarray, "queries dim"]]
"""For each cluster, the vectors with which the same queries ask it."""


@dataclass(frozen=True)
class DividedIndex:
    """One index for each cluster of the candidates, whose positions among all candidates are what is found."""

    clusters: Clusters
    parts: tuple[Index, ...]
    """The index of each cluster over its members, ascending, whose numbers are their positions among all."""
    seed: int

    @cached_property
    def places(self) -> Int64[ndarray, "candidates"]:
        """Of each candidate, its place among the members of its cluster."""
        places = np.empty(len(self.clusters.of), np.int64)
        for members in map(self.clusters.members, range(self.clusters.count)):
            places[members] = np.arange(len(members))
        return places

    @property
    def kind(self) -> str:
        """The kind of its indexes, where they are not exact: small ones always are."""
        return next((part.kind for part in self.parts if part.kind != "exact"), "exact")

    @property
    def recalls(self) -> dict[str, float]:
        """The share of the exact lists that each cluster's index finds, by the cluster's name."""
        return {name: part.recall for name, part in zip(self.clusters.names, self.parts, strict=True)}

    @property
    def recall(self) -> float:
        """The mean of these shares, each cluster counted by its size."""
        return float(np.average([part.recall for part in self.parts], weights=self.clusters.sizes()))

    def search(
        self, asked: Asked, *, k: int, excluded: Adjacency, names: Int64[ndarray, "queries"], effort: float = 1.0
    ) -> list[Hits]:
        """The k best positions in each cluster for each query, in the order of the clusters; else as `Index.search`.

        The effort is the share that approximate indexes read of what they would: lists that are shorter need less.
        """
        parts = [part.eased(effort) if isinstance(part, ApproximateIndex) else part for part in self.parts]
        return [
            part.search(vectors, k=k, excluded=self._inside(cluster, excluded), names=names)
            for cluster, (part, vectors) in enumerate(zip(parts, asked, strict=True))
        ]

    def search_together(
        self, asked: Asked, *, k: int, excluded: Adjacency, names: Int64[ndarray, "queries"]
    ) -> list[Hits]:
        """The same where the scores of all clusters compare: lists need not hold who is not among the k best of all.

        Inverted files are read as if they were one. Every other cluster is then searched for those alone who would
        change the k best so far.
        """
        inside = [self._inside(cluster, excluded) for cluster in range(self.clusters.count)]
        files = {place: part for place, part in enumerate(self.parts) if is_file(part)}
        asking, barred = [asked[place] for place in files], [inside[place] for place in files]
        found = search_files(list(files.values()), asking, barred, k=k, names=names)
        lists = dict(zip(files, found, strict=True))
        best = np.full((len(names), k), -np.inf, np.float32)
        for hits in found:
            raise_best(best, hits.scores)
        for place, part in enumerate(self.parts):
            if place not in lists:
                floors = best[:, -1]
                lists[place] = part.search(asked[place], k=k, excluded=inside[place], names=names, floors=floors)
                raise_best(best, lists[place].scores)
        return [lists[place] for place in range(self.clusters.count)]

    def deepen(
        self,
        lists: Sequence[Hits],
        asked: Asked,
        floors: Float[ndarray, "queries clusters"],
        *,
        k: int,
        excluded: Adjacency,
        names: Int64[ndarray, "queries"],
    ) -> list[Hits]:
        """Lists that `search` found, made k long where the floor is finite, or -inf, with all who score that much.

        Where it is inf, they stay as they are.
        """
        return [
            self._deepen(cluster, hits, asked[cluster], floors[:, cluster], k, (excluded, names))
            for cluster, hits in enumerate(lists)
        ]

    def held(self, excluded: Adjacency) -> Int64[ndarray, "queries clusters"]:
        """How many candidates of each cluster each query may get."""
        num_queries, count = excluded.num_nodes, self.clusters.count
        barred = excluded.sources() * count + self.clusters.of[excluded.indices]
        return self.clusters.sizes() - np.bincount(barred, minlength=num_queries * count).reshape(num_queries, count)

    def log_masses(
        self, asked: Asked, found: Sequence[Hits], *, excluded: Adjacency, temperature: float
    ) -> Float64[ndarray, "queries clusters"]:
        """Log Z_k(q) of each cluster k, whose best were `found` by `search`: see `log_masses`."""
        masses = [
            log_masses(
                vectors,
                part.vectors,
                Hits(np.where(hits.rows < 0, hits.rows, self.places[hits.rows]), hits.scores),
                self._inside(cluster, excluded),
                temperature=temperature,
                seed=self.seed,
            )
            for cluster, (part, vectors, hits) in enumerate(zip(self.parts, asked, found, strict=True))
        ]
        return np.stack(masses, axis=1)

    def _deepen(
        self, cluster: int, hits: Hits, asked: ndarray, floors: ndarray, k: int, about: tuple[Adjacency, ndarray]
    ) -> Hits:
        excluded, names = about
        missing = ((0, 0), (0, k - hits.rows.shape[1]))
        rows = np.pad(hits.rows, missing, constant_values=NOBODY)
        scores = np.pad(hits.scores, missing, constant_values=-np.inf)
        short = np.flatnonzero(floors < np.inf)
        if len(short):
            inside = self._inside(cluster, excluded).rows(short)
            # Rounded down, so that nobody is lost who is tied.
            least = np.nextafter(floors[short].astype(np.float32), np.float32(-np.inf))
            found = self.parts[cluster].search(asked[short], k=k, excluded=inside, names=names[short], floors=least)
            rows[short], scores[short] = found.rows, found.scores
        return Hits(rows, scores)

    def _inside(self, cluster: int, excluded: Adjacency) -> Adjacency:
        """The excluded positions that lie in a cluster, as places there."""
        inside = self.clusters.of[excluded.indices] == cluster
        there = excluded.only(inside)
        return replace(there, indices=self.places[there.indices])


def build_divided(
    vectors: Float[ndarray, "candidates dim"],
    clusters: Clusters,
    config: IndexConfig,
    *,
    seed: int,
    asking: Asked | None = None,
    device: torch.device | str = "cpu",
) -> DividedIndex:
    """Index each cluster by itself, as `build_index` does; clusters of few candidates are always compared as a whole.

    `asking` holds for each cluster vectors with which others than the candidates ask it: see `draw_measuring`.
    """
    exact = config.model_copy(update={"kind": "exact"})
    parts = tuple(
        build_index(
            vectors[members],
            exact if len(members) < EXACT_BELOW else config,
            seed=seed,
            asking=None if asking is None else asking[cluster],
            device=device,
            numbers=members,
        )
        for cluster, members in enumerate(map(clusters.members, range(clusters.count)))
    )
    return DividedIndex(clusters, parts, seed)
