"""Small graphs for every test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from amity.graph import Adjacency, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.splitting import Split, SplittingConfig, split_edges

# Shapes and dtypes are checked wherever a test calls; modules with numba kernels cannot be wrapped.
CHECKED = (
    "amity.embedding",
    "amity.encoder.graph_encoder",
    "amity.encoder.layers",
    "amity.encoder.model",
    "amity.encoder.sequence_encoder",
    "amity.evaluation.statistics",
    "amity.index.reduction",
    "amity.objectives.cca_ssg",
    "amity.objectives.multitask",
    "amity.objectives.next_item",
    "amity.objectives.retrieval",
    "amity.retrieval.retriever",
    "amity.training.checkpoint",
    "amity.training.course",
    "amity.training.descent",
    "amity.training.histories",
    "amity.training.loop",
    "amity.training.optimizer",
    "amity.training.recipe",
    "amity.training.step",
)
install_import_hook(CHECKED, "beartype.beartype")

# Machines are shared: how long an example takes says nothing of the code.
settings.register_profile("amity", deadline=None)
settings.load_profile("amity")


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


def history_split(
    num_users: int, num_items: int, directory: Path, *, seed: int = 0, chain: Callable[[int], int] | None = None
) -> Split:
    """Users with histories of 3 to 25 distinct items; the last is test, the last but one valid.

    With a `chain` an item is mostly followed by what it says; users are rows 0, 1, ..., the items come after them.
    """
    rng = np.random.default_rng(seed)
    rows, items, times, parts = [], [], [], []
    for user in range(num_users):
        history = _walk(rng, num_items, int(rng.integers(3, min(26, num_items))), chain)
        rows += [user] * len(history)
        items += [num_users + item for item in history]
        times += list(range(len(history)))
        parts += [0] * (len(history) - 2) + [1, 2]
    order = np.lexsort((items, rows))
    columns = [np.array(values)[order] for values in (items, times, parts)]
    indptr = np.searchsorted(np.array(rows)[order], np.arange(num_users + num_items + 1))
    adjacency = Adjacency(indptr, columns[0].astype(np.int32), columns[1], parts=columns[2].astype(np.int8))
    users = NodeKind("user", 0, integer_vocabulary(np.arange(num_users)))
    candidates = NodeKind("item", num_users, integer_vocabulary(np.arange(num_items)))
    likes = Relation("likes", "user", "item", undirected=False, adjacency=adjacency)
    graph = Graph((users, candidates), (likes,), union(adjacency, reverse(adjacency)))
    return split_edges(graph, SplittingConfig(by="given"), directory, seed=0)


def _walk(rng: np.random.Generator, num_items: int, length: int, chain: Callable[[int], int] | None) -> list[int]:
    """Distinct items; where the chain would come back, or one time in ten, it goes on anywhere."""
    walk = [int(rng.integers(num_items))]
    while len(walk) < length:
        following = chain(walk[-1]) if chain and rng.random() < 0.9 else int(rng.integers(num_items))
        while following in walk:
            following = int(rng.integers(num_items))
        walk.append(following)
    return walk


@pytest.fixture(scope="session")
def make_history_split(tmp_path_factory: pytest.TempPathFactory):
    """`history_split(num_users, num_items, seed=..., chain=...)`."""
    return lambda users, items, **rest: history_split(users, items, tmp_path_factory.mktemp("histories"), **rest)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Where real data sets lie; tests that need one are skipped where they do not."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data sets at {path}")
    return path
