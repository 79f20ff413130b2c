"""Divide the edges of a graph and write the parts, out of core."""

import json
from dataclasses import asdict
from pathlib import Path

from numpy import ndarray

from amity.artifacts import filling
from amity.errors import SplitError
from amity.graph import Graph, Relation
from amity.splitting.assignment import (
    QUIET,
    TEST,
    TRAIN,
    VALID,
    SplittingConfig,
    cutoffs_of,
    make_rule,
)
from amity.splitting.guards import check_no_leak
from amity.splitting.split import PAGE, PAST, Split, open_split
from amity.splitting.streams import write_messages, write_parts, write_past


def split_edges(graph: Graph, config: SplittingConfig, directory: Path, *, seed: int) -> Split:
    """Divide the first relation of a graph and write the parts into a new or empty directory.

    At random, an edge's part hangs on a hash of the seed and its two rows alone; by time, on its earliest time.
    Written: `relation/`, `messages/` and `supervision/` (unless they are the same), `valid/truth/`, `test/truth/`,
    `past/` (other relations, where they are cut by time) and `split.json`. Memory stays within one run of edges. What
    was written is searched for leaks before it is returned.
    Raises `SplitError` where a part would be empty or would leak, and `ArtifactError` where the directory is not empty.
    """
    with filling(directory):
        relation = graph.target
        rule = make_rule(relation, config, seed=seed)
        adjacency = relation.adjacency
        wanted = {"relation": (TRAIN, QUIET), "valid/truth": (VALID,), "test/truth": (TEST,), "supervision": (QUIET,)}
        if config.supervision == 1:
            del wanted["supervision"]
        counts = write_parts(adjacency, rule, {directory / name: parts for name, parts in wanted.items()})
        _refuse_empty(relation, counts, config)
        shared = len(graph.relations) == 1 and relation.undirected and config.supervision == 1
        if not shared:
            others = (write_past(other, rule, directory / PAST / other.name) for other in graph.relations[1:])
            write_messages(graph.messages, (relation, *others), rule, directory / "messages")
        cutoffs = cutoffs_of(rule, adjacency)
        page = {
            "messages": "relation" if shared else "messages",
            "supervision": "relation" if config.supervision == 1 else "supervision",
            "cutoffs": cutoffs and asdict(cutoffs),
            "edges": dict(zip(("train", "valid", "test"), _distinct(relation, counts), strict=True)),
        }
        (directory / PAGE).write_text(json.dumps(page, indent=1), encoding="utf-8")
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
