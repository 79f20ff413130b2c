"""The split: what may be learned from, and what is held out, each in its own memory-mapped files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from amity.errors import SplitError
from amity.graph import Adjacency, Graph, Relation, open_adjacency
from amity.graph.storage import open_array
from amity.splitting.assignment import (
    QUIET,
    TEST,
    TRAIN,
    VALID,
    Cutoffs,
    SplittingConfig,
    assign,
    count_parts,
    cutoffs_of,
    make_rule,
    row_ranges,
)
from amity.splitting.streams import write_array, write_messages, write_pairs, write_selected

PAGE = "split.json"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Edges as pairs of rows of the graph; a friendship stands once, its source before its target."""

    sources: Integer[ndarray, "pairs"]
    targets: Integer[ndarray, "pairs"]

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out part."""

    truth: Adjacency
    """Row of a query: its held-out targets; a friendship is in both rows."""
    known: Adjacency
    """Row of a query: targets beyond its train edges that it is known to have and that must not be ranked."""


@dataclass(frozen=True, slots=True)
class Split:
    """A graph divided for learning and for judging.

    Only the first relation is divided. A query without a train edge stays in the held-out parts.
    """

    train: Graph
    """The same nodes; its first relation holds the train edges, its messages none that is held out or quiet."""
    supervision: Pairs
    """The train edges to learn from."""
    valid: HeldOut
    """To choose a model by; no friends are known beyond the train edges."""
    test: HeldOut
    """To judge the model by; the validation edges are known."""
    cutoffs: Cutoffs | None = None
    """The moments between the parts; absent unless the split is by time."""


def split_edges(graph: Graph, config: SplittingConfig, directory: Path, *, seed: int) -> Split:
    """Divide the first relation of a graph and write the parts into a new or empty directory.

    At random, an edge's part hangs on a hash of the seed and its two rows alone; by time, on its earliest time.
    Written: `relation/`, `messages/` (unless they are the same), `supervision/`, `valid/truth/`, `test/truth/`,
    `parts.npy` (what became of each edge: 0 train, 1 valid, 2 test, 3 supervises only) and `split.json`.
    Memory stays within one int64 a node and one run of edges. Raises `SplitError` where a part would be empty.
    """
    relation = graph.target
    rule = make_rule(relation, config, seed=seed)
    adjacency = relation.adjacency
    chunks = (assign(adjacency, rule, rows) for rows in row_ranges(adjacency.indptr))
    write_array(directory / "parts.npy", np.int8, adjacency.num_edges, chunks)
    parts = open_array(directory / "parts.npy")
    counts = count_parts(parts)
    _refuse_empty(relation, counts, config)
    write_selected(adjacency, parts, (TRAIN, QUIET), directory / "relation")
    write_selected(adjacency, parts, (VALID,), directory / "valid" / "truth")
    write_selected(adjacency, parts, (TEST,), directory / "test" / "truth")
    write_pairs(relation, parts, quiet=config.supervision < 1, directory=directory / "supervision")
    shared = len(graph.relations) == 1 and relation.undirected and config.supervision == 1
    if not shared:
        write_messages(graph.messages, graph.relations, parts, directory / "messages")
    cutoffs = cutoffs_of(rule, adjacency)
    page = {
        "messages": "relation" if shared else "messages",
        "cutoffs": cutoffs and asdict(cutoffs),
        "edges": dict(zip(("train", "valid", "test"), _distinct(relation, counts), strict=True)),
    }
    (directory / PAGE).write_text(json.dumps(page, indent=1))
    return open_split(directory, graph)


def open_split(directory: Path, graph: Graph) -> Split:
    """Map a split of that graph into memory; nothing is read until it is used."""
    page = json.loads((directory / PAGE).read_text())
    target = graph.target
    relation = open_adjacency(directory / "relation")
    train = Relation(target.name, target.source, target.target, undirected=target.undirected, adjacency=relation)
    messages = relation if page["messages"] == "relation" else open_adjacency(directory / page["messages"])
    supervision = Pairs(*(open_array(directory / "supervision" / f"{name}.npy") for name in ("sources", "targets")))
    valid = open_adjacency(directory / "valid" / "truth")
    nothing = Adjacency(np.zeros(graph.num_nodes + 1, np.int64), np.empty(0, relation.indices.dtype))
    return Split(
        graph.with_edges((train, *graph.relations[1:]), messages),
        supervision,
        HeldOut(valid, nothing),
        HeldOut(open_adjacency(directory / "test" / "truth"), valid),
        page["cutoffs"] and Cutoffs(**page["cutoffs"]),
    )


def _distinct(relation: Relation, counts: ndarray) -> list[int]:
    """How many edges train, valid and test hold, a friendship counted once."""
    train, valid, test, quiet = (int(count) // (2 if relation.undirected else 1) for count in counts)
    return [train + quiet, valid, test]


def _refuse_empty(relation: Relation, counts: ndarray, config: SplittingConfig) -> None:
    train, valid, test = _distinct(relation, counts)
    supervising = counts[QUIET] if config.supervision < 1 else counts[TRAIN]
    empty = [name for name, count in (("train", train), ("valid", valid), ("test", test)) if not count]
    if empty or not supervising:
        raise SplitError(
            f"The {empty[0] if empty else 'supervision'} part is empty: of the edges of {relation.name!r}, {train:,} "
            f"fall to train, {valid:,} to valid and {test:,} to test (split by {config.by!r}). "
            f"Give more edges, or change `valid` ({config.valid}), `test` ({config.test}), "
            f"`supervision` ({config.supervision}) or `by`."
        )
