"""Communities of the train messages: the Louvain method (Blondel et al., 2008, arXiv 0803.0476), by scikit-network.

Its Leiden method draws from a state of the C library that no seed reaches, so that no two of its divisions are alike.
"""

import numpy as np
from jaxtyping import Integer
from numpy import ndarray
from pydantic import PositiveFloat

from amity.errors import ConfigError
from amity.graph import Graph
from amity.section import Section


class CommunitiesConfig(Section):
    """Groups with more edges inside than chance would give."""

    resolution: PositiveFloat = 1.0
    """Weight of what chance would give: the higher, the more and the smaller the communities are."""


def find_communities(graph: Graph, config: CommunitiesConfig, *, seed: int) -> Integer[ndarray, "candidates"]:
    """The community of each candidate, among all nodes that send messages; who has no edge is alone in one.

    Raises `ConfigError` where scikit-network is not installed.
    """
    try:
        from scipy.sparse import csr_matrix  # noqa: PLC0415 (an extra, of which most have no need)
        from sknetwork.clustering import Louvain  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Dividing by `communities` needs {error.name}, which is not here. Type: pip install 'amity[clustering]'"
        ) from error
    edges = graph.messages
    ones, shape = np.ones(edges.num_edges, np.float32), (edges.num_nodes, edges.num_nodes)
    louvain = Louvain(resolution=config.resolution, shuffle_nodes=True, random_state=seed % 2**31)
    return louvain.fit_predict(csr_matrix((ones, edges.indices, edges.indptr), shape))[graph.candidates.rows]
