"""Bags: any number of values a node, from a list column or from another table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy import ndarray

from amity.graph.features import Bag
from amity.graph.storage import open_array
from amity.ingestion.nodes import Nodes
from amity.ingestion.schema import BagConfig, ColumnConfig
from amity.ingestion.sorting import PairSorter, Span, pair_keys
from amity.ingestion.tables import Chunk, Table
from amity.ingestion.values import check_ids, flatten, is_list, present, read_counts, read_ids, to_ids, without_markers
from amity.ingestion.vocabulary import Ids, collect, is_text, row_finder, words


class Means(Protocol):
    """Where a bag is written, and with what means."""

    @property
    def directory(self) -> Path:
        """Where the arrays go."""
        ...

    @property
    def scratch(self) -> Path:
        """Where files may lie for a while."""
        ...

    @property
    def memory_bytes(self) -> int:
        """How much may be sorted at once, in bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Entries:
    """Values of some nodes, none of them null."""

    rows: Int64[ndarray, "entries"]
    """The node of each value, counted from the first of its kind; -1 for a node that is not there."""
    values: Ids
    counts: Float64[ndarray, "entries"] | None = None
    """How often each is meant; absent: once."""
    nulls: int = 0
    """How many more were left out for a null."""


def write_bag(
    name: str, entries: Callable[[], Iterator[Entries]], num_nodes: int, means: Means, prefix: str
) -> tuple[Bag, int]:
    """Write a bag of every node; `entries` is gone through twice, first for the distinct values.

    Entries of nodes that are not there are left out. Returns the bag and how many values were left out.
    """
    size = dropped = 0

    def values() -> Iterator[Ids]:
        nonlocal size
        for entry in entries():
            size += len(entry.values)
            yield entry.values

    dictionary = collect(values())
    distinct = dictionary.size if dictionary else 1
    span = Span(num_nodes, distinct, num_rows=num_nodes)
    find = row_finder(dictionary) if dictionary else None
    names = {"indptr": f"{prefix}.indptr", "indices": f"{prefix}.codes", "weights": f"{prefix}.counts"}
    with PairSorter(
        means.scratch / prefix, span, fields=("weights",), expected=size, memory_bytes=means.memory_bytes
    ) as sorter:
        for entry in entries():
            dropped += entry.nulls
            if find is None:
                continue
            targets = find(entry.values)
            keys, positions, unknown, _ = pair_keys(entry.rows, targets, span.target_bits, False, False)  # noqa: FBT003
            dropped += unknown
            counts = np.ones(len(keys)) if entry.counts is None else entry.counts[positions]
            sorter.add(keys, {"weights": counts.astype(np.float32)})
        sorter.write(means.directory, names)
    indptr, codes, counts = (open_array(means.directory / f"{file}.npy") for file in names.values())
    return Bag(name, indptr, codes, counts, words(dictionary) if dictionary else ()), dropped


def list_bag(nodes: Nodes, name: str, config: ColumnConfig, *, rows: int) -> Callable[[], Iterator[Entries]]:
    """The entries of a list column; null elements and markers of missing ones are left out.

    Raises `DataError` where the column holds no lists of integers or text.
    """
    table = nodes.tables[0]
    kind = table.type_of(name)
    if not is_list(kind) or not (is_text(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise table.fault(name, None, f"a bag is a list of integers or text, and this column has the type {kind}",
                          "Declare another type.")  # fmt: skip
    if config.counts and not is_list(table.type_of(config.counts)):
        raise table.fault(config.counts, None, f"the counts of a bag are a list, and this column has the type "
                          f"{table.type_of(config.counts)}", "Name a list column.")  # fmt: skip
    columns = [column for column in (name, config.counts) if column]

    def entries() -> Iterator[Entries]:
        first = 0
        for chunk in nodes.chunks(columns, rows=rows):
            yield _list_entries(chunk, name, config.counts, config.missing, first)
            first += chunk.num_rows

    return entries


def table_bag(
    nodes: Nodes, config: BagConfig, tables: tuple[Table, ...], *, rows: int
) -> Callable[[], Iterator[Entries]]:
    """The entries that a table spells out; rows with a null are left out.

    Raises `DataError` where a column is not there or of a wrong type, or of several types.
    """
    text = check_ids(tables[0], config.value)
    for table in tables:
        if check_ids(table, config.value) != text:
            raise table.fault(
                config.value, None, f"the type is {table.type_of(config.value)} here and "
                f"{tables[0].type_of(config.value)} in {tables[0].name}", "Write the values alike.",
            )  # fmt: skip
        if check_ids(table, config.key) == nodes.is_text:
            continue
        raise table.fault(config.key, None, f"ids of {nodes.kind} are {'text' if nodes.is_text else 'integers'}, and "
                          f"this column has the type {table.type_of(config.key)}", "Write them alike.")  # fmt: skip
    find = row_finder(nodes.vocabulary)

    def entries() -> Iterator[Entries]:
        columns = [name for name in (config.key, config.value, config.count) if name]
        for chunk in (chunk for table in tables for chunk in table.chunks(columns, rows=rows)):
            ids = {name: read_ids(chunk, name) for name in (config.key, config.value)}
            known_chunk = chunk.with_columns(**ids).keep(present(*ids.values()))
            counted = known_chunk.columns.get(config.count)
            counts = None if counted is None else read_counts(known_chunk, config.count, counted, finite="a count")
            rows_of = find(known_chunk.columns[config.key])
            yield Entries(rows_of, known_chunk.columns[config.value], counts, chunk.num_rows - known_chunk.num_rows)

    return entries


def _list_entries(chunk: Chunk, name: str, counted: str, markers: tuple, first: int) -> Entries:
    elements, lengths = flatten(chunk.columns[name])
    positions = np.repeat(np.arange(len(lengths)), lengths)
    own = np.arange(len(lengths)) if chunk.kept is None else chunk.kept
    owners = Chunk(chunk.table, chunk.first, chunk.columns, own[positions])
    values = without_markers(to_ids(owners, name, elements), markers)
    counts = None
    if counted:
        amounts, amount_lengths = flatten(chunk.columns[counted])
        if (amount_lengths != lengths).any():
            position = int((amount_lengths != lengths).argmax())
            raise chunk.fault(counted, position, f"{amount_lengths[position]} counts stand beside {lengths[position]} "
                              f"values of `{name}`", "Give every value a count.")  # fmt: skip
        counts = read_counts(owners, counted, amounts, finite="a count")
    if values.null_count:
        valid = present(values)
        positions, values, counts = positions[valid], values.drop_null(), None if counts is None else counts[valid]
    return Entries(first + positions, values, counts)
