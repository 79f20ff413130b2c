"""The graph: kinds of nodes with raw ids and features, relations between them, and who may send messages."""

from amity.graph.adjacency import Adjacency, from_pairs, reverse, union
from amity.graph.features import Bag, Category, Column, Number, Vector
from amity.graph.graph import Graph, NodeKind, Relation
from amity.graph.storage import open_adjacency, open_graph, save_adjacency, save_graph
from amity.graph.vocabulary import Vocabulary

__all__ = [
    "Adjacency",
    "Bag",
    "Category",
    "Column",
    "Graph",
    "NodeKind",
    "Number",
    "Relation",
    "Vector",
    "Vocabulary",
    "from_pairs",
    "open_adjacency",
    "open_graph",
    "reverse",
    "save_adjacency",
    "save_graph",
    "union",
]
