"""Tables on disk, Parquet or CSV, read in chunks; every fault is told with its file, column, row group and row."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64
from numpy import ndarray

from amity.errors import ConfigError, DataError
from amity.ingestion.schema import nearest

SUFFIXES = (".parquet", ".csv", ".tsv")
"""What a table can be, in the order in which a default layout looks for it."""

_CSV_BLOCK_BYTES = 16 << 20
T = TypeVar("T")
_FAULTS = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Table:
    """One file of rows and columns."""

    name: str
    """The file as the user knows it, relative to the data directory."""
    path: Path
    """The Parquet file that is read: the table, or a copy made of a CSV."""
    schema: pa.Schema
    groups: Int64[ndarray, "groups_and_one"]
    """Row group g holds rows `groups[g]` to `groups[g + 1]`."""
    values_per_row: dict[str, int] = field(default_factory=dict)
    """How long the lists of a column are on average, rounded up, in the row group where they are longest; absent where
    a column holds single values."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.groups[-1])

    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column; `DataError` names the nearest column where there is none of that name."""
        if column not in self.schema.names:
            raise DataError(
                f"{self.name} has no column `{column}`.{nearest(column, self.schema.names)} "
                "Name the columns of the table under [ingestion]."
            )
        return self.schema.field(column).type

    def fault(self, column: str, row: int | None, what: str, remedy: str) -> DataError:
        """An error that names file, column, row group and row (counted from 0)."""
        place = ""
        if row is not None:
            place = f", row group {int(np.searchsorted(self.groups, row, side='right')) - 1}, row {row:,}"
        return DataError(f"{self.name}, column `{column}`{place}: {what}. {remedy}")

    def chunks(self, columns: Sequence[str], *, rows: int) -> Iterator["Chunk"]:
        """The rows in order, some columns at a time, fewer rows where these hold lists.

        Raises `DataError` where the file cannot be read on.
        """
        for column in columns:
            self.type_of(column)
        first, wanted = 0, list(dict.fromkeys(columns))
        rows = max(1, rows // max(self.values_per_row.get(column, 1) for column in wanted))
        try:
            for batch in ahead(_batches(self.path, rows, wanted)):
                yield Chunk(self, first, dict(zip(batch.schema.names, batch.columns, strict=True)))
                first += batch.num_rows
        except _FAULTS as error:
            raise _unreadable(self.name, error, _find_fault(self, wanted)) from error


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive rows of a table, or what is left of them."""

    table: Table
    first: int
    """The row of the table that the chunk begins with."""
    columns: dict[str, pa.Array]
    """Columns of one length."""
    kept: Int64[ndarray, "rows"] | None = None
    """Which rows after `first` are left; absent where all are."""

    @property
    def num_rows(self) -> int:
        """How many rows are left."""
        return len(next(iter(self.columns.values())))

    def row(self, position: int) -> int:
        """The row of the table at a position of the chunk."""
        return self.first + int(position if self.kept is None else self.kept[position])

    def fault(self, column: str, position: int, what: str, remedy: str) -> DataError:
        """An error about one value."""
        return self.table.fault(column, self.row(position), what, remedy)

    def keep(self, chosen: Bool[ndarray, "rows"]) -> "Chunk":
        """The chosen rows alone."""
        if chosen.all():
            return self
        mask = pa.array(chosen)
        kept = np.flatnonzero(chosen) if self.kept is None else self.kept[chosen]
        return replace(self, columns={n: values.filter(mask) for n, values in self.columns.items()}, kept=kept)

    def with_columns(self, **columns: pa.Array) -> "Chunk":
        """Some columns put in the place of others."""
        return replace(self, columns=self.columns | columns)


def find_tables(data: Path, pattern: str) -> list[str]:
    """Names of the tables that a name or pattern means; a name without suffix is tried with each of `SUFFIXES`.

    Raises `DataError` where there is none, and `ConfigError` where a pattern cannot be one.
    """
    if any(sign in pattern for sign in "*?[") and not (data / pattern).exists():
        found = _match(data, pattern)
    else:
        tries = [pattern] if Path(pattern).suffix in SUFFIXES else [pattern + suffix for suffix in SUFFIXES]
        found = [name for name in tries if (data / name).exists()][:1]
    if not found:
        raise DataError(
            f"There is no table `{pattern}` in {data}.{nearest(pattern, list_tables(data))} Name one that is there."
        )
    return found


