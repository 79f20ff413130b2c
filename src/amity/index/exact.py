"""Exact search: blocks of a product of integers, each reduced to the best candidates while it is still in the cache."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt64
from numpy import ndarray
from torch import Tensor

from amity.errors import IndexingError
from amity.graph import Adjacency
from amity.index.hits import LONGEST, Hits, check_queries
from amity.index.mirror import best_by_mirror, mirror_for
from amity.index.precision import in_single, stored
from amity.index.ranking import (
    MAX_CANDIDATES,
    Questions,
    contains,
    inner_product,
    keep_largest,
    least_keys,
    make_salts,
    number_of,
    to_hits,
    to_key,
    to_score,
)
from amity.index.rounding import error_bounds, multiply, round_rows, round_together
from amity.kernels import kernel, shared, to_single

QUERY_BLOCK = 1024
"""How many queries are answered at once."""
SCORE_BLOCK = 1 << 20
"""How many scores are computed before the best of them are picked: 4 MiB, within the last cache."""
GLANCE = 128
"""How many scores are compared with the limit at a glance."""
LARGEST_HALF = 65504.0
"""The largest finite number in half precision."""
SPARE = 16
"""How many candidates a reservoir holds beside the k best, at least, before it is cut to these."""
HEAD = 2
"""A row of the selection's state begins with the size of its reservoir and the least key that may still enter."""


