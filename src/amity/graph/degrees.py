"""Nodes by how many friends they have: what is reported and observed bucket by bucket."""

import numpy as np
from jaxtyping import Int64, Shaped
from numpy import ndarray

DEGREE_BUCKETS = {"0": 0, "1-2": 1, "3-5": 3, "6-20": 6, ">20": 21}
"""The least degree of each bucket."""


def degree_buckets(degrees: Shaped[ndarray, "nodes"]) -> Int64[ndarray, "nodes"]:
    """The number of the bucket of each degree, in the order of `DEGREE_BUCKETS`."""
    return np.digitize(degrees, list(DEGREE_BUCKETS.values())) - 1
