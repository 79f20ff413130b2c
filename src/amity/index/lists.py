"""Where the lists of an inverted file lie: around the means that k-means finds, in two steps where there are many.

Comparing every candidate with each of 40,000 means would take most of a build. So the candidates are divided into a few
groups and each group into lists; a candidate looks for its list in the nearest groups only. A query is compared with
all means, by inner product: they are few beside what it then reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

import faiss
import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.clustering.kmeans import find_means, finder_over
from amity.index.precision import in_single

MOST_LISTS = 65536
"""No index has more lists."""
ONE_STEP = 1024
"""Up to so many lists are placed, and looked for, in one step."""
POINTS_PER_LIST = 64
"""How many candidates for each list are drawn to place the lists."""
LEAST_POINTS = 65536
"""How many candidates are drawn at least, where there are so many."""
NEAREST_GROUPS = 2
"""In how many groups a candidate looks for its list."""


@dataclass(frozen=True, slots=True)
class Lists:
    """What an inverted file is trained by."""

    means: Float32[ndarray, "lists width"]
    points: Float32[ndarray, "points width"]
    """The candidates that were drawn."""


def place_lists(vectors: Float[ndarray, "candidates dim"], *, list_size: int, width: int, seed: int) -> Lists:
    """Lists that hold `list_size` candidates on average, and no fewer than a quarter of the root of all.

    Zeros are appended to the vectors up to the width.
    """
    count = max(1, min(-(-len(vectors) // list_size), isqrt(16 * len(vectors)), MOST_LISTS))
    points = widen(in_single(_draw(vectors, max(LEAST_POINTS, POINTS_PER_LIST * count), seed)), width)
    if count <= ONE_STEP:
        return Lists(find_means(points, count, seed=seed), points)
    groups = find_means(points, isqrt(count), seed=seed)
    own = finder_over(groups).search(points, 1)[1][:, 0]
    parts = [points[own == group] for group in range(len(groups))]
    shares = [max(1, round(count * len(part) / len(points))) for part in parts]
    return Lists(
        np.concatenate(
            [find_means(part, share, seed=seed) for part, share in zip(parts, shares, strict=True) if len(part)]
        ),
        points,
    )


def fill(index: faiss.IndexIVF, lists: Lists, chunks: Iterable[Float32[ndarray, "chunk width"]]) -> None:
    """Train the codes of an inverted file of so many lists, and add all candidates."""
    finder = _finder(lists.means)  # faiss does not hold it: it must not go before the last candidate is added
    index.quantizer = finder
    index.train(lists.points)
    for chunk in chunks:
        index.add(chunk)  # pyright: ignore[reportCallIssue]
    flat = faiss.IndexFlatIP(lists.means.shape[1])
    flat.add(lists.means)  # pyright: ignore[reportCallIssue]
    _own(index, flat)


def widen(vectors: Float32[ndarray, "rows dim"], width: int) -> Float32[ndarray, "rows width"]:
    """Vectors, followed by zeros."""
    if width == vectors.shape[1]:
        return np.ascontiguousarray(vectors)
    widened = np.zeros((len(vectors), width), np.float32)
    widened[:, : vectors.shape[1]] = vectors
    return widened


def _draw(vectors: ndarray, size: int, seed: int) -> ndarray:
    """Some of the candidates, in order, so that a memory-mapped file is read forwards."""
    if len(vectors) <= size:
        return vectors
    return vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), size, replace=False))]


def _finder(means: ndarray) -> faiss.Index:
    """Finds the mean nearest to a candidate: nearly always, where there are many."""
    if len(means) <= ONE_STEP:
        return finder_over(means)
    groups = faiss.IndexFlatL2(means.shape[1])
    finder = faiss.IndexIVFFlat(groups, means.shape[1], isqrt(len(means)))
    _own(finder, groups)
    finder.cp.min_points_per_centroid = 1
    finder.train(means)  # pyright: ignore[reportCallIssue]
    finder.add(means)  # pyright: ignore[reportCallIssue]
    finder.make_direct_map()
    finder.nprobe = NEAREST_GROUPS
    return finder


def _own(index: faiss.IndexIVF, quantizer: faiss.Index) -> None:
    """Let the file find its lists by this one, and free it in the end."""
    index.quantizer = quantizer
    index.own_fields = True
    quantizer.this.disown()  # pyright: ignore[reportAttributeAccessIssue]
