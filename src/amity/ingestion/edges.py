"""The edges of a relation, as its tables give them: ends, times, weights and parts, chunk by chunk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy import ndarray

from amity.errors import DataError
from amity.graph.adjacency import PARTS
from amity.ingestion.schema import EdgesConfig
from amity.ingestion.tables import Chunk, Table
from amity.ingestion.values import (
    check_ids,
    flatten,
    is_list,
    present,
    read_flags,
    read_ids,
    read_parts,
    read_times,
    read_weights,
    to_ids,
)  # fmt: skip
from amity.ingestion.vocabulary import Ids, is_text

_DEFAULTS = {role: EdgesConfig.model_fields[role].default for role in ("time", "weight", "split")}


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """One table of a relation, and the columns that are read."""

    table: Table
    config: EdgesConfig
    part: int = -1
    """The part that the whole table is, a row of `PARTS`; -1 where columns say it, or nothing does."""
    time: str = ""
    weight: str = ""
    split: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Which of times, weights and parts the table gives."""
        config = self.config
        has_parts = self.part >= 0 or bool(self.split or config.flags or config.leave_one_out)
        given = {"times": bool(self.time or config.sequence), "weights": bool(self.weight), "parts": has_parts}
        return tuple(name for name, there in given.items() if there)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        config = self.config
        ends = [config.source_column, config.sequence or config.target_column]
        return [name for name in (*ends, self.time, self.weight, self.split, *config.flags.values()) if name]


@dataclass(frozen=True, slots=True)
class EdgeChunk:
    """Some edges by their raw ids, which are never null."""

    sources: Ids
    targets: Ids
    carried: dict[str, ndarray]
    """Times, weights and parts, where the table gives them."""
    origin: Chunk
    """Which rows of the table the edges are."""
    rows: int
    """How many rows of the table (or elements of its sequences) these edges were made of."""
    nulls: int = 0
    """How many of them were dropped for a null id."""
    unassigned: int = 0
    """How many of them were dropped because no flag claims them."""


def open_edges(table: Table, config: EdgesConfig, part: int = -1) -> EdgeTable:
    """Find the columns of an edge table.

    Raises `DataError` where one that the config names is not there, or cannot be what it should.
    """
    check_ids(table, config.source_column)
    if not config.sequence:
        check_ids(table, config.target_column)
    elif not is_list(table.type_of(config.sequence)):
        raise table.fault(config.sequence, None, f"a sequence is a list of ids, and this column has the type "
                          f"{table.type_of(config.sequence)}", "Name a list column.")  # fmt: skip
    for flag in config.flags.values():
        table.type_of(flag)
    if config.sequence and {config.time, config.weight, config.split} - set(_DEFAULTS.values()) - {""}:
        raise DataError(
            f"{table.name}: a sequence has no time, weight or split columns. Leave them out of [ingestion]."
        )
    opened = EdgeTable(table, config, part)
    if config.sequence:
        return opened
    names = {role: _optional(table, config, role) for role in ("time", "weight", "split")}
    if part >= 0 or config.flags:
        names["split"] = ""
    return replace(opened, **names)


def read_edges(edges: EdgeTable, *, rows: int) -> Iterator[EdgeChunk]:
    """The edges of a table in order; rows with a null id, or that no flag claims, are dropped and counted."""
    config = edges.config
    for chunk in edges.table.chunks(edges.columns, rows=rows):
        yield _unroll(edges, chunk) if config.sequence else _read_rows(edges, chunk)


def _optional(table: Table, config: EdgesConfig, role: str) -> str:
    """The column of a role: what the config names, which must exist, or else the default where it exists."""
    name = getattr(config, role)
    if name != _DEFAULTS[role]:
        if name:
            table.type_of(name)
        return name
    tries = (name, "timestamp") if role == "time" else (name,)
    return next((name for name in tries if name in table.schema.names), "")


def _read_rows(edges: EdgeTable, chunk: Chunk) -> EdgeChunk:
    config, total = edges.config, chunk.num_rows
    source, target = config.source_column, config.target_column
    chunk = chunk.with_columns(**{name: read_ids(chunk, name) for name in (source, target)})
    chunk = chunk.keep(present(chunk.columns[source], chunk.columns[target]))
    nulls = total - chunk.num_rows
    parts, claimed = _parts(edges, chunk)
    if not claimed.all():
        chunk, parts = chunk.keep(claimed), parts[claimed]
    carried: dict[str, ndarray] = {}
    if edges.time:
        carried["times"] = read_times(chunk, edges.time)
    if edges.weight:
        carried["weights"] = read_weights(chunk, edges.weight)
    if "parts" in edges.fields:
        carried["parts"] = parts
    unassigned = total - nulls - chunk.num_rows
    return EdgeChunk(chunk.columns[source], chunk.columns[target], carried, chunk, total, nulls, unassigned)


def _parts(edges: EdgeTable, chunk: Chunk) -> tuple[ndarray, ndarray]:
    """The part of every row, and whether it has one."""
    flags = edges.config.flags
    parts = np.full(chunk.num_rows, max(edges.part, 0), np.int8)
    if edges.split:
        parts = read_parts(chunk, edges.split)
    if not flags:
        return parts, np.ones(len(parts), bool)
    parts[:] = -1 if "train" in flags else 0
    for number in reversed(range(len(PARTS))):
        if PARTS[number] in flags:
            parts[read_flags(chunk, flags[PARTS[number]])] = number
    return parts, parts >= 0


def _unroll(edges: EdgeTable, chunk: Chunk) -> EdgeChunk:
    config = edges.config
    sources = read_ids(chunk, config.source_column)
    elements, lengths = flatten(chunk.columns[config.sequence])
    owners = np.repeat(np.arange(len(lengths)), lengths)
    origin = replace(chunk, kept=owners)
    targets = to_ids(origin, config.sequence, elements)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    times = np.arange(len(targets)) - starts
    sources = sources.take(pa.array(owners))
    chosen = present(sources, targets)
    if not chosen.all():
        sources, targets = sources.filter(pa.array(chosen)), targets.filter(pa.array(chosen))
        times, owners = times[chosen], owners[chosen]
        origin = replace(chunk, kept=owners)
    carried: dict[str, ndarray] = {"times": times}
    if config.leave_one_out:
        # The last id that is there is left out, not a null behind it.
        left = np.searchsorted(owners, owners, side="right") - np.arange(len(owners))
        carried["parts"] = np.select([left == 1, left == 2], [2, 1], 0).astype(np.int8)
    elif edges.part >= 0:
        carried["parts"] = np.full(len(times), edges.part, np.int8)
    return EdgeChunk(sources, targets, carried, origin, len(chosen), len(chosen) - len(sources))


def end_kinds(edges: EdgeTable) -> dict[str, bool]:
    """Whether the ids of the source column and of the target column are text, by column.

    Raises `DataError` for a sequence of what cannot be ids.
    """
    config = edges.config
    ends = {config.source_column: check_ids(edges.table, config.source_column)}
    if not config.sequence:
        return ends | {config.target_column: check_ids(edges.table, config.target_column)}
    element = edges.table.type_of(config.sequence).value_type
    if is_text(element):
        return ends | {config.sequence: True}
    if pa.types.is_integer(element):
        return ends | {config.sequence: False}
    raise edges.table.fault(config.sequence, None, f"a sequence of ids is a list of integers or text, and this one is "
                            f"a list of {element}", "Write the ids as int64.")  # fmt: skip
