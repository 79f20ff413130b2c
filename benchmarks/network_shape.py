"""The shape of a social network, by figures that are compared with published ones: degrees and triangles."""

import numpy as np

from amity.graph import Adjacency

WEDGES = 200_000


def describe(adjacency: Adjacency) -> dict[str, float]:
    """Degrees, the exponent of their tail, and how often two friends of one person are friends.

    Exponent: maximum likelihood over the upper hundredth (Clauset, Shalizi and Newman, 2009, eq. 3.7). Clustering:
    the mean over people with two friends or more (Watts and Strogatz, 1998), by one pair of friends each of people
    drawn at random; transitivity: the share of closed wedges, by wedges drawn at random (Seshadhri et al., 2013).
    """
    rng, degrees = np.random.default_rng(0), adjacency.degrees()
    several = np.flatnonzero(degrees > 1)
    least = float(np.quantile(degrees, 0.99))
    tail = degrees[degrees >= least]
    wedges = degrees[several].astype(np.float64)
    reach = np.cumsum(wedges * (wedges - 1))
    by_wedge = several[np.searchsorted(reach, rng.random(WEDGES) * reach[-1])]
    return {
        "degree_mean": float(degrees.mean()),
        "degree_median": float(np.median(degrees)),
        "degree_p99": least,
        "degree_max": float(degrees.max()),
        "tail_exponent": 1 + len(tail) / float(np.log(tail / (least - 0.5)).sum()),
        "clustering": closed(adjacency, rng.choice(several, WEDGES), rng),
        "transitivity": closed(adjacency, by_wedge, rng),
        "transitivity_by_chance": float(degrees.mean()) / len(degrees),
    }


def closed(adjacency: Adjacency, people: np.ndarray, rng: np.random.Generator) -> float:
    """How often two friends, drawn at random, of each of some people are friends."""
    first = adjacency.indptr[people]
    degrees = adjacency.indptr[people + 1] - first
    one = (rng.random(len(people)) * degrees).astype(np.int64)
    other = (one + 1 + (rng.random(len(people)) * (degrees - 1)).astype(np.int64)) % degrees
    left, right = adjacency.indices[first + one], adjacency.indices[first + other]
    found = [contains(adjacency.neighbors(a), b) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return float(np.mean(found))


def contains(row: np.ndarray, value: int) -> bool:
    """Whether a sorted row holds a value."""
    place = int(np.searchsorted(row, value))
    return place < len(row) and int(row[place]) == value
