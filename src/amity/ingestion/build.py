"""Build a graph directory from tables, out of core."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from amity.artifacts import filling
from amity.errors import ConfigError, DataError
from amity.graph.adjacency import Adjacency
from amity.graph.graph import Graph, NodeKind, Relation
from amity.graph.storage import open_adjacency, open_graph, save_graph
from amity.ingestion.bags import table_bag, write_bag
from amity.ingestion.buckets import Buckets
from amity.ingestion.columns import Place, write_columns
from amity.ingestion.edges import EdgeChunk, EdgeTable, read_edges
from amity.ingestion.layout import Layout, Library, check_id_types, columns_of, find_layout, open_relation
from amity.ingestion.nodes import Nodes, read_nodes, sort_nodes
from amity.ingestion.schema import IngestionConfig, complete_config
from amity.ingestion.sorting import PairSorter, Span, pair_keys
from amity.ingestion.tables import ahead
from amity.ingestion.values import check_ids
from amity.ingestion.vocabulary import Finder, VocabularyBuilder, row_finder
from amity.ingestion.waiting import NUMBERS, Waiting

Progress = Callable[[str, int, int], None]
"""Told, from time to time: which table is read, how many of its rows are done, and of how many."""

_BYTES_PER_ROW = 4096
"""Share of the memory for each row read at a time: a chunk takes about a twentieth of it."""
_LEAST_ROWS = 1024
_ARRAYS = {name: name for name in Adjacency.__slots__}


@dataclass(frozen=True, slots=True)
class _Build:
    """What every step of one build needs."""

    directory: Path
    config: IngestionConfig
    layout: Layout
    library: Library
    progress: Progress

    @property
    def rows(self) -> int:
        return min(self.config.chunk_rows, max(_LEAST_ROWS, self.memory_bytes // _BYTES_PER_ROW))

    @property
    def memory_bytes(self) -> int:
        return int(self.config.memory_gib * 2**30)


def _silent(table: str, done: int, total: int) -> None:
    """Tell nobody."""


def ingest(data: Path, directory: Path, config: IngestionConfig, *, progress: Progress = _silent) -> Graph:
    """Read the tables of a data directory into a graph directory, empty or new, and emptied where this fails.

    Tables are found by their names, or as the config or an `amity.toml` beside them describes. Rules, each counted in
    the summary (`amity.graph.storage.read_summary`): rows with a null id are dropped; of nodes with one id the first
    counts; self-loops are dropped; edges to unknown nodes are dropped, or refused; of equal edges the earliest time,
    the sum of weights and the first part of train, valid, test stay. Nodes get rows in the order of their table, or of
    their ids where there is none.

    Raises `DataError` where a table cannot be read or holds what cannot stand, `ConfigError` where the description
    is wrong, and `ArtifactError` where the directory is not empty.
    """
    config = complete_config(config, data)
    layout = find_layout(data, config)
    with filling(directory), tempfile.TemporaryDirectory(dir=directory, prefix=".scratch-") as scratch:
        _build(_Build(directory, config, layout, Library(data, Path(scratch)), progress))
    return open_graph(directory)


def _build(build: _Build) -> None:
    opened = {name: open_relation(build.library, config) for name, config in build.layout.edges.items()}
    numbered, waiting = _number_nodes(build, opened)
    summary: dict[str, Any] = {"nodes": {}, "edges": {}}
    kinds: list[NodeKind] = []
    for kind, nodes in numbered.items():
        first = sum(other.count for other in kinds)
        columns, report = _write_features(build, nodes)
        kinds.append(NodeKind(kind, first, nodes.vocabulary, columns))
        summary["nodes"][kind] = {"count": nodes.vocabulary.size, "tables": nodes.counts, "columns": report}
    relations = []
    for name, tables in opened.items():
        relation, summary["edges"][name] = _write_relation(build, name, waiting.get(name, tables), kinds)
        relations.append(relation)
    messages = _write_messages(build, relations, sum(kind.count for kind in kinds))
    save_graph(Graph(tuple(kinds), tuple(relations), messages), build.directory, summary=summary)


def _number_nodes(build: _Build, opened: dict[str, list[EdgeTable]]) -> tuple[dict[str, Nodes], dict[str, Waiting]]:
    """The nodes of every kind, and the edges that had to be read for that: those that name a kind without a table."""
    found = {kind: _read_kind(build, kind, opened) for kind in build.layout.nodes}
    builders = {kind: nodes for kind, nodes in found.items() if isinstance(nodes, VocabularyBuilder)}
    ends = {name: (config.source, config.target) for name, config in build.layout.edges.items()}
    waiting = {
        name: _set_aside(build, name, tables, tuple(_number_finder(found[kind]) for kind in ends[name]))
        for name, tables in opened.items()
        if builders.keys() & ends[name]
    }
    nodes, ranks = {}, {}
    for kind, config in build.layout.nodes.items():
        nodes[kind] = found[kind]
        if kind in builders:
            nodes[kind], ranks[kind] = sort_nodes(kind, config, builders[kind])
    return nodes, {
        name: replace(edges, ranks=tuple(ranks.get(kind) for kind in ends[name])) for name, edges in waiting.items()
    }


def _read_kind(build: _Build, kind: str, opened: dict[str, list[EdgeTable]]) -> Nodes | VocabularyBuilder:
    config = build.layout.nodes[kind]
    named = columns_of(kind, build.layout.edges, opened)
    tables = build.library.open(config.table) if config.table else ()
    own = [(tables[0], config.id, check_ids(tables[0], config.id))] if tables else []
    if not own and not named:
        raise DataError(f"There is neither a table of {kind} nodes nor an edge that names one. Leave the kind out.")
    text = check_id_types(kind, own + named)
    return read_nodes(kind, config, tables, rows=build.rows) if tables else VocabularyBuilder(text=text)


def _number_finder(nodes: Nodes | VocabularyBuilder) -> Finder:
    if isinstance(nodes, VocabularyBuilder):
        return lambda ids: nodes.add(ids)[0]
    return row_finder(nodes.vocabulary)


def _set_aside(build: _Build, name: str, tables: list[EdgeTable], find: tuple[Finder, ...]) -> Waiting:
    with Buckets(build.library.scratch / "waiting", name, 1, tables[0].fields) as files:
        add = partial(files.add, shift=1, base=0)
        reports = {edges.table.name: _add_edges(build, edges, find, NUMBERS, add) for edges in tables}
        return Waiting(files.finish()[0], tables[0].fields, reports)


def _told(build: _Build, edges: EdgeTable) -> Iterator[EdgeChunk]:
    done, total = 0, edges.table.num_rows
    for chunk in read_edges(edges, rows=build.rows):
        yield chunk
        done = min(done + chunk.origin.num_rows, total)
        build.progress(edges.table.name, done, total)
    build.progress(edges.table.name, total, total)


def _write_features(build: _Build, nodes: Nodes) -> tuple[tuple, dict[str, Any]]:
    place = Place(
        build.directory / "nodes" / nodes.kind, build.library.scratch / "features", build.rows, build.memory_bytes
    )
    columns, report = write_columns(nodes, place) if nodes.tables else ((), {})
    for name, config in nodes.config.bags.items():
        if name in {column.name for column in columns}:
            raise ConfigError(
                f"[ingestion.nodes.{nodes.kind}] names a bag `{name}`, and its table has a column of that name. "
                f'Give the bag another name, or set columns.{name} = "ignore".'
            )
        tables = build.library.open(config.table)
        entries = table_bag(nodes, config, tables, rows=build.rows)
        bag, dropped = write_bag(name, entries, nodes.vocabulary.size, place, f"column{len(columns)}")
        columns = (*columns, bag)
        report[name] = {"type": "bag", "distinct": len(bag.dictionary), "dropped": dropped}
    return columns, report


def _write_relation(
    build: _Build, name: str, edges: Waiting | list[EdgeTable], kinds: list[NodeKind]
) -> tuple[Relation, dict[str, Any]]:
    config = build.layout.edges[name]
    source, target = (next(k for k in kinds if k.name == end) for end in (config.source, config.target))
    undirected = config.undirected and source is target
    span = Span(
        source.count, target.count, source.first, target.first, sum(kind.count for kind in kinds), symmetric=undirected
    )
    expected = edges.bucket.size if isinstance(edges, Waiting) else sum(table.table.num_rows for table in edges)
    fields = edges.fields if isinstance(edges, Waiting) else edges[0].fields
    place = build.directory / "edges" / name
    place.mkdir(parents=True)
    with PairSorter(
        build.library.scratch / "edges", span, fields=fields, memory_bytes=build.memory_bytes,
        expected=expected * (1 + undirected),
    ) as sorter:  # fmt: skip
        if isinstance(edges, Waiting):
            report = edges.reports
            for sources, targets, carried in ahead(edges.chunks(build.rows)):
                keys, positions, _, _ = pair_keys(sources, targets, span.target_bits, False, undirected)  # noqa: FBT003
                sorter.add(keys, {field: values[positions] for field, values in carried.items()})
        else:
            find = row_finder(source.vocabulary), row_finder(target.vocabulary)
            report = {table.table.name: _add_edges(build, table, find, span, sorter.add) for table in edges}
        counted = sorter.write(place, _ARRAYS)
    if counted.pairs == 0:
        raise DataError(f"No edge of `{name}` is left: {_told_counts(report)}. Check the ids and the parts.")
    adjacency = open_adjacency(place)
    return Relation(name, source.name, target.name, undirected, adjacency), {**asdict(counted), "tables": report}


def _add_edges(
    build: _Build, edges: EdgeTable, find: tuple[Finder, ...], span: Span, add: Callable[[ndarray, dict], None]
) -> dict[str, Any]:
    """Send the edges of one table to a sorter or a file; what became of its rows."""
    counts = {"rows": 0, "null_ids": 0, "unassigned": 0, "dangling": 0, "self_loops": 0}
    one_kind = edges.config.source == edges.config.target
    for chunk in _told(build, edges):
        sources, targets = find[0](chunk.sources), find[1](chunk.targets)
        keys, positions, dangling, loops = pair_keys(sources, targets, span.target_bits, one_kind, span.symmetric)
        if dangling and build.config.dangling == "error":
            raise _dangling_fault(edges, chunk, sources, targets)
        add(keys, {field: values[positions] for field, values in chunk.carried.items()})
        found = (chunk.rows, chunk.nulls, chunk.unassigned, dangling, loops)
        counts = {name: counts[name] + number for name, number in zip(counts, found, strict=True)}
    read = counts["rows"] - counts["null_ids"] - counts["unassigned"]
    if read and counts["dangling"] == read:
        raise DataError(
            f"{edges.table.name}: none of its {read:,} edges joins nodes of the tables of {edges.config.source} and "
            f"{edges.config.target}. Check that the columns `{edges.config.source_column}` and "
            f"`{edges.config.sequence or edges.config.target_column}` hold ids of those tables."
        )
    skipped = [name for name in edges.table.schema.names if name not in edges.columns]
    return {**counts, "skipped_columns": skipped}


def _dangling_fault(edges: EdgeTable, chunk: EdgeChunk, sources: ndarray, targets: ndarray) -> DataError:
    position = int(((sources < 0) | (targets < 0)).argmax())
    config = edges.config
    at_source = sources[position] < 0
    ids, kind = (chunk.sources, config.source) if at_source else (chunk.targets, config.target)
    column = config.source_column if at_source else config.sequence or config.target_column
    return chunk.origin.fault(
        column, position, f"no {kind} has the id {ids[position].as_py()!r}",
        'Add it to the table of nodes, or set dangling = "drop".',
    )  # fmt: skip


def _told_counts(report: dict[str, dict[str, Any]]) -> str:
    totals = {name: sum(table[name] for table in report.values()) for name in next(iter(report.values()))
              if name != "skipped_columns"}  # fmt: skip
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in totals.items())


def _write_messages(build: _Build, relations: list[Relation], num_nodes: int) -> Adjacency:
    """All relations, both ways; the one friendship itself where there is nothing else."""
    if len(relations) == 1 and relations[0].undirected:
        return relations[0].adjacency
    place = build.directory / "messages"
    place.mkdir()
    span = Span(num_nodes, num_nodes, num_rows=num_nodes)
    with PairSorter(
        build.library.scratch / "messages", span, fields=(),
        expected=sum(r.adjacency.num_edges * (2 - r.undirected) for r in relations), memory_bytes=build.memory_bytes,
    ) as sorter:  # fmt: skip
        for relation in relations:
            for sources, targets in ahead(_slices(relation.adjacency, build.rows)):
                keys, _, _, _ = pair_keys(sources, targets, span.target_bits, False, not relation.undirected)  # noqa: FBT003
                # A mirrored pair is as good as a straight one here: nothing is counted.
                sorter.add(keys & ~1, {})
        sorter.write(place, _ARRAYS)
    return open_adjacency(place)


def _slices(adjacency: Adjacency, size: int) -> Iterator[tuple[ndarray, ndarray]]:
    """Sources and targets of so many edges at a time."""
    indptr = adjacency.indptr
    for begin in range(0, adjacency.num_edges, size):
        end = min(begin + size, adjacency.num_edges)
        first = int(np.searchsorted(indptr, begin, side="right")) - 1
        last = int(np.searchsorted(indptr, end, side="left"))
        lengths = np.diff(np.clip(indptr[first : last + 1], begin, end))
        yield np.repeat(np.arange(first, last), lengths), np.asarray(adjacency.indices[begin:end], np.int64)
