"""What bad tables get: an error that says where, or a count in the summary; never a traceback, never half a graph."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from amity.errors import AmityError, ArtifactError, ConfigError, DataError
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest


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


def table(data: Path, name: str = "edges.parquet", row_group_size: int | None = None, **columns: Any) -> None:
    path = data / name
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


def people_of(**columns: Any) -> Callable[[Path], None]:
    return lambda data: people(data, **columns)


def described(make: Callable[[Path], Any], **config: Any) -> Callable[[Path], dict[str, Any]]:
    def both(data: Path) -> dict[str, Any]:
        make(data)
        return config

    return both


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
        return {"edges": {"saw": {"target": "item", "table": "sequences", "source_column": "user", "sequence": "items"}}}

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


NESTED = pa.array([{"a": 1}, {"a": 2}, {"a": 3}])
FAR = pa.array([1, 2, 2**63], pa.uint64())

BAD = [
    # The directory
    Bad("a directory that does not exist", lambda data: data.rmdir(), ("does not exist",)),
    Bad("a file for a directory", lambda data: (data.rmdir(), data.write_text("x")) and None, ("is a file",)),
    Bad("an empty directory", lambda data: None, ("no table of edges", "no table at all", "amity.toml")),
    Bad("nodes without edges", lambda d: table(d, "nodes.parquet", id=[1]), ("no table of edges", "nodes.parquet")),
    Bad("edges both as a table and as a folder",
        lambda data: (good(data), table(data, "edges/user-likes-item.parquet", src=[1], dst=[2])) and None, ("both",)),
    Bad("a table in edges/ whose name is no relation", lambda d: table(d, "edges/likes.parquet", src=[1], dst=[2]),
        ("edges/likes.parquet", "<kind>-<relation>-<kind>")),
    # The file
    Bad("a table that is a directory", lambda data: (data / "edges.parquet").mkdir(), ("edges.parquet", "directory")),
    Bad("an empty Parquet file", text(b"", "edges.parquet"), ("edges.parquet", "cannot be read as Parquet")),
    Bad("text named Parquet", text("src,dst\n1,2\n", "edges.parquet"), ("edges.parquet", "Parquet")),
    Bad("a truncated Parquet file", truncated, ("edges.parquet", "Parquet", "truncated")),
    Bad("a Parquet file with a corrupt footer", corrupt_footer, ("edges.parquet", "Parquet", "corrupt")),
    Bad("a Parquet file with a corrupt page", corrupt_pages, ("edges.parquet", "row group 1", "corrupt")),
    Bad("an unreadable file", unreadable, ("edges.parquet", "ermission")),
    Bad("a dangling symbolic link", lambda d: (d / "edges.parquet").symlink_to(d / "gone"), ("no table of edges",)),
    Bad("a Parquet file without rows", edges_of(src=pa.array([], pa.int64()), dst=pa.array([], pa.int64())),
        ("edges.parquet", "no rows", "src, dst")),
    Bad("nodes without rows", lambda d: people(d, id=pa.array([], pa.int64())), ("nodes.parquet", "no rows")),
    Bad("a column name twice", twice_named, ("edges.parquet", "more than one column `dst`")),
    # CSV
    Bad("an empty CSV file", text(""), ("edges.csv", "CSV")),
    Bad("a CSV file with a header alone", text("src,dst\n"), ("edges.csv", "no rows")),
    Bad("a CSV file without header", text("1,2\n2,3\n"), ("edges.csv", "no column `src`", "`1`")),
    Bad("a ragged row in a CSV file", text("src,dst\n1,2\n3\n4,5\n"), ("edges.csv", "Expected 2 columns, got 1")),
    Bad("a row too long in a CSV file", text("src,dst\n1,2\n3,4,5\n"), ("edges.csv", "Expected 2 columns, got 3")),
    Bad("a CSV file that is not UTF-8", text(b"src,dst\nJos\xe9,Ana\n"), ("edges.csv", "src", "UTF8")),
    Bad("a CSV file in UTF-16", text("src,dst\n1,2\n".encode("utf-16")), ("edges.csv",)),
    Bad("a CSV file with semicolons", text("src;dst\n1;2\n"), ("edges.csv", "no column `src`", "src;dst")),
    Bad("a column name twice in a CSV file", text("src,dst,src\n1,2,3\n"), ("edges.csv", "more than one column `src`")),
    Bad("text late in an integer column of a CSV file", text("src,dst\n" + "1,2\n" * 5_000_000 + "x,2\n"),
        ("edges.csv", "#0", "'x'")),
    Bad("an unclosed quote in a CSV file", text('src,dst\n"1,2\n3,4\n'), ("edges.csv",)),
    # Ids
    Bad("a missing id column", edges_of(source=[1], dst=[2]), ("edges.parquet", "`src`", "Did you mean `source`?")),
    Bad("nodes without ids", lambda d: (good(d), table(d, "nodes.parquet", ident=[1])) and None, ("`id`", "`ident`")),
    Bad("fractional ids", edges_of(src=[1.0, 2.5], dst=[2, 3]), ("edges.parquet", "`src`", "row group 0, row 1", "2.5")),
    Bad("ids as floats beyond 2^53", edges_of(src=[1.0, 2.0**60], dst=[2, 3]), ("`src`", "row 1", "2^53")),
    Bad("infinite ids", edges_of(src=[1.0, np.inf], dst=[2, 3]), ("`src`", "row 1", "inf")),
    Bad("ids beyond int64", edges_of(src=FAR, dst=[2, 3, 1]), ("`src`", "row 2", "beyond the range of int64")),
    Bad("an id beyond int64 in the last row group",
        lambda d: table(d, src=FAR, dst=[1, 2, 3], row_group_size=1), ("row group 2, row 2",)),
    Bad("true and false for ids", edges_of(src=[True, False], dst=[1, 2]), ("`src`", "bool")),
    Bad("times for ids", edges_of(src=pa.array([1, 2], pa.timestamp("s")), dst=[1, 2]), ("`src`", "timestamp")),
    Bad("bytes for ids", edges_of(src=[b"a"], dst=[b"b"]), ("`src`", "binary")),
    Bad("decimals for ids", edges_of(src=[Decimal("1.5")], dst=[2]), ("`src`", "decimal")),
    Bad("records for ids", edges_of(src=NESTED, dst=[1, 2, 3]), ("`src`", "struct")),
    Bad("lists for ids", edges_of(src=[[1], [2]], dst=[1, 2]), ("`src`", "list")),
    Bad("an id column of type null", edges_of(src=pa.nulls(2), dst=[1, 2]), ("`src`", "only nulls")),
    Bad("integers at one end and text at the other", edges_of(src=[1, 2], dst=["2", "1"]), ("`dst`", "text", "integers")),
    Bad("text in the edges, integers in the nodes", lambda d: (table(d, src=["1"], dst=["2"]), table(
        d, "nodes.parquet", id=[1, 2])) and None, ("edges.parquet", "`src`", "text here", "integers in nodes.parquet")),
    Bad("integers in the edges, text in the nodes", lambda d: (good(d), table(d, "nodes.parquet", id=["a"])) and None,
        ("edges.parquet", "integers here", "text in nodes.parquet")),
    Bad("text in one of two tables of a relation", two_tables(src=["1"], dst=["2"]), ("test.parquet", "text here")),
    Bad("nodes whose ids are all null", lambda d: people(d, id=pa.array([None] * 3, pa.int64())), ("every id is null",)),
    Bad("edges whose ids are all null", edges_of(src=pa.array([None], pa.int64()), dst=[1]), ("every id is null",)),
    # Edges
    Bad("edges that all dangle", lambda d: (good(d), table(d, "nodes.parquet", id=[7, 8])) and None,
        ("edges.parquet", "none of its 3 edges")),
    Bad("a dangling edge that is refused", dangling_in_third_group,
        ("edges.parquet", "`src`", "row group 2, row 5", "no user has the id 99", 'dangling = "drop"')),
    Bad("edges that are all self-loops", edges_of(src=[1, 2], dst=[1, 2]), ("`friend`", "2 self loops")),
    Bad("NaN for a weight", lambda d: good(d, weight=[1.0, np.nan, 1.0]), ("`weight`", "row 1", "nan")),
    Bad("an infinite weight", lambda d: good(d, weight=[1.0, 1.0, -np.inf]), ("`weight`", "row 2", "-inf")),
    Bad("a weight beyond float32", lambda d: good(d, weight=[1.0, 1e300, 1.0]), ("`weight`", "row 1", "1e+300")),
    Bad("a null weight", lambda d: good(d, weight=[1.0, None, 1.0]), ("`weight`", "row 1", "missing")),
    Bad("text for a weight", lambda d: good(d, weight=["1", "heavy", "1"]), ("`weight`", "row 1", "'heavy'")),
    Bad("a list for a weight", lambda d: good(d, weight=[[1], [2], [3]]), ("`weight`", "list")),
    Bad("NaN for a time", lambda d: good(d, time=[1.0, 2.0, np.nan]), ("`time`", "row 2", "missing")),
    Bad("an infinite time", lambda d: good(d, time=[1.0, 2.0, np.inf]), ("`time`", "row 2", "inf")),
    Bad("a null time", lambda d: good(d, time=[1, None, 3]), ("`time`", "row 1", "missing")),
    Bad("a fractional time", lambda d: good(d, time=[1.0, 2.5, 3.0]), ("`time`", "row 1", "2.5")),
    Bad("text for a time", lambda d: good(d, time=["now", "then", "soon"]), ("`time`", "string")),
    Bad("a time of day for a time", lambda d: good(d, time=[time(1), time(2), time(3)]), ("`time`", "time64")),
    Bad("a time beyond int64", lambda d: good(d, time=FAR), ("`time`", "row 2", "beyond the range")),
    Bad("an unknown part", lambda d: good(d, split=["train", "holdout", "test"]), ("`split`", "row 1", "'holdout'")),
    Bad("a null part", lambda d: good(d, split=["train", None, "test"]), ("`split`", "row 1", "missing")),
    Bad("numbers for parts", lambda d: good(d, split=[0, 1, 2]), ("`split`", "int64")),
    Bad("a flag that is text", described(lambda d: good(d, old=["yes", "no", "no"]), edges=friend(flags={"train": "old"})),
        ("`old`", "true or false", "string")),
    Bad("a flag that counts", described(lambda d: good(d, old=[0, 1, 2]), edges=friend(flags={"train": "old"})),
        ("`old`", "row 2", "other than 0 and 1")),
    Bad("flags that claim no edge", described(lambda d: good(d, old=[False] * 3), edges=friend(flags={"train": "old"})),
        ("`friend`", "3 unassigned")),
    Bad("times in one of two tables of a relation", two_tables(src=[1], dst=[3], time=[5]), ("test.parquet", "times")),
    Bad("a sequence that is no list", sequences(user=[1], items=[2]), ("sequences.parquet", "`items`", "int64")),
    Bad("a sequence of fractions", sequences(user=[1], items=[[1.5]]), ("`items`", "double")),
    Bad("a sequence of lists", sequences(user=[1], items=[[[1]]]), ("`items`", "list")),
    Bad("sequences that are all empty", sequences(user=[1], items=pa.array([[]], pa.list_(pa.int64()))), ("No edge",)),
    # Features
    Bad("an infinite number", people_of(age=[1.0, np.inf, 2.0]), ("nodes.parquet", "`age`", "row 1", "inf")),
    Bad("a number beyond float32", people_of(age=[1.0, 1e39, 2.0]), ("`age`", "row 1", "1e+39")),
    Bad("text for a number", described(people_of(age=["1", "old", "2"]), nodes=columns_of(age="number")),
        ("`age`", "row 1", "'old'", "missing")),
    Bad("a negative count", described(people_of(posts=[1, -2, 0]), nodes=columns_of(posts="count")),
        ("`posts`", "row 1", "-2", "negative")),
    Bad("a record for a feature", people_of(address=NESTED), ("`address`", "struct", '"ignore"')),
    Bad("lists of lists for a feature", people_of(grid=[[[1]], [[2]], [[3]]]), ("`grid`", "list")),
    Bad("bytes for a feature", people_of(photo=[b"a", b"b", b"c"]), ("`photo`", "binary")),
    Bad("vectors of several lengths", people_of(face=[[1.0, 2.0], [1.0], [3.0, 4.0]]),
        ("`face`", "row 1", "1 numbers where others have 2")),
    Bad("a vector with NaN inside", people_of(face=[[1.0, 2.0], [1.0, np.nan], [3.0, 4.0]]), ("`face`", "row 1", "nan")),
    Bad("a vector with null inside", people_of(face=[[1.0, 2.0], [1.0, 2.0], [None, 4.0]]), ("`face`", "row 2", "nan")),
    Bad("a number declared a vector", described(people_of(age=[1, 2, 3]), nodes=columns_of(age="vector")),
        ("`age`", "a vector is a list", "int64")),
    Bad("a number declared a bag", described(people_of(age=[1, 2, 3]), nodes=columns_of(age="bag")),
        ("`age`", "a bag is a list", "int64")),
    Bad("a fraction declared a category", described(people_of(age=[1.0, 2.5, 3.0]), nodes=columns_of(age="category")),
        ("`age`", "row 1", "2.5")),
    Bad("a list declared a category", described(people_of(age=[[1], [2], [3]]), nodes=columns_of(age="category")),
        ("`age`", "list")),
    Bad("fewer counts than values in a bag", described(
        people_of(words=[[1, 2], [3], []], amounts=pa.array([[1], [1], []], pa.list_(pa.int64()))),
        nodes=columns_of(words={"type": "bag", "counts": "amounts"})), ("`amounts`", "row 0", "1 counts", "2 values")),
    Bad("a negative count in a bag", described(people_of(words=[[1], [2], [3]], amounts=[[1], [2], [-1]]),
        nodes=columns_of(words={"type": "bag", "counts": "amounts"})), ("`amounts`", "row 2", "-1")),
    Bad("a null count in a bag", bag_table([1, 2], [5, 6], [1, None], count="times"), ("`times`", "row 1", "nan")),
    Bad("text keys for integer nodes", bag_table(["1"], [5]), ("visits.parquet", "`user`", "integers")),
    Bad("fractional values in a bag", bag_table([1], [5.5]), ("visits.parquet", "`venue`", "row 0", "5.5")),
    Bad("an id beyond int64 inside a list", people_of(words=pa.array([[1], [2], [3, 2**63]], pa.list_(pa.uint64()))),
        ("`words`", "row 2", "beyond the range")),
    # The description
    Bad("a table that is not there", described(good, edges={"friend": {"table": "edge.parquet"}}),
        ("`edge.parquet`", "Did you mean `edges.parquet`?")),
    Bad("a pattern that matches nothing", described(good, edges={"friend": {"table": "part-*.parquet"}}), ("part-*",)),
    Bad("a column that is not there", described(good, edges=friend(time="tiem")), ("edges.parquet", "`tiem`")),
    Bad("a flag that is not there", described(good, edges=friend(flags={"test": "late"})), ("`late`", "`src`")),
    Bad("a feature that is not there", described(people_of(age=[1, 2, 3]), nodes=columns_of(aeg="number")),
        ("`aeg`", "Did you mean `age`?")),
    Bad("a bag of a table that is not there", described(people, nodes={"user": {"bags": {"venues": {
        "table": "visits", "key": "user", "value": "venue"}}}}), ("`visits`",)),
    Bad("a bag of a column that is not there", bag_table([1], [5], value="venues"), ("`venues`", "`venue`")),
    Bad("columns of nodes without a table", described(good, nodes={"user": {"columns": {"age": "number"}}}),
        ("user", "no table"), ConfigError),
    Bad("a target that is no relation", described(good, target="frend"), ("`frend`", "`friend`"), ConfigError),
    Bad("a kind that nothing names", described(good, edges=friend(), nodes={"item": {}}), ("item",)),
    Bad("two kinds without a description of edges", described(good, nodes={"user": {}, "item": {}}),
        ("2 kinds",), ConfigError),
    Bad("an unknown key in amity.toml", toml("[ingestion]\nmemory = 2\n"), ("amity.toml", "`memory_gib`"), ConfigError),
    Bad("an unknown key of a relation in amity.toml", toml('[ingestion.edges.friend]\ntabel = "edges"\n'),
        ("amity.toml", "edges.friend.tabel", "`table`"), ConfigError),
    Bad("a value of a wrong type in amity.toml", toml('[ingestion]\nmemory_gib = "much"\n'),
        ("amity.toml", "memory_gib", "'much'"), ConfigError),
    Bad("another section in amity.toml", toml("[encoder]\ndim = 2\n"), ("amity.toml", "encoder"), ConfigError),
    Bad("an amity.toml that is no TOML", toml("ingestion = ["), ("amity.toml", "TOML"), ConfigError),
    Bad("an amity.toml whose section is a value", toml("ingestion = 3"), ("amity.toml",), ConfigError),
    Bad("parts both by tables and by flags", described(good, edges={"friend": {
        "tables": {"train": "edges"}, "flags": {"test": "new"}}}), ("not from several",), ValidationError),
    Bad("a relation without table", described(good, edges={"friend": {}}), ("`table`",), ValidationError),
    Bad("a relation whose name is a path", described(good, edges={"../friend": {"table": "edges"}}),
        ("../friend",), ValidationError),
    Bad("an unknown part in the config", described(good, edges={"friend": {"tables": {"holdout": "edges"}}}),
        ("train",), ValidationError),
    Bad("a sequence with a column of times", described(
        lambda d: table(d, user=[1], items=[[1, 2]], at=[3]),
        edges=friend(source_column="user", sequence="items", time="at")), ("sequence", "time")),
    Bad("leave-one-out without sequences", described(good, edges=friend(leave_one_out=True)), ("sequence",), ValidationError),
]  # fmt: skip

ROWS = ("edges", "friend", "tables", "edges.parquet")
COUNTED = [
    Counted("null ids", edges_of(src=[1, None, 2], dst=[2, 3, None]), (*ROWS, "null_ids"), 2),
    Counted("NaN for an id", edges_of(src=[1.0, np.nan], dst=[2, 3]), (*ROWS, "null_ids"), 1),
    Counted("self-loops", edges_of(src=[1, 2], dst=[2, 2]), (*ROWS, "self_loops"), 1),
    Counted("repeated edges", edges_of(src=[1, 1, 1], dst=[2, 2, 2]), ("edges", "friend", "duplicates"), 2),
    Counted("reversed edges", edges_of(src=[1, 2, 2], dst=[2, 1, 3]), ("edges", "friend", "reversed"), 1),
    Counted("dangling edges", lambda d: (table(d, src=[1, 1, 9], dst=[2, 7, 8]), table(d, "nodes.parquet", id=[1, 2]))
            and None, (*ROWS, "dangling"), 2),
    Counted("repeated node ids", lambda d: people(d, id=[1, 1, 2]), ("nodes", "user", "tables", "nodes.parquet",
            "duplicate_ids"), 1),
    Counted("null node ids", lambda d: people(d, id=[1, None, 2]), ("nodes", "user", "tables", "nodes.parquet",
            "null_ids"), 1),
    Counted("edges in several parts", lambda d: table(d, src=[1, 2, 2], dst=[2, 1, 3], split=["test", "train", "val"]),
            ("edges", "friend", "part_conflicts"), 1),
    Counted("edges that no flag claims", described(lambda d: good(d, old=[True, False, None]),
            edges=friend(flags={"train": "old"})), (*ROWS, "unassigned"), 2),
    Counted("columns of edges that nobody reads", lambda d: good(d, rating=[1, 2, 3]), (*ROWS, "skipped_columns"), ["rating"]),
    Counted("identifiers", people_of(name=["a", "b", "c"]), ("nodes", "user", "columns", "name"), "skipped: identifier"),
    Counted("columns of nulls", people_of(age=pa.nulls(3)), ("nodes", "user", "columns", "age"), "skipped: only nulls"),
    Counted("columns of missing values", described(people_of(age=[0, 0, 0]), nodes={"user": {"missing": [0]}}),
            ("nodes", "user", "columns", "age"), "skipped: only missing values"),
    Counted("null items of sequences", sequences(user=[1, None], items=[[2, None, 3], [4]]),
            ("edges", "saw", "tables", "sequences.parquet", "null_ids"), 2),
    Counted("bags of nodes that are not there", bag_table([1, 9, None], [5, 6, 7]),
            ("nodes", "user", "columns", "venues", "dropped"), 2),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.claim)
def test_is_refused_in_one_paragraph(tmp_path: Path, bad: Bad):
    data, directory = tmp_path / "data", tmp_path / "graph"
    data.mkdir()
    config = bad.make(data)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(bad.error) as caught:
        ingest(data, directory, IngestionConfig.model_validate(config or {}))
    message = str(caught.value)
    for part in bad.parts:
        assert part in message
    if isinstance(caught.value, AmityError):
        assert "\n" not in message
        assert len(message) < 700
    assert not (directory / "graph.json").exists()
    assert not list(directory.glob(".scratch*"))
    assert sorted(p for p in tmp_path.rglob("*") if directory not in (p, *p.parents)) == before


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.claim)
def test_is_counted_in_the_summary(tmp_path: Path, counted: Counted):
    data = tmp_path / "data"
    data.mkdir()
    config = counted.make(data)
    ingest(data, tmp_path / "graph", IngestionConfig.model_validate(config or {}))
    found = read_summary(tmp_path / "graph")
    for key in counted.where:
        found = found[key]
    assert found == counted.number


def test_there_are_sixty_bad_inputs_and_each_is_another():
    assert len({bad.claim for bad in BAD} | {counted.claim for counted in COUNTED}) == len(BAD) + len(COUNTED) >= 60


def test_an_existing_directory_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "data").mkdir()
    good(tmp_path / "data")
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "graph.json").write_text("precious")
    with pytest.raises(ArtifactError, match="not an empty directory"):
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig())
    assert [path.name for path in (tmp_path / "graph").iterdir()] == ["graph.json"]
    assert (tmp_path / "graph" / "graph.json").read_text() == "precious"


def test_a_wide_bad_table_still_gets_a_short_message(tmp_path: Path):
    (tmp_path / "data").mkdir()
    table(tmp_path / "data", **{f"column{number}": [1] for number in range(300)})
    with pytest.raises(DataError) as caught:
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig())
    assert len(str(caught.value)) < 500
