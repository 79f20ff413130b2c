"""K-means, by faiss; and where sizes must be equal, points given to means in the order of what they stand to lose."""

import faiss
import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from amity.kernels import kernel

STEPS = 10
"""How often the means are moved."""
TRIES = 3
"""From how many starts candidates are divided; the best counts."""


def divide_points(
    vectors: Float[ndarray, "candidates dim"], count: int, *, balanced: bool, seed: int
) -> Integer[ndarray, "candidates"]:
    """The group of each vector: that of the mean nearest to it, where all are scaled to length 1.

    Vectors of zeros place no mean; they are nearest to the shortest, whose group is the widest spread. Balanced, sizes
    differ by at most one: whoever would lose most by its second choice takes its first before others, and each takes
    the nearest mean that has room.
    """
    points = _unit(vectors)
    told = points[points.any(axis=1)]
    means = find_means(told, min(count, len(told)), seed=seed, tries=TRIES)
    distances, nearest = finder_over(means).search(points, min(2, len(means)))  # pyright: ignore[reportCallIssue]
    if not balanced:
        return nearest[:, 0]
    order = np.argsort(distances[:, 0] - distances[:, -1], kind="stable")
    return _fill(order, points, means)


def find_means(
    points: Float[ndarray, "points dim"], count: int, *, seed: int, tries: int = 1
) -> Float[ndarray, "groups dim"]:
    """So many means, of the start whose points lie nearest to them; faiss looks at up to 256 points a mean."""
    # That a mean needs points is a hint, past our log.
    kmeans = faiss.Kmeans(
        points.shape[1], count, niter=STEPS, nredo=tries, seed=seed % 2**31, min_points_per_centroid=1
    )
    kmeans.train(points)
    assert kmeans.centroids is not None
    return kmeans.centroids


def finder_over(means: Float[ndarray, "groups dim"]) -> faiss.Index:
    """Finds the mean nearest to a point."""
    finder = faiss.IndexFlatL2(means.shape[1])
    finder.add(means)  # pyright: ignore[reportCallIssue]
    return finder


def _unit(vectors: Float[ndarray, "candidates dim"]) -> Float[ndarray, "candidates dim"]:
    points = np.array(vectors, np.float32, order="C")
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.divide(points, lengths, out=points, where=lengths > 0)


@kernel
def _fill(order, points, means):
    """Give each point, in order, the nearest mean with room: for the quotient, and one more while there is a rest."""
    room, rest = len(points) // len(means), len(points) % len(means)
    sizes = np.zeros(len(means), np.int64)
    groups = np.empty(len(points), np.int32)
    for point in order:
        least = np.inf
        for mean in range(len(means)):
            if sizes[mean] < room or (sizes[mean] == room and rest > 0):
                distance = np.float32(0)
                for axis in range(points.shape[1]):
                    distance += (points[point, axis] - means[mean, axis]) ** 2
                if distance < least:
                    least, groups[point] = distance, mean
        rest -= sizes[groups[point]] == room
        sizes[groups[point]] += 1
    return groups
