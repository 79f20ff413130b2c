"""The graph that every later stage reads."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from amity.errors import RetrievalError
from amity.graph.adjacency import Adjacency
from amity.graph.features import Column
from amity.graph.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class NodeKind:
    """The nodes of one kind: people, items. They are rows `first` to `first + count` of the graph."""

    name: str
    first: int
    vocabulary: Vocabulary
    """Raw ids, in the order of the rows."""
    columns: tuple[Column, ...] = ()
    """Features; row i of a column belongs to node `first + i`."""

    @property
    def count(self) -> int:
        """How many nodes are of this kind."""
        return self.vocabulary.size

    @property
    def rows(self) -> slice:
        """The rows of the graph that these nodes are."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Relation:
    """Edges of one meaning, from nodes of one kind to nodes of one kind."""

    name: str
    source: str
    target: str
    undirected: bool
    """Whether it is a friendship: then both directions of an edge are in the adjacency."""
    adjacency: Adjacency


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """Nodes of one or several kinds, in one space of rows, and the relations between them.

    The first relation is what retrieval is about: its sources ask, its targets are the candidates.
    """

    kinds: tuple[NodeKind, ...]
    relations: tuple[Relation, ...]
    messages: Adjacency
    """Who may hear from whom: all relations, both ways, merged; the one adjacency that encoders read."""

    def __repr__(self) -> str:
        nodes = ", ".join(f"{kind.count:,} {kind.name}" for kind in self.kinds)
        edges = ", ".join(f"{one.adjacency.num_edges:,} {one.name}" for one in self.relations)
        return f"Graph(nodes: {nodes}; directed edges: {edges})"

    @property
    def num_nodes(self) -> int:
        """How many nodes there are, of all kinds."""
        return sum(kind.count for kind in self.kinds)

    @property
    def target(self) -> Relation:
        """The relation that retrieval is about."""
        return self.relations[0]

    @property
    def queries(self) -> NodeKind:
        """The nodes that ask."""
        return self.kind(self.target.source)

    @property
    def candidates(self) -> NodeKind:
        """The nodes that can be found."""
        return self.kind(self.target.target)

    def kind(self, name: str) -> NodeKind:
        """The kind of that name; KeyError if there is none."""
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise KeyError(name)

    def row(self, raw_id: int | str) -> int:
        """The row of a query by its raw id: `42`, `"42"`, or `"user:42"` where the kind must be said.

        A text id that itself holds a colon is found as it stands, before its beginning is taken for a kind.

        Raises `RetrievalError` where no node of the kind has that id.
        """
        prefix, separator, rest = str(raw_id).partition(":")
        named = [kind for kind in self.kinds if separator and kind.name == prefix]
        as_it_stands = self.queries.vocabulary.find(raw_id)
        kind, bare = (named[0], rest) if named and as_it_stands < 0 else (self.queries, raw_id)
        row = kind.vocabulary.find(bare)
        if row < 0:
            raise RetrievalError(
                f"No {kind.name} has the id {bare!r}. The graph holds {kind.count:,} of them, for example "
                f"{', '.join(map(repr, kind.vocabulary.ids(range(min(3, kind.count)))))}. "
                "Ask for one of its own ids, or ingest the tables again if this one is new."
            )
        return kind.first + row

    def isolated(self) -> Bool[ndarray, "nodes"]:
        """Which nodes have no edge in any relation, whether it carries messages or not."""
        alone = np.ones(self.num_nodes, np.bool_)
        for relation in self.relations:
            edges = relation.adjacency
            alone &= edges.indptr[1:] == edges.indptr[:-1]
            if not relation.undirected:
                alone[edges.indices] = False
        return alone

    def with_edges(self, relations: tuple[Relation, ...], messages: Adjacency) -> "Graph":
        """The same nodes under other edges."""
        return replace(self, relations=relations, messages=messages)
