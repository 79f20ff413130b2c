"""The same things as a library has them, to hold ours against."""

import numpy as np
import scipy.sparse as sp

from amity.graph import Adjacency


def as_matrix(adjacency: Adjacency) -> sp.csr_array:
    """Ones where there are edges, by scipy."""
    ones = np.ones(adjacency.num_edges)
    return sp.csr_array((ones, adjacency.indices, adjacency.indptr), shape=(adjacency.num_nodes,) * 2)
