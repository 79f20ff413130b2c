"""From the largest inner product to the nearest neighbour: what faiss searches well is distance.

Every candidate x is given one more coordinate, √(M² − |x|²) with M the largest norm, and every query a 0. Then
|q′ − x′|² = |q|² + M² − 2 q·x, so the nearest are those of the largest inner product (Bachrach et al., 2014,
"Speeding up the Xbox recommender system using a Euclidean transformation for inner-product spaces", section 3).
Where all norms are equal the coordinate is 0 everywhere, and is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.index.lists import widen
from amity.index.precision import in_single

CHUNK = 65536
"""How many vectors are brought into memory at once."""
EQUAL = 1e-4
"""Norms that differ by no more than this share count as equal."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How vectors are lengthened before faiss sees them."""

    longest: float
    """The largest norm M of a candidate."""
    extended: bool
    """Whether the coordinate is there: False where all norms are equal."""
    width: int
    """How many coordinates there are after it, zeros at the end included."""

    def queries(self, queries: Float32[ndarray, "queries dim"]) -> Float32[ndarray, "queries width"]:
        """Queries, followed by zeros."""
        return widen(queries, self.width)

    def items(self, items: Float32[ndarray, "items dim"]) -> Float32[ndarray, "items width"]:
        """Candidates, followed by the coordinate that makes all norms equal, and zeros."""
        widened = widen(items, self.width)
        if self.extended:
            squares = np.square(items, dtype=np.float64).sum(axis=1)
            widened[:, items.shape[1]] = np.sqrt(np.maximum(self.longest**2 - squares, 0))
        return widened

    def chunks(self, vectors: Float[ndarray, "candidates dim"]) -> Iterator[Float32[ndarray, "chunk width"]]:
        """All candidates, a chunk at a time."""
        for first in range(0, len(vectors), CHUNK):
            yield self.items(in_single(vectors[first : first + CHUNK]))


def reduce(vectors: Float[ndarray, "candidates dim"], *, longest: float) -> Reduction:
    """The reduction for these candidates, of which the longest is given."""
    shortest = min(
        float(np.linalg.norm(in_single(vectors[first : first + CHUNK]), axis=1).min())
        for first in range(0, len(vectors), CHUNK)
    )
    extended = shortest < (1 - EQUAL) * longest
    return Reduction(longest, extended, vectors.shape[1] + extended)
