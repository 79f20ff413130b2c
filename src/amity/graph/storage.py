"""The graph as a directory of memory-mapped npy files and one JSON page that names them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from amity.graph.adjacency import Adjacency
from amity.graph.features import Bag, Category, Column, Number, Vector
from amity.graph.graph import Graph, NodeKind, Relation
from amity.graph.vocabulary import Vocabulary

PAGE = "graph.json"


def save_graph(graph: Graph, directory: Path, *, summary: dict[str, Any] | None = None) -> None:
    """Write a graph into an empty or new directory; arrays that are already there are not written again."""
    kinds = [_save_kind(kind, directory, f"nodes/{kind.name}") for kind in graph.kinds]
    relations = []
    for relation in graph.relations:
        save_adjacency(relation.adjacency, directory / "edges" / relation.name)
        names = {field: getattr(relation, field) for field in ("name", "source", "target", "undirected")}
        relations.append({**names, "edges": f"edges/{relation.name}"})
    messages = _messages_path(graph)
    if messages == "messages":
        save_adjacency(graph.messages, directory / messages)
    page = {"kinds": kinds, "relations": relations, "messages": messages, "summary": summary or {}}
    (directory / PAGE).write_text(json.dumps(page, indent=1, ensure_ascii=False), encoding="utf-8")


def open_graph(directory: Path) -> Graph:
    """Map a graph into memory; nothing is read until it is used."""
    page = json.loads((directory / PAGE).read_text(encoding="utf-8"))
    kinds, first = [], 0
    for entry in page["kinds"]:
        kinds.append(_open_kind(entry, directory, first))
        first += kinds[-1].count
    adjacencies = {entry["edges"]: open_adjacency(directory / entry["edges"]) for entry in page["relations"]}
    relations = tuple(
        Relation(r["name"], r["source"], r["target"], r["undirected"], adjacencies[r["edges"]])
        for r in page["relations"]
    )
    messages = adjacencies.get(page["messages"]) or open_adjacency(directory / page["messages"])
    return Graph(tuple(kinds), relations, messages)


def read_summary(directory: Path) -> dict[str, Any]:
    """What ingestion counted: rows, repetitions, self-loops, dangling ids."""
    return json.loads((directory / PAGE).read_text(encoding="utf-8"))["summary"]


def save_adjacency(adjacency: Adjacency, directory: Path) -> None:
    """Write an adjacency as one npy file an array."""
    for name in Adjacency.__slots__:
        values = getattr(adjacency, name)
        if values is not None:
            _save(values, directory / f"{name}.npy")


def open_adjacency(directory: Path) -> Adjacency:
    """Map an adjacency into memory."""
    return Adjacency(
        **{
            name: open_array(directory / f"{name}.npy")
            for name in Adjacency.__slots__
            if (directory / f"{name}.npy").exists()
        }
    )


def open_array(path: Path) -> ndarray:
    """Map one npy file into memory, read-only; an empty array is read."""
    array = np.load(path, mmap_mode=None if path.stat().st_size <= 128 else "r", allow_pickle=False)
    return array.view(ndarray)


class ArrayWriter:
    """An open npy file that arrays are appended to, for what is too large to be whole in memory."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, *, width: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._tail = () if width is None else (width,)
        self._length = 0
        self._write_header()

    def append(self, values: ndarray) -> None:
        """Write more rows, cast to the type of the file."""
        self._length += len(values)
        self._file.write(np.ascontiguousarray(values, self._dtype).data)

    def close(self) -> None:
        """Write the final length into the header, which numpy pads so that any length fits."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_header(self) -> None:
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, *self._tail), self._dtype))
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (self._length, *self._tail)})


def _messages_path(graph: Graph) -> str:
    """Where the messages lie: with the relation whose adjacency they are, else in a folder of their own."""
    for relation in graph.relations:
        if relation.adjacency.indices is graph.messages.indices:
            return f"edges/{relation.name}"
    return "messages"


def _save(values: ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        np.save(path, values, allow_pickle=False)


def _save_kind(kind: NodeKind, directory: Path, place: str) -> dict[str, Any]:
    for name, values in _arrays(kind.vocabulary):
        _save(values, directory / place / f"{name}.npy")
    columns = []
    for number, column in enumerate(kind.columns):
        entry: dict[str, Any] = {"type": type(column).__name__, "name": column.name, "file": f"column{number}"}
        for name, values in _arrays(column):
            _save(values, directory / place / f"column{number}.{name}.npy")
        if isinstance(column, Category | Bag):
            page = json.dumps(column.dictionary, ensure_ascii=False)
            (directory / place / f"column{number}.json").write_text(page, encoding="utf-8")
        columns.append(entry)
    return {"name": kind.name, "path": place, "columns": columns}


def _open_kind(entry: dict[str, Any], directory: Path, first: int) -> NodeKind:
    place = directory / entry["path"]
    arrays = {n: open_array(place / f"{n}.npy") for n in Vocabulary.__slots__ if (place / f"{n}.npy").exists()}
    columns = tuple(_open_column(column, place) for column in entry["columns"])
    return NodeKind(entry["name"], first, Vocabulary(**arrays), columns)


def _open_column(entry: dict[str, Any], place: Path) -> Column:
    kind = {"Number": Number, "Category": Category, "Vector": Vector, "Bag": Bag}[entry["type"]]
    fields: dict[str, Any] = {"name": entry["name"]}
    for name in kind.__slots__:
        path = place / f"{entry['file']}.{name}.npy"
        if path.exists():
            fields[name] = open_array(path)
    if "dictionary" in kind.__slots__:
        fields["dictionary"] = tuple(json.loads((place / f"{entry['file']}.json").read_text(encoding="utf-8")))
    return kind(**fields)


def _arrays(record: Any) -> Iterator[tuple[str, ndarray]]:
    for name in type(record).__slots__:
        values = getattr(record, name)
        if isinstance(values, ndarray):
            yield name, values
