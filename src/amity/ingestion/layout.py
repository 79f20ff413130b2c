"""Which tables hold which nodes and edges: by the config, or by their names."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.types as kinds

from amity.errors import ConfigError, DataError
from amity.graph.adjacency import PARTS
from amity.ingestion.edges import EdgeTable, end_kinds, open_edges
from amity.ingestion.schema import NAME, PAGE, EdgesConfig, IngestionConfig, NodesConfig, complete_config, nearest
from amity.ingestion.tables import SUFFIXES, Table, find_tables, list_tables, open_table


@dataclass(frozen=True, slots=True)
class Layout:
    """What there is to read; nothing has been opened."""

    nodes: dict[str, NodesConfig]
    """Every kind, those of the target relation first; `table` is empty where the nodes are the ends of edges."""
    edges: dict[str, EdgesConfig]
    """Every relation, the target first."""


@dataclass(frozen=True, slots=True)
class Library:
    """The tables of a data directory, each opened once."""

    data: Path
    scratch: Path
    opened: dict[str, Table] = field(default_factory=dict)

    def open(self, pattern: str) -> tuple[Table, ...]:
        """The tables that a name or a pattern means; `DataError` where there is none or one cannot be read."""
        names = find_tables(self.data, pattern)
        for name in names:
            if name not in self.opened:
                self.opened[name] = open_table(self.data, name, self.scratch)
        return tuple(self.opened[name] for name in names)


def find_layout(data: Path, config: IngestionConfig) -> Layout:
    """Complete the config by what lies in the directory.

    Raises `DataError` where the directory holds no edges, and `ConfigError` where the config contradicts itself.
    """
    if not data.is_dir():
        what = "is a file" if data.exists() else "does not exist"
        raise DataError(f"The data directory {data} {what}. Name the directory that holds the tables.")
    edges = config.edges or _default_edges(data, config)
    if config.target and config.target not in edges:
        raise ConfigError(f"[ingestion] target names no relation: `{config.target}`.{nearest(config.target, edges)}")
    if config.target:
        edges = {config.target: edges[config.target], **edges}
    kinds = [kind for relation in edges.values() for kind in (relation.source, relation.target)]
    ordered = list(dict.fromkeys([*kinds, *config.nodes]))
    return Layout({kind: _nodes_of(data, kind, config, alone=len(ordered) == 1) for kind in ordered}, dict(edges))


def name_files(data: Path, config: IngestionConfig) -> list[str]:
    """The files that ingestion opens, by their path from the directory, wherever they lie; raises what it raises.

    What is no file is left out: ingestion refuses that when it comes to it.
    """
    layout = find_layout(data, complete_config(config, data))
    patterns = [kind.table for kind in layout.nodes.values() if kind.table]
    patterns += [bag.table for kind in layout.nodes.values() for bag in kind.bags.values()]
    patterns += [table for edges in layout.edges.values() for table in tables_of(edges).values()]
    names = {PAGE}.union(*(find_tables(data, pattern) for pattern in patterns))
    return sorted(name for name in names if (data / name).is_file())


def tables_of(edges: EdgesConfig) -> dict[str, str]:
    """The tables of a relation, or patterns of them, by part; one that holds all parts has no name."""
    return {**edges.tables} or {"": edges.table}


def open_relation(library: Library, config: EdgesConfig) -> list[EdgeTable]:
    """Open the tables of a relation; `DataError` where they do not tell alike what an edge carries."""
    opened = []
    for part, pattern in tables_of(config).items():
        number = PARTS.index(part) if part else -1
        opened += [open_edges(table, config, number) for table in library.open(pattern)]
    for edges in opened[1:]:
        if edges.fields != opened[0].fields:
            raise DataError(
                f"{edges.table.name} gives {', '.join(edges.fields) or 'neither times, weights nor parts'}, and "
                f"{opened[0].table.name} gives {', '.join(opened[0].fields) or 'none'}. Tables of one relation must "
                "have the same columns, or leave `time` and `weight` empty."
            )
        _check_times(edges, opened[0])
    return opened


def check_id_types(kind: str, tables: list[tuple[Table, str, bool]]) -> bool:
    """Whether the ids of a kind are text; each table comes with its column of them and whether that is text.

    Raises `DataError` where one table has integers and another text.
    """
    first, column, text = tables[0]
    for table, other, other_text in tables[1:]:
        if other_text != text:
            named = {True: "text", False: "integers"}
            raise table.fault(
                other, None, f"ids of {kind} are {named[other_text]} here, and {named[text]} in {first.name}, column "
                f"`{column}`",
                "Write the ids of one kind alike. A CSV of digits holds integers: write them as text in Parquet.",
            )  # fmt: skip
    return text


def columns_of(kind: str, relations: dict[str, EdgesConfig], opened: dict[str, list[EdgeTable]]) -> list:
    """Where edges name nodes of a kind: (table, column, whether it is text), as `check_id_types` reads it."""
    found = []
    for name, config in relations.items():
        for edges in opened[name]:
            text = end_kinds(edges)
            ends = (config.source_column, config.source), (config.sequence or config.target_column, config.target)
            found += [(edges.table, column, text[column]) for column, end in ends if end == kind]
    return found


def _check_times(edges: EdgeTable, first: EdgeTable) -> None:
    if not edges.time:
        return
    kind, other = edges.table.type_of(edges.time), first.table.type_of(first.time)
    if kinds.is_temporal(kind) != kinds.is_temporal(other):
        raise edges.table.fault(
            edges.time, None, f"times have the type {kind} here and {other} in {first.table.name}",
            "Write the times of one relation alike: all as dates or timestamps, or all as integers of one unit.",
        )  # fmt: skip


def _nodes_of(data: Path, kind: str, config: IngestionConfig, *, alone: bool) -> NodesConfig:
    nodes = config.nodes.get(kind, NodesConfig())
    if not nodes.table:
        tries = [f"nodes/{kind}", *(["nodes"] if alone else [])]
        found = [f"{name}{suffix}" for name in tries for suffix in SUFFIXES if (data / f"{name}{suffix}").exists()]
        nodes = nodes.model_copy(update={"table": found[0] if found else ""})
    if nodes.columns and not nodes.table:
        raise ConfigError(
            f"[ingestion.nodes.{kind}] names columns, but there is no table of {kind} nodes. Give it a `table`."
        )
    return nodes


def _default_edges(data: Path, config: IngestionConfig) -> dict[str, EdgesConfig]:
    single = [f"edges{suffix}" for suffix in SUFFIXES if (data / f"edges{suffix}").exists()]
    several = [name for name in list_tables(data) if name.startswith("edges/")]
    if single and several:
        raise DataError(f"{data} holds both {single[0]} and {several[0]}. Name the one that counts under [ingestion].")
    if single:
        if len(config.nodes) > 1:
            raise ConfigError(f"[ingestion] names {len(config.nodes)} kinds of nodes and no edges. Describe `edges`.")
        kind = next(iter(config.nodes), "user")
        return {"friend": EdgesConfig(source=kind, target=kind, table=single[0])}
    if several:
        return _named_edges(several)
    found = ", ".join(list_tables(data)) or "no table at all"
    raise DataError(
        f"{data} holds no table of edges: neither edges.parquet, edges.csv nor edges/<kind>-<relation>-<kind>.parquet. "
        f"Found {found}. Put one there, or describe the tables in an amity.toml beside them."
    )


def _named_edges(names: list[str]) -> dict[str, EdgesConfig]:
    preferred: dict[str, str] = {}
    for name in sorted(names, key=lambda name: SUFFIXES.index(Path(name).suffix), reverse=True):
        preferred[Path(name).stem] = name
    stems = {preferred[stem]: stem.split("-") for stem in sorted(preferred)}
    edges: dict[str, EdgesConfig] = {}
    for name, parts in stems.items():
        if len(parts) != 3 or not all(re.fullmatch(NAME, part) for part in parts):
            raise DataError(
                f"{name} is not called <kind>-<relation>-<kind>, as in edges/user-likes-item.parquet, each of letters, "
                "digits, dots and underscores. Rename it, or describe the tables in an amity.toml beside them."
            )
        source, relation, target = parts
        shared = sum(other[1] == relation for other in stems.values()) > 1
        edges["_".join(parts) if shared else relation] = EdgesConfig(source=source, target=target, table=name)
    return edges
