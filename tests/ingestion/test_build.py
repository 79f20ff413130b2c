"""Laws of ingestion: what it reads equals a plain computation, however the tables are cut, ordered or written."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amity.errors import DataError
from amity.graph import Adjacency, Graph, open_graph
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest
from amity.ingestion.tables import open_table

TINY_MEMORY = 1e-6
RELAXED = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(data: Path, name: str, columns: dict[str, Any], **options: Any) -> None:
    path = data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, **options)


def read(folder: Path, tables: dict[str, dict[str, Any]], **config: Any) -> Graph:
    """Ingest tables given by file name from a fresh folder."""
    place = folder / f"run{len(list(folder.iterdir()))}"
    for name, columns in tables.items():
        write(place / "data", name, columns)
    return ingest(place / "data", place / "graph", IngestionConfig.model_validate(config))


def random_edges(seed: int, rows: int = 400, people: int = 30) -> dict[str, np.ndarray]:
    """Edges of every rule: repeated, reversed, self-loops, some dangling, with times, weights and parts."""
    rng = np.random.default_rng(seed)
    return {
        "src": (people * rng.random(rows) ** 2).astype(np.int64) * 7 + 5,
        "dst": rng.integers(0, people + 3, rows) * 7 + 5,
        "time": rng.integers(0, 50, rows),
        "weight": rng.normal(size=rows).astype(np.float32),
        "split": rng.choice(["train", "valid", "test"], rows),
    }


def random_tables(seed: int, people: int = 30) -> dict[str, dict[str, Any]]:
    ids = np.random.default_rng(seed + 1).permutation(people) * 7 + 5
    return {"edges.parquet": random_edges(seed, people=people), "nodes.parquet": {"id": ids}}


def brute_force(tables: dict[str, dict[str, Any]], *, undirected: bool) -> dict[tuple[int, int], tuple]:
    """(time, weight, part) of every pair of rows, by plain Python."""
    row = {raw: number for number, raw in enumerate(tables["nodes.parquet"]["id"])}
    groups: dict[tuple[int, int], list] = defaultdict(list)
    columns = tables["edges.parquet"]
    parts = {"train": 0, "valid": 1, "test": 2}
    for src, dst, time, weight, split in zip(*columns.values(), strict=True):
        if src in row and dst in row and src != dst:
            for pair in [(row[src], row[dst]), (row[dst], row[src])][: 1 + undirected]:
                groups[pair].append((time, weight, parts[split]))
    return {
        pair: (min(t for t, _, _ in group), float(np.float32(sum(sorted(float(w) for _, w, _ in group)))),
               min(p for _, _, p in group))
        for pair, group in groups.items()
    }  # fmt: skip


def pairs_of(adjacency: Adjacency) -> list[tuple[int, int]]:
    return list(zip(adjacency.sources().tolist(), adjacency.indices.tolist(), strict=True))


def contents(graph: Graph) -> list[np.ndarray]:
    """Every array of a graph's edges."""
    every = [*(relation.adjacency for relation in graph.relations), graph.messages]
    return [
        array
        for adjacency in every
        for array in (adjacency.indptr, adjacency.indices, adjacency.times, adjacency.weights, adjacency.parts)
        if array is not None
    ]


