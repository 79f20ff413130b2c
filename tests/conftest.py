"""Small graphs for every test."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

from amity.graph import Adjacency, Graph, NodeKind, Relation, from_pairs
from amity.graph.vocabulary import integer_vocabulary

# Shapes and dtypes are checked wherever a test calls; modules with numba kernels cannot be wrapped.
CHECKED = (
    "amity.embedding",
    "amity.encoder.graph_encoder",
    "amity.encoder.layers",
    "amity.encoder.model",
    "amity.evaluation.statistics",
    "amity.index.reduction",
    "amity.objectives.cca_ssg",
    "amity.objectives.multitask",
    "amity.objectives.retrieval",
    "amity.retrieval.retriever",
    "amity.training.checkpoint",
    "amity.training.loop",
    "amity.training.optimizer",
    "amity.training.recipe",
    "amity.training.step",
)
install_import_hook(CHECKED, "beartype.beartype")


def friend_graph(sources: np.ndarray, targets: np.ndarray, *, num_nodes: int, columns: tuple = ()) -> Graph:
    """A graph of one kind, `user`, with ids 0, 1, ...; every pair is a friendship."""
    both = np.concatenate([sources, targets]), np.concatenate([targets, sources])
    apart = both[0] != both[1]
    adjacency = from_pairs(both[0][apart], both[1][apart], num_nodes=num_nodes)
    return one_relation_graph(adjacency, columns)


def one_relation_graph(adjacency: Adjacency, columns: tuple = ()) -> Graph:
    """A graph of one kind under a symmetric adjacency."""
    users = NodeKind("user", 0, integer_vocabulary(np.arange(adjacency.num_nodes)), columns)
    return Graph((users,), (Relation("friend", "user", "user", undirected=True, adjacency=adjacency),), adjacency)


def random_friend_graph(num_nodes: int = 200, num_pairs: int = 1000, seed: int = 0, columns: tuple = ()) -> Graph:
    """Pairs drawn at random, a few nodes drawn far more often than others."""
    rng = np.random.default_rng(seed)
    sources = (num_nodes * rng.random(num_pairs) ** 2).astype(np.int64)
    targets = rng.integers(0, num_nodes, num_pairs)
    return friend_graph(sources, targets, num_nodes=num_nodes, columns=columns)


@pytest.fixture(scope="session")
def make_friend_graph():
    """`friend_graph(sources, targets, num_nodes=...)`."""
    return friend_graph


@pytest.fixture(scope="session")
def make_random_friend_graph():
    """`random_friend_graph(num_nodes, num_pairs, seed)`."""
    return random_friend_graph


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Where real data sets lie; tests that need one are skipped where they do not."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data sets at {path}")
    return path
