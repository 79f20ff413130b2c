"""Feature columns: what type each is, and its values written for every node."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds
from numpy import ndarray

from amity.graph.features import Category, Column, Number, Vector
from amity.graph.storage import ArrayWriter, open_array
from amity.graph.vocabulary import Vocabulary
from amity.ingestion.bags import list_bag, write_bag
from amity.ingestion.nodes import Nodes
from amity.ingestion.schema import ColumnConfig
from amity.ingestion.tables import Chunk
from amity.ingestion.values import (
    flatten,
    is_list,
    present,
    read_counts,
    read_numbers,
    to_ids,
    value_type,
    without_markers,
)
from amity.ingestion.vocabulary import Ids, collect, is_text, row_finder, words

MAX_CATEGORIES = 65_536
"""Most distinct values of a column that is taken for a category unasked."""
NODES_PER_CATEGORY = 2
"""Least number of nodes that share a value, on average, for a column to be taken for a category unasked."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column is written, and with what means."""

    directory: Path
    scratch: Path
    rows: int
    """Rows read at a time."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """A column of a node table, and what it was settled to be."""

    nodes: Nodes
    name: str
    config: ColumnConfig
    kind: pa.DataType

    @property
    def markers(self) -> tuple:
        """Every value that means "unknown"."""
        return self.nodes.config.missing + self.config.missing

    def chunks(self, rows: int) -> Iterator[tuple[Chunk, pa.Array]]:
        """The values of the nodes, in order, nulls where they are unknown."""
        for chunk in self.nodes.chunks([self.name], rows=rows):
            values = chunk.columns[self.name]
            yield chunk, values if is_list(self.kind) else without_markers(values, self.markers)


def write_columns(nodes: Nodes, place: Place) -> tuple[tuple[Column, ...], dict[str, Any]]:
    """Write every feature column of a node table; those written, and a report by column name.

    Raises `DataError` where the values of a column are not what they are declared to be, or cannot be any feature.
    """
    columns: list[Column] = []
    report: dict[str, Any] = {}
    for name, config in _chosen(nodes).items():
        source = ColumnSource(nodes, name, config, nodes.tables[0].type_of(name))
        settled, dictionary = _settle(source, place)
        if settled.startswith("skipped"):
            report[name] = settled
            continue
        prefix = f"column{len(columns)}"
        column = _WRITERS[settled](source, place, prefix, dictionary)
        columns.append(column)
        report[name] = {"type": type(column).__name__.lower()}
        if not isinstance(column, Number | Vector):
            report[name]["distinct"] = len(column.dictionary)
    return tuple(columns), report


def _chosen(nodes: Nodes) -> dict[str, ColumnConfig]:
    """The columns of the table and what the config says of each; `DataError` for one that is not there."""
    config, table = nodes.config, nodes.tables[0]
    for name, column in config.columns.items():
        for wanted in filter(None, (name, column.counts)):
            table.type_of(wanted)
    taken = {config.id} | {column.counts for column in config.columns.values()}
    other = ColumnConfig(type="infer" if config.others == "infer" else "ignore")
    return {name: config.columns.get(name, other) for name in table.schema.names if name not in taken}


def _settle(source: ColumnSource, place: Place) -> tuple[str, Vocabulary | None]:
    """The type of a column, and its distinct values where they were needed to tell."""
    declared, kind = source.config.type, value_type(source.kind)
    if declared == "ignore":
        return "skipped: ignored", None
    if declared != "infer":
        return declared, None
    if kinds.is_null(kind):
        return "skipped: only nulls", None
    if kinds.is_integer(kind) or is_text(kind) or kinds.is_string_view(kind):
        return _settle_repeating(source, place)
    for settled, fits in _TYPES.items():
        if fits(kind):
            return settled, None
    raise source.nodes.tables[0].fault(
        source.name, None, f"no feature can be made of the type {kind}",
        f'Set columns.{source.name} = "ignore" under [ingestion.nodes.{source.nodes.kind}], or unnest it.',
    )  # fmt: skip


def _settle_repeating(source: ColumnSource, place: Place) -> tuple[str, Vocabulary | None]:
    """A category where values repeat; otherwise integers are numbers, and text is an identifier."""
    known = 0

    def ids() -> Iterator[Ids]:
        nonlocal known
        for chunk, values in source.chunks(place.rows):
            given = to_ids(chunk, source.name, values).drop_null()
            known += len(given)
            yield given

    dictionary = collect(ids(), limit=MAX_CATEGORIES)
    if dictionary is not None and known >= NODES_PER_CATEGORY * dictionary.size:
        return "category", dictionary
    if known == 0:
        return "skipped: only missing values", None
    if kinds.is_integer(value_type(source.kind)):
        return "number", None
    return "skipped: identifier", None


def _write_number(source: ColumnSource, place: Place, prefix: str, _: Vocabulary | None) -> Number:
    read = read_counts if source.config.type == "count" else read_numbers
    path = place.directory / f"{prefix}.values.npy"
    with ArrayWriter(path, np.float32) as writer:
        for chunk, values in source.chunks(place.rows):
            writer.append(read(chunk, source.name, values))
    return Number(source.name, open_array(path))


def _write_category(source: ColumnSource, place: Place, prefix: str, dictionary: Vocabulary | None) -> Category:
    def ids() -> Iterator[Ids]:
        for chunk, values in source.chunks(place.rows):
            yield _category_ids(source, chunk, values)

    dictionary = dictionary or collect(values.drop_null() for values in ids())
    find = row_finder(dictionary) if dictionary else None
    path = place.directory / f"{prefix}.codes.npy"
    with ArrayWriter(path, np.int32) as writer:
        for values in ids():
            codes = np.full(len(values), -1)
            if find and values.null_count < len(values):
                codes[present(values)] = find(values.drop_null())
            writer.append(codes)
    return Category(source.name, open_array(path), words(dictionary) if dictionary else ())


def _category_ids(source: ColumnSource, chunk: Chunk, values: pa.Array) -> Ids:
    if kinds.is_boolean(values.type):
        return values.cast(pa.string())
    if kinds.is_null(values.type):
        return values.cast(pa.string())
    if not (kinds.is_integer(values.type) or kinds.is_floating(values.type) or is_text(values.type)):
        raise source.nodes.tables[0].fault(
            source.name, None, f"a category is an integer, text or true/false, and this is {values.type}",
            "Convert it or declare another type.",
        )  # fmt: skip
    return to_ids(chunk, source.name, values)


def _write_vector(source: ColumnSource, place: Place, prefix: str, _: Vocabulary | None) -> Vector:
    if not is_list(source.kind):
        raise source.nodes.tables[0].fault(
            source.name, None, f"a vector is a list of numbers, and this column has the type {source.kind}",
            "Write it as a list of floats.",
        )  # fmt: skip
    width, dtype = _width(source, place), _precision(source.kind)
    path = place.directory / f"{prefix}.values.npy"
    with ArrayWriter(path, dtype, width=width) as writer:
        for chunk, values in source.chunks(place.rows):
            writer.append(_vectors(source, chunk, values, width))
    return Vector(source.name, open_array(path))


def _precision(kind: pa.DataType) -> type[np.floating]:
    """Half precision where the table has no more."""
    return np.float16 if kinds.is_float16(kind.value_type) else np.float32


def _width(source: ColumnSource, place: Place) -> int:
    if kinds.is_fixed_size_list(source.kind):
        return max(1, source.kind.list_size)
    for _, values in source.chunks(place.rows):
        lengths = flatten(values)[1]
        if lengths.any():
            return int(lengths[lengths > 0][0])
    return 1


def _vectors(source: ColumnSource, chunk: Chunk, values: pa.Array, width: int) -> ndarray:
    elements, lengths = flatten(values)
    valid = present(values)
    wrong = valid & (lengths != width)
    if wrong.any():
        position = int(wrong.argmax())
        length = lengths[position]
        what = f"the vector has {length} numbers where others have {width}" if length else "the vector is empty"
        remedy = "Make them equally long, with null for one that is missing, or declare another type."
        raise chunk.fault(source.name, position, what, remedy)
    numbers = _numbers(source, chunk, elements, lengths).reshape(-1, width)
    if valid.all():
        return numbers
    vectors = np.full((len(values), width), np.nan, numbers.dtype)
    vectors[valid] = numbers
    return vectors


def _numbers(source: ColumnSource, chunk: Chunk, elements: pa.Array, lengths: ndarray) -> ndarray:
    """The numbers of all vectors, end to end; those that are as they should be are not converted."""
    if kinds.is_floating(elements.type) and elements.type != pa.float64() and elements.null_count == 0:
        numbers = elements.to_numpy()
        if np.isfinite(numbers).all():
            return numbers
    owners = Chunk(chunk.table, chunk.first, chunk.columns, np.repeat(_rows(chunk), lengths))
    return read_numbers(owners, source.name, elements, finite="a number of a vector")


def _rows(chunk: Chunk) -> ndarray:
    return np.arange(chunk.num_rows) if chunk.kept is None else chunk.kept


def _write_bag(source: ColumnSource, place: Place, prefix: str, _: Vocabulary | None) -> Column:
    entries = list_bag(source.nodes, source.name, source.config, rows=place.rows)
    return write_bag(source.name, entries, source.nodes.vocabulary.size, place, prefix)[0]


def _is_vector(kind: pa.DataType) -> bool:
    if not is_list(kind):
        return False
    element = kind.value_type
    return kinds.is_floating(element) or (kinds.is_fixed_size_list(kind) and kinds.is_integer(element))


def _is_bag(kind: pa.DataType) -> bool:
    return is_list(kind) and (kinds.is_integer(kind.value_type) or is_text(kind.value_type))


def _is_number(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (kinds.is_floating, kinds.is_decimal, kinds.is_date, kinds.is_timestamp))


_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "number": _is_number,
    "category": kinds.is_boolean,
    "vector": _is_vector,
    "bag": _is_bag,
}
_WRITERS: dict[str, Callable[[ColumnSource, Place, str, Vocabulary | None], Column]] = {
    "number": _write_number,
    "count": _write_number,
    "category": _write_category,
    "vector": _write_vector,
    "bag": _write_bag,
}