def assert_same(first: Graph, second: Graph) -> None:
    for one, other in zip(contents(first), contents(second), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@given(seed=st.integers(0, 10**6), undirected=st.booleans())
@RELAXED
def test_edges_are_those_of_a_plain_computation(tmp_path: Path, seed: int, undirected: bool):
    tables = random_tables(seed)
    config = {"edges": {"friend": {"table": "edges", "undirected": undirected}}}
    adjacency = read(tmp_path, tables, **config).target.adjacency
    expected = brute_force(tables, undirected=undirected)
    assert pairs_of(adjacency) == sorted(expected)
    report = read_summary(sorted(tmp_path.iterdir(), key=lambda run: run.stat().st_ctime)[-1] / "graph")["edges"][
        "friend"
    ]
    lost = sum(report["tables"]["edges.parquet"][name] for name in ("null_ids", "unassigned", "dangling", "self_loops"))
    repeated = report["duplicates"] + report["reversed"]
    assert lost + repeated + len(expected) // (1 + undirected) == 400
    found = zip(adjacency.times, adjacency.weights, adjacency.parts, strict=True)
    for pair, (time, weight, part) in zip(sorted(expected), found, strict=True):
        assert (time, part) == (expected[pair][0], expected[pair][2])
        assert weight == pytest.approx(expected[pair][1], abs=1e-6)


@given(seed=st.integers(0, 10**6))
@RELAXED
def test_the_order_of_edges_does_not_matter(tmp_path: Path, seed: int):
    tables = random_tables(seed)
    order = np.random.default_rng(seed).permutation(400)
    shuffled = {**tables, "edges.parquet": {n: v[order] for n, v in tables["edges.parquet"].items()}}
    assert_same(read(tmp_path, tables), read(tmp_path, shuffled))


@given(seed=st.integers(0, 10**6), rows=st.sampled_from([17, 399, 401]), undirected=st.booleans())
@settings(RELAXED, max_examples=10)
def test_chunks_and_memory_do_not_matter(tmp_path: Path, seed: int, rows: int, undirected: bool):
    tables = random_tables(seed)
    config = {"edges": {"friend": {"table": "edges", "undirected": undirected}}}
    whole = read(tmp_path, tables, **config)
    assert_same(whole, read(tmp_path, tables, **config, chunk_rows=rows, memory_gib=TINY_MEMORY))


def test_a_hub_larger_than_memory_is_cut(tmp_path: Path):
    """Node 0 knows everybody: one row holds half of the pairs, and 1,024 pairs are what memory is taken to hold."""
    others = np.arange(1, 20_001)
    tables = {"edges.parquet": {"src": np.zeros_like(others), "dst": others}}
    adjacency = read(tmp_path, tables, memory_gib=TINY_MEMORY).target.adjacency
    assert adjacency.neighbors(0).tolist() == others.tolist()
    assert adjacency.degrees()[1:].tolist() == [1] * len(others)


def test_a_pair_repeated_beyond_memory_is_one_edge(tmp_path: Path):
    ones = np.ones(5000, np.int64)
    tables = {"edges.parquet": {"src": ones, "dst": 2 * ones, "weight": ones.astype(np.float32), "time": ones.cumsum()}}
    adjacency = read(tmp_path, tables, memory_gib=TINY_MEMORY).target.adjacency
    assert (adjacency.num_edges, adjacency.weights.tolist(), adjacency.times.tolist()) == (2, [5000.0] * 2, [1, 1])


@given(seed=st.integers(0, 10**6))
@RELAXED
def test_the_order_of_nodes_only_renames_rows(tmp_path: Path, seed: int):
    tables = random_tables(seed)
    other = {**tables, "nodes.parquet": {"id": tables["nodes.parquet"]["id"][::-1].copy()}}
    first, second = read(tmp_path, tables), read(tmp_path, other)
    assert {(a, b) for a, b in named_pairs(first)} == {(a, b) for a, b in named_pairs(second)}


def named_pairs(graph: Graph) -> set[tuple[str, str]]:
    ids = [str(raw) for kind in graph.kinds for raw in kind.vocabulary.ids(range(kind.count))]
    return {(ids[a], ids[b]) for a, b in pairs_of(graph.target.adjacency)}


@given(seed=st.integers(0, 10**6))
@RELAXED
def test_text_ids_give_the_graph_of_integer_ids(tmp_path: Path, seed: int):
    tables = random_tables(seed)
    textual = {name: dict(columns) for name, columns in tables.items()}
    for name, column in (("edges.parquet", "src"), ("edges.parquet", "dst"), ("nodes.parquet", "id")):
        textual[name][column] = tables[name][column].astype(str)
    first, second = read(tmp_path, tables), read(tmp_path, textual)
    assert_same(first, second)
    assert second.queries.vocabulary.ids(range(30)) == [str(raw) for raw in first.queries.vocabulary.ids(range(30))]


@pytest.mark.parametrize("encode", [
    lambda ids: pa.array(ids.astype(str), pa.large_string()), lambda ids: pa.array(ids.astype(str)).dictionary_encode(),
    lambda ids: pa.array(ids.astype(str), pa.string_view()),
], ids=["large strings", "dictionary", "string views"])  # fmt: skip
def test_text_is_text_however_arrow_holds_it(tmp_path: Path, encode: Any):
    tables = random_tables(3)
    encoded = {name: dict(columns) for name, columns in tables.items()}
    for name, column in (("edges.parquet", "src"), ("edges.parquet", "dst"), ("nodes.parquet", "id")):
        encoded[name][column] = encode(tables[name][column])
    assert_same(read(tmp_path, tables), read(tmp_path, encoded))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64, np.float32, np.float64])
def test_numbers_are_ids_of_any_width(tmp_path: Path, dtype: type):
    tables = {"edges.parquet": {"src": np.array([100, 3, 7]), "dst": np.array([3, 7, 20])}}
    narrow = {"edges.parquet": {n: v.astype(dtype) for n, v in tables["edges.parquet"].items()}}
    first, second = read(tmp_path, tables), read(tmp_path, narrow)
    assert_same(first, second)
    assert second.queries.vocabulary.keys.tolist() == [3, 7, 20, 100]


