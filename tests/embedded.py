"""A graph of two kinds, and random vectors for any graph."""

import numpy as np

from amity.embedding import Embeddings
from amity.graph import Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary


def bipartite_graph(num_users: int = 60, num_items: int = 90, num_pairs: int = 400) -> Graph:
    """Users with ids 1000, 1001, ... who like items with ids 0, 1, ...; users come first."""
    rng = np.random.default_rng(0)
    users = NodeKind("user", 0, integer_vocabulary(np.arange(num_users) + 1000))
    items = NodeKind("item", num_users, integer_vocabulary(np.arange(num_items)))
    sources, targets = rng.integers(0, num_users, num_pairs), num_users + rng.integers(0, num_items, num_pairs)
    likes = from_pairs(sources, targets, num_nodes=num_users + num_items)
    relation = Relation("likes", "user", "item", undirected=False, adjacency=likes)
    return Graph((users, items), (relation,), union(likes, reverse(likes)))


def embed(graph: Graph, dim: int = 8, seed: int = 0) -> Embeddings:
    vectors = np.random.default_rng(seed).standard_normal((graph.num_nodes, dim)).astype(np.float32)
    return Embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), graph)
