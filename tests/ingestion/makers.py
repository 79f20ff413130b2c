"""Tables with one fault each, for the tests of bad input."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amity.errors import DataError


@dataclass(frozen=True)
class Bad:
    """A data directory with a fault."""

    claim: str
    make: Callable[[Path], dict[str, Any] | None]
    """Writes the tables; returns the config where there is one."""
    parts: tuple[str, ...] = ()
    """What the message must say."""
    error: type[Exception] = DataError


@dataclass(frozen=True)
class Counted:
    """A data directory that is read, with a number in the summary."""

    claim: str
    make: Callable[[Path], dict[str, Any] | None]
    where: tuple[str, ...]
    number: Any


def table(data: Path, file: str = "edges.parquet", row_group_size: int | None = None, **columns: Any) -> None:
    path = data / file
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}
    pq.write_table(pa.table(arrays), path, row_group_size=row_group_size)


def good(data: Path, **extra: Any) -> None:
    table(data, src=[1, 2, 3], dst=[2, 3, 1], **extra)


def people(data: Path, **columns: Any) -> None:
    """Good edges beside a table of three people with some columns."""
    good(data)
    table(data, "nodes.parquet", **({"id": [1, 2, 3]} | columns))


def text(content: str | bytes, name: str = "edges.csv") -> Callable[[Path], None]:
    def make(data: Path) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (data / name).write_bytes(raw)

    return make


def edges_of(**columns: Any) -> Callable[[Path], None]:
    return lambda data: table(data, **columns)


def nodes_of(**columns: Any) -> Callable[[Path], None]:
    return lambda data: table(data, "nodes.parquet", **columns)


def people_of(**columns: Any) -> Callable[[Path], None]:
    return lambda data: people(data, **columns)


def described(make: Callable[[Path], Any], **config: Any) -> Callable[[Path], dict[str, Any]]:
    def both(data: Path) -> dict[str, Any]:
        make(data)
        return config

    return both


def several(*makes: Callable[[Path], Any]) -> Callable[[Path], None]:
    def make(data: Path) -> None:
        for one in makes:
            one(data)

    return make


def friend(**settings: Any) -> dict[str, Any]:
    return {"friend": {"table": "edges.parquet", **settings}}


def columns_of(**columns: Any) -> dict[str, Any]:
    return {"user": {"table": "nodes.parquet", "columns": columns}}


def truncated(data: Path) -> None:
    good(data)
    raw = (data / "edges.parquet").read_bytes()
    (data / "edges.parquet").write_bytes(raw[: len(raw) // 2])


def corrupt_pages(data: Path) -> None:
    """Bytes of the second row group overwritten; the footer is intact."""
    values = np.arange(4000)
    both = pa.table({"src": values, "dst": values[::-1].copy()})
    path = data / "edges.parquet"
    pq.write_table(both, path, row_group_size=2000, compression="zstd", write_page_checksum=True, use_dictionary=False)
    begin = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    raw = bytearray(path.read_bytes())
    raw[begin + 60 : begin + 200] = bytes(140)
    path.write_bytes(raw)


def corrupt_footer(data: Path) -> None:
    good(data)
    raw = bytearray((data / "edges.parquet").read_bytes())
    raw[-60:-20] = bytes(40)
    (data / "edges.parquet").write_bytes(raw)


def twice_named(data: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["src", "dst", "dst"]),
                   data / "edges.parquet")  # fmt: skip


def dangling_in_third_group(data: Path) -> dict[str, Any]:
    table(data, src=[1, 2, 3, 1, 2, 99], dst=[2, 3, 1, 3, 1, 1], row_group_size=2)
    table(data, "nodes.parquet", id=[1, 2, 3])
    return {"dangling": "error"}


def two_tables(**columns: Any) -> Callable[[Path], dict[str, Any]]:
    """train.parquet is good; test.parquet has the given columns."""

    def make(data: Path) -> dict[str, Any]:
        table(data, "train.parquet", src=[1, 2], dst=[2, 3])
        table(data, "test.parquet", **columns)
        return {"edges": {"friend": {"tables": {"train": "train.parquet", "test": "test.parquet"}}}}

    return make


def sequences(**columns: Any) -> Callable[[Path], dict[str, Any]]:
    def make(data: Path) -> dict[str, Any]:
        table(data, "sequences.parquet", **columns)
        return {
            "edges": {"saw": {"target": "item", "table": "sequences", "source_column": "user", "sequence": "items"}}
        }

    return make


def bag_table(keys: Any, values: Any, amounts: Any = None, **settings: Any) -> Callable[[Path], dict[str, Any]]:
    def make(data: Path) -> dict[str, Any]:
        people(data)
        table(data, "visits.parquet", user=keys, venue=values, **({} if amounts is None else {"times": amounts}))
        bag = {"table": "visits.parquet", "key": "user", "value": "venue", **settings}
        return {"nodes": {"user": {"bags": {"venues": bag}}}}

    return make


def toml(content: str) -> Callable[[Path], None]:
    def make(data: Path) -> None:
        good(data)
        (data / "amity.toml").write_text(content)

    return make


def unreadable(data: Path) -> None:
    good(data)
    (data / "edges.parquet").chmod(0)
    if os.access(data / "edges.parquet", os.R_OK):
        pytest.skip("this user reads every file")