@dataclass(frozen=True, slots=True)
class ExactIndex:
    """Compares a query with every candidate.

    The lists are those of the true inner products, rounded once to single precision, whatever the sizes of the
    blocks, the order of the queries, the number of threads and the machine: a product of rounded integers only tells
    which candidates may enter, within its error (see `rounding`), and each of those is computed again.
    """

    vectors: Float[ndarray, "candidates dim"]
    """In single or half precision."""
    seed: int
    """Of the hash that orders equal scores."""
    longest: float
    """The largest norm among the vectors."""
    mirror: Float[Tensor, "candidates dim"] | None = None
    """The same vectors on a GPU, where one helps."""
    numbers: Int64[ndarray, "candidates"] | None = None
    """What candidates are called in lists, and by what their ties fall; absent where that is their position."""

    @property
    def kind(self) -> Literal["exact"]:
        """What it is called in settings."""
        return "exact"

    @property
    def recall(self) -> float:
        """1: nothing is missed."""
        return 1.0

    def search(
        self,
        queries: Float[ndarray, "queries dim"],
        *,
        k: int,
        excluded: Adjacency,
        names: Int64[ndarray, "queries"] | None = None,
        floors: Float32[ndarray, "queries"] | None = None,
    ) -> Hits:
        """The k best positions for each query: see `Index.search`."""
        questions = self.ask(queries, k=k, excluded=excluded, names=names)
        return to_hits(self.best_keys(questions, k=k, floors=floors), questions.salts, k=k)

    def ask(
        self, queries: ndarray, *, k: int, excluded: Adjacency, names: Int64[ndarray, "queries"] | None
    ) -> Questions:
        """Queries as kernels take them; raises `RetrievalError` where they cannot be answered."""
        queries = np.ascontiguousarray(queries, np.float32)
        check_queries(queries, k=k, dim=self.vectors.shape[1])
        names = np.arange(len(queries)) if names is None else np.asarray(names, np.int64)
        numbers = np.empty(0, np.int64) if self.numbers is None else self.numbers
        return Questions(
            queries,
            make_salts(self.seed, names),
            np.ascontiguousarray(excluded.indptr, np.int64),
            np.ascontiguousarray(excluded.indices, np.int64),
            numbers,
        )

    def best_keys(
        self, questions: Questions, *, k: int, floors: Float32[ndarray, "queries"] | None = None
    ) -> UInt64[ndarray, "queries kept"]:
        """The keys of the k best candidates of each query, in no order; 0 where there are fewer above the floor."""
        k = min(k, len(self.vectors))
        best = np.zeros((len(questions.vectors), k), np.uint64)
        least = np.zeros(len(best), np.uint64) if floors is None else least_keys(floors)
        for first in range(0, len(best), QUERY_BLOCK):
            last = min(first + QUERY_BLOCK, len(best))
            best[first:last] = self._search_block(questions.part(first, last), least[first:last], k)
        return best

    def _search_block(
        self, questions: Questions, least: UInt64[ndarray, "queries"], k: int
    ) -> UInt64[ndarray, "queries k"]:
        if self.mirror is None:
            return self._compare(questions, least, k)
        best, proven = best_by_mirror(questions, self.vectors, self.mirror, longest=self.longest, k=k)
        left = np.flatnonzero(~proven)
        if len(left):
            best[left] = self._compare(questions.rows(left), least[left], k)
        return best

    def _compare(self, questions: Questions, least: UInt64[ndarray, "queries"], k: int) -> UInt64[ndarray, "queries k"]:
        asked = round_rows(questions.vectors)
        width = max(1, SCORE_BLOCK // len(questions.vectors))
        scratch = torch.empty(len(questions.vectors) * min(width, len(self.vectors)), dtype=torch.int32)
        state = np.zeros((len(questions.vectors), HEAD + k + max(k, SPARE)), np.uint64)
        state[:, 1] = least
        for first in range(0, len(self.vectors), width):
            items = in_single(self.vectors[first : first + width])
            offered = round_together(items)
            products = multiply(asked, offered, scratch)
            asking = *questions, *error_bounds(asked, offered)
            shared(_select, len(products), products, (first, items), asking, state, k)
        shared(_finish, len(state), state, k)
        return state[:, HEAD : HEAD + k]


def exact_index(
    vectors: Float[ndarray, "candidates dim"],
    *,
    seed: int,
    device: torch.device | str = "cpu",
    numbers: Int64[ndarray, "candidates"] | None = None,
) -> ExactIndex:
    """An exact index over vectors; raises `IndexingError` for what cannot be compared.

    The vectors are not copied, except to a GPU that is to help; the lists are the same with it and without.
    """
    if vectors.ndim != 2 or not 0 < len(vectors) <= MAX_CANDIDATES:
        raise IndexingError(
            f"An index needs at least one candidate and at most {MAX_CANDIDATES:,}, each a vector; the vectors have "
            f"the shape {vectors.shape}. Give the graph candidates, or cut them into several indexes."
        )
    kept = np.float16 if vectors.dtype == np.float16 else np.float32
    vectors = np.ascontiguousarray(vectors, kept).view(ndarray)
    vectors.flags.writeable = False
    squares = np.empty(len(vectors), np.float64)
    shared(_squares, len(vectors), stored(vectors), squares)
    longest = float(np.sqrt(squares.max()))
    if not longest <= LONGEST:
        raise IndexingError(
            f"The longest vector has the norm {longest:g}: vectors must be finite and no longer than {LONGEST:g} "
            "to be compared. Train and embed again: the training has diverged."
        )
    return ExactIndex(vectors, seed, longest, mirror_for(vectors, device), numbers)


@kernel
def _limit(floor, bounds):
    """The least product of integers whose true inner product may have a key of `floor` or more."""
    unit, slack = bounds
    if floor == 0:
        return np.int64(-(2**31))
    score = np.float64(to_score(floor))
    return np.int64(max(-(2.0**31), np.floor((score - abs(score) * 1e-6 - slack) / unit) - 1.0))


@kernel
def _consider(products, block, asker, state, k):
    """Put those of one query's candidates that may be among its best into its reservoir."""
    first, items = block
    query, (salt, numbers), barred, bounds = asker
    reservoir = state[HEAD:]
    size, floor = np.int64(state[0]), state[1]
    limit = _limit(floor, bounds)
    for start in range(0, len(products), GLANCE):
        chunk = products[start : start + GLANCE]
        if _largest(chunk) < limit:
            continue
        for j in range(len(chunk)):
            position = first + start + j
            if chunk[j] < limit or contains(barred, position):
                continue
            key = to_key(inner_product(query, items[start + j]), number_of(position, numbers), salt)
            if key <= floor:
                continue
            reservoir[size] = key
            size += 1
            if size == len(reservoir):
                keep_largest(reservoir, k)
                size = k
                floor = reservoir[:k].min()
                limit = _limit(floor, bounds)
    state[0], state[1] = size, floor


@kernel
def _largest(products):
    largest = products[0]
    for j in range(len(products)):  # by number, and not by `max`: so it becomes vector code
        largest = products[j] if products[j] > largest else largest
    return largest


@kernel
def _select(part, products, block, asking, state, k):
    vectors, salts, starts, excluded, numbers, units, slack = asking
    for q in range(*part):
        asker = (vectors[q], (salts[q], numbers), excluded[starts[q] : starts[q + 1]], (units[q], slack[q]))
        _consider(products[q], block, asker, state[q], k)


@kernel
def _finish(part, state, k):
    for q in range(*part):
        size = np.int64(state[q, 0])
        reservoir = state[q, HEAD:]
        if size > k:
            keep_largest(reservoir[:size], k)
        else:
            for empty in range(size, len(reservoir)):
                reservoir[empty] = 0


@kernel
def _squares(part, vectors, squares):
    halves = vectors.itemsize == 2
    for i in range(*part):
        total = 0.0
        for j in range(vectors.shape[1]):
            value = np.float64(to_single(vectors[i, j]) if halves else vectors[i, j])
            total += value * value
            if halves and abs(value) > LARGEST_HALF:  # what `to_single` makes of NaN and infinity
                total = np.inf
        squares[i] = total if total < np.inf else np.inf  # NaN counts as infinite