@given(seed=st.integers(0, 10**6))
@RELAXED
def test_a_csv_gives_the_graph_of_a_parquet_file(tmp_path: Path, seed: int):
    tables = random_tables(seed)
    tables["nodes.parquet"]["city"] = np.array(["Oslo", "Ulm"])[tables["nodes.parquet"]["id"] % 2]
    tables["nodes.parquet"]["age"] = tables["nodes.parquet"]["id"] / 8
    plain = {name.replace(".parquet", ".csv"): columns for name, columns in tables.items()}
    first, second = read(tmp_path, tables), read(tmp_path, plain)
    assert_same(first, second)
    for one, other in zip(first.queries.columns, second.queries.columns, strict=True):
        assert type(one) is type(other)
        np.testing.assert_array_equal(getattr(one, "values", None) is not None and one.values,
                                      getattr(other, "values", None) is not None and other.values)  # fmt: skip


def test_csv_files_whose_names_look_alike_are_read_each(tmp_path: Path):
    tables = {"a.b.csv": {"src": [1], "dst": [2]}, "a/b.csv": {"src": [3], "dst": [4]}}
    graph = read(tmp_path, tables, edges={"likes": {"table": "a.b.csv"}, "knows": {"table": "a/b.csv"}})
    assert [pairs_of(relation.adjacency) for relation in graph.relations] == [[(0, 1), (1, 0)], [(2, 3), (3, 2)]]


def test_nodes_without_a_table_are_the_sorted_ends_of_edges(tmp_path: Path):
    integers = read(tmp_path, {"edges.parquet": {"src": [30, 5], "dst": [-7, 30]}})
    assert integers.queries.vocabulary.ids(range(3)) == [-7, 5, 30]
    text = read(tmp_path, {"edges.parquet": {"src": ["b", "é"], "dst": ["", "b"]}})
    assert text.queries.vocabulary.ids(range(3)) == ["", "b", "é"]


def test_messages_are_every_relation_both_ways(tmp_path: Path):
    rng = np.random.default_rng(0)
    tables = {
        "edges/user-knows-user.parquet": {"src": rng.integers(0, 20, 60), "dst": rng.integers(0, 20, 60)},
        "edges/user-likes-item.parquet": {"src": rng.integers(0, 20, 90), "dst": rng.integers(0, 40, 90)},
    }
    graph = read(tmp_path, tables, target="likes", memory_gib=TINY_MEMORY, chunk_rows=11)
    assert [relation.name for relation in graph.relations] == ["likes", "knows"]
    both = {pair for relation in graph.relations for pair in pairs_of(relation.adjacency)}
    assert pairs_of(graph.messages) == sorted(both | {(b, a) for a, b in both})
    users = graph.kind("user")
    assert {a for a, _ in pairs_of(graph.target.adjacency)} <= set(range(users.count))
    assert {b for _, b in pairs_of(graph.target.adjacency)} <= set(range(users.count, graph.num_nodes))


def test_one_friendship_is_its_own_message_graph(tmp_path: Path):
    graph = read(tmp_path, {"edges.parquet": {"src": [1], "dst": [2]}})
    assert graph.messages is graph.target.adjacency


def test_progress_ends_at_the_last_row_of_every_table(tmp_path: Path):
    write(tmp_path / "data", "edges.parquet", {"src": np.arange(10), "dst": np.arange(10) + 1})
    write(tmp_path / "data", "nodes.parquet", {"id": np.arange(11)})
    told = []
    config = IngestionConfig(chunk_rows=3)
    ingest(tmp_path / "data", tmp_path / "graph", config, progress=lambda *news: told.append(news))
    assert told[-1] == ("edges.parquet", 10, 10)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_nothing_but_the_graph_is_left(tmp_path: Path):
    graph = read(tmp_path, random_tables(1), memory_gib=TINY_MEMORY)
    directory = tmp_path / "run0" / "graph"
    assert {path.name for path in directory.iterdir()} == {"graph.json", "nodes", "edges"}
    assert_same(graph, open_graph(directory))
    assert set(read_summary(directory)) == {"nodes", "edges"}


def test_chunks_are_as_small_as_the_row_group_with_the_longest_lists_asks(tmp_path: Path):
    """Histories sorted by length: a mean over the table would let the last row group through whole."""
    lists = [[1]] * 1000 + [list(range(1000))] * 10
    pq.write_table(pa.table({"items": lists}), tmp_path / "t.parquet", row_group_size=1000)
    chunks = open_table(tmp_path, "t.parquet", tmp_path).chunks(["items"], rows=2000)
    assert max(pa.compute.sum(pa.compute.list_value_length(chunk.columns["items"])).as_py() for chunk in chunks) <= 2000


def test_files_are_closed_where_building_fails(tmp_path: Path):
    write(tmp_path / "data", "nodes.parquet", {"id": [1, 2]})
    write(tmp_path / "data", "edges.parquet", {"src": [1, 1], "dst": [2, 9]})
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(DataError, match="no user has the id 9") as caught:
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig(dangling="error", memory_gib=TINY_MEMORY))
    assert caught.value
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    assert after == before