def list_tables(data: Path) -> list[str]:
    """The tables in a directory and in the folders `nodes` and `edges` of it."""
    folders = [data, data / "nodes", data / "edges"]
    paths = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and path.exists()
    ]
    return sorted(str(path.relative_to(data)) for path in paths)


def open_table(data: Path, name: str, scratch: Path) -> Table:
    """Open a table for reading; a CSV is copied to Parquet under `scratch` first.

    Raises `DataError` where the file is missing, empty, torn, of another format, or names a column twice.
    """
    path = data / name
    if path.is_dir():
        raise DataError(f"{name} is a directory, not a table. Name the files inside by a pattern: `{name}/*.parquet`.")
    try:
        path = path if path.suffix == ".parquet" else _copy_csv(path, name, scratch)
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        schema = metadata.schema.to_arrow_schema()
    except _FAULTS as error:
        raise _unreadable(name, error) from error
    _check_names(name, schema.names)
    if metadata.num_rows == 0:
        raise DataError(f"{name} holds no rows, only the columns {', '.join(schema.names)}. Fill it or leave it out.")
    bounds = np.cumsum([0, *(group.num_rows for group in groups)], dtype=np.int64)
    return Table(name, path, schema, bounds, _values_per_row(groups))


def ahead(chunks: Iterator[T]) -> Iterator[T]:
    """The same chunks; the next is made while one is in use."""
    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = maker.submit(next, chunks, None)
            yield chunk


def _match(data: Path, pattern: str) -> list[str]:
    try:
        return sorted(str(path.relative_to(data)) for path in data.glob(pattern) if path.suffix in SUFFIXES)
    except (NotImplementedError, ValueError) as error:
        raise ConfigError(
            f"`{pattern}` is no pattern of tables: {str(error).rstrip('.')}. Name tables by a pattern below {data}, "
            "such as `edges/part-*.parquet`."
        ) from error


def _values_per_row(groups: list[pq.RowGroupMetaData]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for group in groups:
        totals: dict[str, int] = {}
        for column in map(group.column, range(group.num_columns)):
            name = column.path_in_schema.split(".")[0]
            totals[name] = totals.get(name, 0) + column.num_values
        for name, total in totals.items():
            longest[name] = max(longest.get(name, 1), -(-total // max(group.num_rows, 1)))
    return {name: length for name, length in longest.items() if length > 1}


def _check_names(name: str, columns: list[str]) -> None:
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"{name} has more than one column `{twice[0]}`. Give every column a name of its own.")


def _copy_csv(path: Path, name: str, scratch: Path) -> Path:
    copy = Path(tempfile.mkdtemp(dir=scratch)) / "table.parquet"
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with arrow_csv.open_csv(
        path,
        # Not in threads: only then does Arrow know the number of a row that it cannot read.
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ) as reader:
        _check_names(name, reader.schema.names)
        for field in reader.schema:
            if field.type == pa.binary():
                raise DataError(f"{name}, column `{field.name}`: this is not UTF-8 text. Save the file as UTF-8.")
        with pq.ParquetWriter(copy, reader.schema, compression="lz4") as writer:
            for batch in reader:
                writer.write_batch(batch)
    return copy


def _batches(path: Path, rows: int, columns: list[str], groups: list[int] | None = None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, buffer_size=1 << 22, page_checksum_verification=True) as file:
        yield from file.iter_batches(rows, row_groups=groups, columns=columns)


def _find_fault(table: Table, columns: list[str]) -> str:
    """The first column and row group that cannot be read by itself."""
    for group in range(len(table.groups) - 1):
        for column in columns:
            try:
                for _ in _batches(table.path, 1 << 16, [column], [group]):
                    pass
            except _FAULTS:
                return f", column `{column}`, row group {group},"
    return ""


def _unreadable(name: str, error: Exception, place: str = "") -> DataError:
    formats = {".csv": "a CSV file with a header", ".tsv": "a TSV file with a header"}
    text = " ".join(str(error).split())[:300].rstrip(".")
    return DataError(
        f"{name}{place} cannot be read as {formats.get(Path(name).suffix, 'Parquet')}: {text}. "
        "It may be truncated, corrupt, or of another format: write or copy it again."
    )
