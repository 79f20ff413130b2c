"""What a search finds, and what every index promises."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from numpy import ndarray

from amity.errors import RetrievalError
from amity.graph import Adjacency

NOBODY = -1
"""The row of a place in a list that stays empty."""
LONGEST = 1e15
"""The longest vector whose inner products stay within single precision."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The best candidates of each query, best first.

    A list holds min(k, number of candidates that are not excluded) of them; places beyond have row -1, score -inf.
    """

    rows: Int64[ndarray, "queries k"]
    scores: Float32[ndarray, "queries k"]
    """By what they are ranked: an index gives inner products with the query."""

    def where(self, stays: Bool[ndarray, "queries #k"]) -> "Hits":
        """The same lists with nobody in the other places."""
        return Hits(np.where(stays, self.rows, NOBODY), np.where(stays, self.scores, np.float32(-np.inf)))

    def moved(self, first: int) -> "Hits":
        """The same lists where position 0 is row `first`."""
        return Hits(np.where(self.rows < 0, self.rows, self.rows + first), self.scores)


@runtime_checkable
class Index(Protocol):
    """Finds the candidates whose inner product with a query is largest."""

    @property
    def vectors(self) -> Float[ndarray, "candidates dim"]:
        """What is searched; may be a memory-mapped file."""
        ...

    @property
    def kind(self) -> Literal["exact", "hnsw", "ivf", "ivfpq"]:
        """What it is called in settings."""
        ...

    @property
    def recall(self) -> float:
        """The share of the exact lists that it finds, as measured when it was built; 1 for exact search."""
        ...

    def search(
        self,
        queries: Float[ndarray, "queries dim"],
        *,
        k: int,
        excluded: Adjacency,
        names: Int64[ndarray, "queries"] | None = None,
        floors: Float32[ndarray, "queries"] | None = None,
    ) -> Hits:
        """The k best of `vectors` for each query, as positions; whoever scores below its floor may be left out.

        Row q of `excluded` holds the positions, sorted, that query q must not get. Equal scores are ordered by a
        seeded hash of the candidate and the query's name (its number, unless `names` are given), so that the order
        of the candidates never decides; an index of a part of them may have been given `numbers`, which lists and
        hashes then have in the place of positions. Raises `RetrievalError` for k < 1 and for queries that cannot be
        compared.
        """
        ...


def check_queries(queries: ndarray, *, k: int, dim: int) -> None:
    """Refuse what no index can answer."""
    if k < 1:
        raise RetrievalError(f"A list needs at least one place, and k is {k}. Ask for k of 1 or more.")
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise RetrievalError(
            f"The index holds vectors of {dim} numbers and the queries have the shape {queries.shape}. "
            "Search with the vectors of the same model that the index was built from."
        )
    comparable = (np.abs(queries) <= LONGEST).all(axis=1)
    if not comparable.all():
        raise RetrievalError(
            f"{np.count_nonzero(~comparable)} of {len(queries)} query vectors hold NaN, infinity, or numbers beyond "
            f"{LONGEST:g}, which nothing can be compared with. Train and embed again: the training has diverged."
        )


def nothing_excluded(num_queries: int) -> Adjacency:
    """An empty row for every query."""
    return Adjacency(np.zeros(num_queries + 1, np.int64), np.empty(0, np.int32))
