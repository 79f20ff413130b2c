"""A graph and a retriever over it."""

import numpy as np
import pytest

from amity.embedding import Embeddings
from amity.graph import Graph
from amity.retrieval import Retriever


@pytest.fixture(scope="session")
def graph(make_random_friend_graph) -> Graph:
    """150 people, some of them without friends."""
    return make_random_friend_graph(150, 200)


@pytest.fixture(scope="session")
def retriever(graph: Graph) -> Retriever:
    """Over random vectors."""
    vectors = np.random.default_rng(0).standard_normal((graph.num_nodes, 8)).astype(np.float32)
    return Retriever.build(Embeddings(vectors, graph))
