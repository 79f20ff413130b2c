"""Approximate search: faiss proposes candidates, and their true inner products rank them."""

from dataclasses import dataclass, replace
from typing import Literal

import faiss
import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64
from numpy import ndarray

from amity.graph import Adjacency
from amity.index.exact import ExactIndex
from amity.index.hits import Hits
from amity.index.hnsw import HnswConfig
from amity.index.ivf import IvfConfig
from amity.index.ivfpq import IvfpqConfig
from amity.index.ranking import Questions, rank, to_hits
from amity.index.reduction import Reduction

KINDS: dict[type, Literal["hnsw", "ivf", "ivfpq"]] = {HnswConfig: "hnsw", IvfConfig: "ivf", IvfpqConfig: "ivfpq"}
QUERY_BLOCK = 4096
"""How many queries are answered at once."""
WIDENINGS = (1, 4)
"""How many times harder each round searches for the lists that came back short."""
WORTH_IT = 0.25
"""The share of all candidates beyond which fetching them one by one is slower than comparing with everyone."""


@dataclass(frozen=True, slots=True)
class ApproximateIndex:
    """Searches what faiss built; every list is complete, and its scores are true inner products.

    For each query as many more candidates are fetched as it has excluded. Where the list is short nevertheless, or
    its last place is tied with the worst that was fetched, the search is widened, and what stays short or tied is
    compared with every candidate.
    """

    exact: ExactIndex
    """The vectors themselves."""
    proposer: faiss.Index
    """The index of faiss over the vectors as the reduction gives them."""
    reduction: Reduction
    config: HnswConfig | IvfConfig | IvfpqConfig
    recall: float = float("nan")
    """The share of the exact lists that it finds; NaN before it was measured."""

    @property
    def kind(self) -> Literal["hnsw", "ivf", "ivfpq"]:
        """What it is called in settings."""
        return KINDS[type(self.config)]

    @property
    def vectors(self) -> Float[ndarray, "candidates dim"]:
        """What is searched."""
        return self.exact.vectors

    def eased(self, effort: float) -> "ApproximateIndex":
        """The same index, which reads only such a share of what it would."""
        dial = "ef_search" if isinstance(self.config, HnswConfig) else "probes"
        share = max(1, round(effort * getattr(self.config, dial)))
        return replace(self, config=self.config.model_copy(update={dial: share}))

    def search(
        self,
        queries: Float[ndarray, "queries dim"],
        *,
        k: int,
        excluded: Adjacency,
        names: Int64[ndarray, "queries"] | None = None,
        floors: Float32[ndarray, "queries"] | None = None,  # noqa: ARG002 (nothing is saved by leaving out what is found)
    ) -> Hits:
        """The k best positions that are found for each query: see `Index.search`."""
        questions = self.exact.ask(queries, k=k, excluded=excluded, names=names)
        kept = min(k, len(self.vectors))
        keys = np.zeros((len(queries), kept), np.uint64)
        for first in range(0, len(queries), QUERY_BLOCK):
            last = min(first + QUERY_BLOCK, len(queries))
            keys[first:last] = self._search_block(questions.part(first, last), kept)
        return to_hits(keys, questions.salts, k=k)

    def _search_block(self, questions: Questions, k: int) -> UInt64[ndarray, "queries k"]:
        keys = np.zeros((len(questions.vectors), k), np.uint64)
        num_excluded = np.diff(questions.starts)
        eligible = np.minimum(k, len(self.vectors) - num_excluded)
        left = np.arange(len(keys))
        for widening in WIDENINGS:
            counts = self._fetch_counts(num_excluded, k, widening)
            for count in np.unique(counts[left]):
                if count <= WORTH_IT * len(self.vectors):
                    chosen = left[counts[left] == count]
                    keys[chosen] = self._propose(questions.rows(chosen), k, int(count), widening)
            left = np.flatnonzero(np.count_nonzero(keys, axis=1) < eligible)
        if len(left):
            keys[left] = self.exact.best_keys(questions.rows(left), k=k)
        return keys

    def _fetch_counts(self, num_excluded: ndarray, k: int, widening: int) -> Int64[ndarray, "queries"]:
        """How many candidates to fetch for each query."""
        return np.minimum(widening * self.config.fetch(k) + room_for(num_excluded), len(self.vectors))

    def _propose(self, questions: Questions, k: int, count: int, widening: int) -> UInt64[ndarray, "queries k"]:
        effort = self.config.effort(self.proposer, count, widening)
        _, found = self.proposer.search(self.reduction.queries(questions.vectors), count, params=effort)
        return rank(questions, self.vectors, found, k=k)


def room_for(num_excluded: Int64[ndarray, "queries"]) -> Int64[ndarray, "queries"]:
    """How many more to fetch where so many are excluded; few distinct numbers, so that queries go together."""
    room = np.zeros(len(num_excluded), np.int64)
    barred = num_excluded > 0
    room[barred] = 1 << np.ceil(np.log2(num_excluded[barred])).astype(np.int64)
    return room
