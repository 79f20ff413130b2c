"""Laws of the graph directory: what was saved is opened, and what was appended is an npy file like any other."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from amity.errors import RetrievalError
from amity.graph import Bag, Category, Graph, Number, Vector, from_pairs, open_graph, reverse, save_graph, union
from amity.graph.graph import NodeKind, Relation
from amity.graph.storage import ArrayWriter, open_array, read_summary
from amity.graph.vocabulary import integer_vocabulary
from amity.ingestion.vocabulary import collect


def everything() -> Graph:
    """Two kinds, two relations, a column of every type."""
    columns = (
        Number("age", np.float32([1, np.nan, 3])),
        Category("city", np.int32([0, -1, 1]), ("Åbo", "Ulm")),
        Vector("face", np.float32([[1, 2], [3, 4], [np.nan, np.nan]])),
        Bag("words", np.array([0, 2, 2, 3]), np.int32([0, 1, 1]), np.float32([1, 2, 1]), ("a", "b")),
    )
    users = NodeKind("user", 0, integer_vocabulary(np.array([30, 10, 20])), columns)
    items = NodeKind("item", 3, integer_vocabulary(np.array([7, 8])))
    likes = from_pairs(np.array([0, 1, 2]), np.array([3, 3, 4]), num_nodes=5)
    knows = from_pairs(np.array([0, 1]), np.array([1, 0]), num_nodes=5)
    relations = (Relation("likes", "user", "item", False, likes), Relation("knows", "user", "user", True, knows))
    return Graph((users, items), relations, union(union(likes, reverse(likes)), knows))


def test_what_was_saved_is_opened(tmp_path: Path):
    graph = everything()
    save_graph(graph, tmp_path / "graph", summary={"rows": 3})
    opened = open_graph(tmp_path / "graph")
    assert read_summary(tmp_path / "graph") == {"rows": 3}
    assert [(k.name, k.first, k.count) for k in opened.kinds] == [("user", 0, 3), ("item", 3, 2)]
    assert [opened.row(raw) for raw in (30, "20", "item:8")] == [0, 2, 4]
    for one, other in zip(opened.kinds[0].columns, graph.kinds[0].columns, strict=True):
        assert type(one) is type(other)
        for field in type(one).__slots__:
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for one, other in zip(
        [*(r.adjacency for r in opened.relations), opened.messages],
        [*(r.adjacency for r in graph.relations), graph.messages], strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one.indptr, other.indptr)
        np.testing.assert_array_equal(one.indices, other.indices)


def test_letters_are_read_and_written_alike_whatever_the_locale(tmp_path: Path):
    save_graph(everything(), tmp_path / "here")
    script = """
import pathlib, sys, amity.graph
here, there = map(pathlib.Path, sys.argv[1:])
amity.graph.save_graph(amity.graph.open_graph(here), there)
"""
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "here", tmp_path / "there"], env=plain, check=True)
    cities = open_graph(tmp_path / "there").kinds[0].columns[1]
    assert isinstance(cities, Category)
    assert cities.dictionary == ("Åbo", "Ulm")


def test_a_text_id_with_a_colon_is_found_as_it_stands():
    words = collect([pa.array(["user:1", "x", "y"])])
    items = NodeKind("item", 3, integer_vocabulary(np.array([7, 8])))
    likes = from_pairs(np.array([0]), np.array([3]), num_nodes=5)
    relation = Relation("likes", "user", "item", False, likes)
    graph = Graph((NodeKind("user", 0, words), items), (relation,), union(likes, reverse(likes)))
    assert [graph.row(raw) for raw in ("user:1", "user:user:1", "user:x", "item:8")] == [0, 0, 1, 4]
    with pytest.raises(RetrievalError, match="No user has the id '2'"):
        graph.row("user:2")


def test_messages_that_are_a_relation_are_stored_once(tmp_path: Path, make_friend_graph):
    graph = make_friend_graph(np.array([0, 1]), np.array([1, 2]), num_nodes=3)
    save_graph(graph, tmp_path)
    opened = open_graph(tmp_path)
    assert opened.messages is opened.target.adjacency
    assert not (tmp_path / "messages").exists()


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize("sizes", [[], [0], [4, 0, 5], [1] * 12])
def test_appended_arrays_are_one_npy_file(tmp_path: Path, sizes: list[int], width: int | None):
    tail = () if width is None else (width,)
    pieces = [np.random.default_rng(size).random((size, *tail)) for size in sizes]
    with ArrayWriter(tmp_path / "deep" / "values.npy", np.float32, width=width) as writer:
        for piece in pieces:
            writer.append(piece)
    found = open_array(tmp_path / "deep" / "values.npy")
    expected = np.concatenate([np.empty((0, *tail)), *pieces]).astype(np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "values.npy"), expected)
