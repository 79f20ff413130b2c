"""Divide the edges of a graph and write the parts, out of core."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy import ndarray

from amity.errors import SplitError
from amity.graph import Graph, Relation
from amity.graph.storage import open_array
from amity.splitting.assignment import (
    QUIET,
    TEST,
    TRAIN,
    VALID,
    SplittingConfig,
    assign,
    count_parts,
    cutoffs_of,
    make_rule,
    row_ranges,
)
from amity.splitting.guards import check_no_leak
from amity.splitting.split import PAGE, Split, open_split
from amity.splitting.streams import write_array, write_messages, write_pairs, write_selected


def split_edges(graph: Graph, config: SplittingConfig, directory: Path, *, seed: int) -> Split:
    """Divide the first relation of a graph and write the parts into a new or empty directory.

    At random, an edge's part hangs on a hash of the seed and its two rows alone; by time, on its earliest time.
    Written: `relation/`, `messages/` (unless they are the same), `supervision/`, `valid/truth/`, `test/truth/`,
    `parts.npy` (what became of each edge: 0 train, 1 valid, 2 test, 3 supervises only) and `split.json`.
    Memory stays within one int64 a node and one run of edges. What was written is searched for leaks before it is
    returned. Raises `SplitError` where a part would be empty, or would leak.
    """
    relation = graph.target
    rule = make_rule(relation, config, seed=seed)
    adjacency = relation.adjacency
    chunks = (assign(adjacency, rule, rows) for rows in row_ranges(adjacency.indptr))
    write_array(directory / "parts.npy", np.int8, chunks)
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
    split = open_split(directory, graph)
    check_no_leak(split)
    return split


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
