"""The split: what may be learned from, and what is held out, each in its own memory-mapped files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from amity.graph import Adjacency, Graph, Relation, open_adjacency
from amity.splitting.assignment import Cutoffs

PAGE = "split.json"
"""The file that names the parts of a split."""
PAST = "past"
"""The folder of the relations beside the first that a split by time has cut."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Edges as pairs of rows of the graph."""

    sources: Integer[ndarray, "pairs"]
    targets: Integer[ndarray, "pairs"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out part."""

    truth: Adjacency
    """Row of a query: its held-out targets; a friendship is in both rows."""
    known: Adjacency
    """Row of a query: targets beyond its train edges that it is known to have and that must not be ranked."""


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """A graph divided for learning and for judging.

    Only the first relation is divided. Of the others that have times, a split by time keeps what is no later than the
    last train edge may be. A query without a train edge stays in the held-out parts.
    """

    train: Graph
    """The same nodes; its first relation holds the train edges, its messages none that is held out, quiet or later."""
    supervision: Adjacency
    """The train edges to learn from, a friendship from either side: all of them, or those that are quiet."""
    valid: HeldOut
    """To choose a model by; no friends are known beyond the train edges."""
    test: HeldOut
    """To judge the model by; the validation edges are known."""
    cutoffs: Cutoffs | None = None
    """The moments between the parts; absent unless one is drawn by time."""

    def __repr__(self) -> str:
        parts = f"valid: {self.valid.truth.num_edges:,}, test: {self.test.truth.num_edges:,} directed edges"
        return f"Split(train: {self.train!r}, supervision: {self.supervision.num_edges:,}, {parts})"


def open_split(directory: Path, graph: Graph) -> Split:
    """Map a split of that graph into memory; nothing is read until it is used."""
    page = json.loads((directory / PAGE).read_text(encoding="utf-8"))
    target = graph.target
    relation = open_adjacency(directory / "relation")
    train = Relation(target.name, target.source, target.target, undirected=target.undirected, adjacency=relation)
    messages = relation if page["messages"] == "relation" else open_adjacency(directory / page["messages"])
    supervision = relation if page["supervision"] == "relation" else open_adjacency(directory / page["supervision"])
    valid = open_adjacency(directory / "valid" / "truth")
    nothing = Adjacency(np.zeros(graph.num_nodes + 1, np.int64), np.empty(0, relation.indices.dtype))
    others = (_open_past(other, directory / PAST / other.name) for other in graph.relations[1:])
    return Split(
        graph.with_edges((train, *others), messages),
        supervision,
        HeldOut(valid, nothing),
        HeldOut(open_adjacency(directory / "test" / "truth"), valid),
        page["cutoffs"] and Cutoffs(**page["cutoffs"]),
    )


def _open_past(relation: Relation, directory: Path) -> Relation:
    return replace(relation, adjacency=open_adjacency(directory)) if directory.exists() else relation
