"""What each setting does, by small examples: parts, times, features, bags, sequences, layouts."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amity.graph import Bag, Category, Graph, Number, Vector
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest


def read(folder: Path, tables: dict[str, dict[str, Any]], **config: Any) -> Graph:
    for name, columns in tables.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}), path)
    return ingest(folder / "data", folder / "graph", IngestionConfig.model_validate(config))


def read_column(folder: Path, values: Any, **config: Any) -> Any:
    """The one feature of people 1, 2, ... that a column becomes, or None."""
    ids = list(range(1, len(values) + 1))
    tables = {"edges.parquet": {"src": ids[:1], "dst": ids[1:2]}, "nodes.parquet": {"id": ids, "it": values}}
    nodes = {"user": {"columns": {"it": config} if config else {}}}
    columns = read(folder, tables, nodes=nodes).queries.columns
    return columns[0] if columns else None


def bags(column: Bag) -> list[dict[str, float]]:
    bounds = zip(column.indptr, column.indptr[1:], strict=False)
    return [
        {column.dictionary[column.codes[e]]: float(column.counts[e]) for e in range(begin, end)}
        for begin, end in bounds
    ]


FRIEND = {"friend": {"table": "edges", "undirected": False}}


class TestParts:
    def test_the_first_true_flag_wins(self, tmp_path: Path):
        edges = {"src": [1, 1, 1], "dst": [2, 3, 4], "old": [True, True, False], "new": [False, True, True]}
        config = {"friend": {**FRIEND["friend"], "flags": {"train": "old", "test": "new"}}}
        assert read(tmp_path, {"edges.parquet": edges}, edges=config).target.adjacency.parts.tolist() == [0, 0, 2]

    def test_without_a_train_flag_the_rest_is_train(self, tmp_path: Path):
        edges = {"src": [1, 1], "dst": [2, 3], "late": [0, 1]}
        config = {"friend": {**FRIEND["friend"], "flags": {"valid": "late"}}}
        assert read(tmp_path, {"edges.parquet": edges}, edges=config).target.adjacency.parts.tolist() == [0, 1]

    def test_a_table_can_be_a_part(self, tmp_path: Path):
        tables = {"a.parquet": {"src": [1, 1], "dst": [2, 3]}, "b.parquet": {"src": [1, 3], "dst": [3, 1]}}
        config = {"friend": {"undirected": False, "tables": {"test": "b", "train": "a"}}}
        graph = read(tmp_path, tables, edges=config)
        assert graph.target.adjacency.parts.tolist() == [0, 0, 2]
        assert read_summary(tmp_path / "graph")["edges"]["friend"]["part_conflicts"] == 1

    def test_a_split_column_is_read_where_it_is(self, tmp_path: Path):
        edges = {"src": [1, 1, 1], "dst": [2, 3, 4], "split": ["test", "train", "validation"]}
        assert read(tmp_path, {"edges.parquet": edges}, edges=FRIEND).target.adjacency.parts.tolist() == [2, 0, 1]

    def test_no_part_is_absent(self, tmp_path: Path):
        adjacency = read(tmp_path, {"edges.parquet": {"src": [1], "dst": [2]}}).target.adjacency
        assert adjacency.parts is adjacency.times is adjacency.weights is None


class TestTimes:
    @pytest.mark.parametrize("name", ["time", "timestamp"])
    def test_either_name_is_a_time(self, tmp_path: Path, name: str):
        edges = {"src": [1, 1, 1], "dst": [2, 3, 2], name: [5, 6, 4]}
        assert read(tmp_path, {"edges.parquet": edges}, edges=FRIEND).target.adjacency.times.tolist() == [4, 6]

    def test_an_empty_name_reads_none(self, tmp_path: Path):
        config = {"friend": {**FRIEND["friend"], "time": ""}}
        adjacency = read(
            tmp_path, {"edges.parquet": {"src": [1], "dst": [2], "time": [5]}}, edges=config
        ).target.adjacency
        assert adjacency.times is None

    @pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns", "UTC")], ids=str)
    def test_dates_are_microseconds(self, tmp_path: Path, kind: pa.DataType):
        times = pa.array([np.datetime64("1970-01-03", "us"), np.datetime64("1969-12-31", "us")]).cast(kind)
        edges = {"src": [1, 1], "dst": [2, 3], "time": times}
        found = read(tmp_path, {"edges.parquet": edges}, edges=FRIEND).target.adjacency.times
        assert found.tolist() == [2 * 86_400_000_000, -86_400_000_000]


class TestFeatures:
    def test_floats_are_numbers(self, tmp_path: Path):
        column = read_column(tmp_path, [1.5, None, np.nan, 1.5])
        assert isinstance(column, Number)
        np.testing.assert_array_equal(column.values, np.float32([1.5, np.nan, np.nan, 1.5]))

    def test_integers_that_repeat_are_categories(self, tmp_path: Path):
        column = read_column(tmp_path, [10, 9, 10, None, 9])
        assert isinstance(column, Category)
        assert (column.dictionary, column.codes.tolist()) == (("9", "10"), [1, 0, 1, -1, 0])

    def test_integers_that_do_not_repeat_are_numbers(self, tmp_path: Path):
        assert isinstance(read_column(tmp_path, [1, 2, 3, 3]), Number)

    def test_more_than_65536_integers_are_numbers(self, tmp_path: Path):
        values = np.concatenate([np.arange(65_537)] * 2)
        assert isinstance(read_column(tmp_path, values), Number)

    def test_text_that_repeats_is_a_category(self, tmp_path: Path):
        column = read_column(tmp_path, ["b", "a", "b", None, "a"])
        assert (column.dictionary, column.codes.tolist()) == (("a", "b"), [1, 0, 1, -1, 0])

    def test_text_that_does_not_repeat_is_an_identifier(self, tmp_path: Path):
        assert read_column(tmp_path, ["a", "b", "c"]) is None

    def test_declared_text_is_a_category_even_so(self, tmp_path: Path):
        assert read_column(tmp_path, ["a", "b", "c"], type="category").codes.tolist() == [0, 1, 2]

    def test_truth_is_a_category(self, tmp_path: Path):
        column = read_column(tmp_path, [True, None, False])
        assert (column.dictionary, column.codes.tolist()) == (("false", "true"), [1, -1, 0])

    def test_dates_are_days(self, tmp_path: Path):
        column = read_column(tmp_path, pa.array([np.datetime64("1970-01-02", "s"), None]))
        np.testing.assert_array_equal(column.values, np.float32([1, np.nan]))

    def test_markers_are_missing(self, tmp_path: Path):
        column = read_column(tmp_path, [0, 5, 5, 0, 9, 9], type="category", missing=[0])
        assert (column.dictionary, column.codes.tolist()) == (("5", "9"), [-1, 0, 0, -1, 1, 1])
        assert column.codes.dtype == np.int32

    def test_markers_match_integers_to_the_last_digit(self, tmp_path: Path):
        values = [2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2]
        column = read_column(tmp_path, values, type="category", missing=[2**53, float(2**62), 2**63 - 1, 2**70, 1.5])
        assert column.codes.tolist() == [-1, 0, -1, 1]
        assert column.dictionary == (str(2**53 + 1), str(2**63 - 2))

    @pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 3)], ids=str)
    def test_markers_match_numbers_of_any_precision(self, tmp_path: Path, kind: pa.DataType):
        number = Decimal if pa.types.is_decimal(kind) else float
        column = read_column(
            tmp_path, pa.array(map(number, (0.125, -99, 2)), kind), missing=[0.125, -99, 0.0001, 1e300]
        )
        np.testing.assert_array_equal(column.values, np.float32([np.nan, np.nan, 2]))

    def test_a_marker_of_a_tenth_matches_a_tenth_in_single_precision(self, tmp_path: Path):
        column = read_column(tmp_path, pa.array([0.1, 0.2], pa.float32()), missing=[0.1])
        np.testing.assert_array_equal(column.values, np.float32([np.nan, 0.2]))

    def test_text_markers_make_text_a_number(self, tmp_path: Path):
        column = read_column(tmp_path, ["1", "n/a", "2.5"], type="number", missing=["n/a"])
        np.testing.assert_array_equal(column.values, np.float32([1, np.nan, 2.5]))

    @pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64()),
                                      pa.list_(pa.int32(), 2)], ids=str)  # fmt: skip
    def test_equal_lists_are_vectors(self, tmp_path: Path, kind: pa.DataType):
        column = read_column(tmp_path, pa.array([[1, 2], None, [3, 4]], kind))
        assert isinstance(column, Vector)
        np.testing.assert_array_equal(column.values, np.float32([[1, 2], [np.nan, np.nan], [3, 4]]))

    def test_vectors_in_half_precision_stay_so(self, tmp_path: Path):
        column = read_column(tmp_path, pa.array([[1.5, 2], None, [3, 65504]], pa.list_(pa.float16(), 2)))
        assert column.values.dtype == np.float16
        np.testing.assert_array_equal(column.values, np.float16([[1.5, 2], [np.nan, np.nan], [3, 65504]]))

    @pytest.mark.parametrize("kind", [pa.int32(), pa.string(), pa.large_string()], ids=str)
    def test_lists_are_bags(self, tmp_path: Path, kind: pa.DataType):
        column = read_column(tmp_path, pa.array([["7", "12", "7"], None, ["12", None], []]).cast(pa.list_(kind)))
        assert bags(column) == [{"7": 2, "12": 1}, {}, {"12": 1}, {}]
        assert sorted(column.dictionary) == ["12", "7"]

    def test_counts_can_stand_beside_a_bag(self, tmp_path: Path):
        nodes = {"id": [1, 2], "words": [[4, 5], [5]], "amounts": [[3, 2], [8]]}
        tables = {"edges.parquet": {"src": [1], "dst": [2]}, "nodes.parquet": nodes}
        config = {"user": {"columns": {"words": {"type": "bag", "counts": "amounts"}}}}
        columns = read(tmp_path, tables, nodes=config).queries.columns
        assert [bags(column) for column in columns] == [[{"4": 3, "5": 2}, {"5": 8}]]

    def test_a_bag_can_come_from_another_table(self, tmp_path: Path):
        tables = {
            "edges.parquet": {"src": ["x"], "dst": ["y"]},
            "visits.parquet": {
                "who": ["y", "x", "y", "y"],
                "where": ["bar", "zoo", "bar", "zoo"],
                "times": [1, 2, 3, 4],
            },
        }
        bag = {"table": "visits", "key": "who", "value": "where"}
        config = {"user": {"bags": {"visited": bag, "stayed": {**bag, "count": "times"}}}}
        visited, stayed = read(tmp_path, tables, nodes=config).queries.columns
        assert (visited.name, bags(visited)) == ("visited", [{"zoo": 1}, {"bar": 2, "zoo": 1}])
        assert (stayed.name, bags(stayed)) == ("stayed", [{"zoo": 2}, {"bar": 4, "zoo": 4}])

    def test_columns_follow_the_first_row_of_a_repeated_id(self, tmp_path: Path):
        nodes = {"id": [5, None, 5, 6, 5], "age": [1.0, 2.0, 3.0, 4.0, 5.0], "tags": [[1], [2], [3], [4], [5]]}
        tables = {"edges.parquet": {"src": [5], "dst": [6]}, "nodes.parquet": nodes}
        age, tags = read(tmp_path, tables, chunk_rows=2).queries.columns
        assert age.values.tolist() == [1.0, 4.0]
        assert bags(tags) == [{"1": 1}, {"4": 1}]


class TestSequences:
    TABLES = {"sequences.parquet": {"user": [8, 9], "items": [[3, 1, 2], [2]]}}  # noqa: RUF012
    EDGES = {"target": "item", "table": "sequences", "source_column": "user", "sequence": "items"}  # noqa: RUF012

    def test_positions_are_times(self, tmp_path: Path):
        adjacency = read(tmp_path, self.TABLES, edges={"saw": self.EDGES}).target.adjacency
        assert (adjacency.indices.tolist(), adjacency.times.tolist()) == ([2, 3, 4, 3], [1, 2, 0, 0])
        assert adjacency.parts is None

    def test_leaving_one_out_cuts_the_end(self, tmp_path: Path):
        adjacency = read(tmp_path, self.TABLES, edges={"saw": {**self.EDGES, "leave_one_out": True}}).target.adjacency
        assert adjacency.parts.tolist() == [1, 2, 0, 2]

    def test_what_is_left_out_is_the_last_id_and_not_a_null_behind_it(self, tmp_path: Path):
        tables = {"sequences.parquet": {"user": [8], "items": [[3, None, 5, 4, None]]}}
        adjacency = read(tmp_path, tables, edges={"saw": {**self.EDGES, "leave_one_out": True}}).target.adjacency
        assert (adjacency.indices.tolist(), adjacency.parts.tolist()) == ([1, 2, 3], [0, 2, 1])
        assert adjacency.times.tolist() == [0, 3, 2]

    def test_chunks_do_not_cut_a_sequence(self, tmp_path: Path):
        long = {"sequences.parquet": {"user": list(range(50)), "items": [list(range(n)) for n in range(1, 51)]}}
        adjacency = read(tmp_path, long, edges={"saw": self.EDGES}, chunk_rows=16).target.adjacency
        assert adjacency.times.tolist() == [position for n in range(1, 51) for position in range(n)]


class TestLayouts:
    def test_kinds_and_relations_come_from_file_names(self, tmp_path: Path):
        tables = {
            "nodes/user.parquet": {"id": [1, 2]},
            "edges/user-likes-item.parquet": {"src": [1, 2], "dst": ["a", "b"]},
        }
        graph = read(tmp_path, tables)
        assert [(kind.name, kind.first, kind.count) for kind in graph.kinds] == [("user", 0, 2), ("item", 2, 2)]
        assert (graph.target.name, graph.target.undirected) == ("likes", False)
        assert graph.target.adjacency.indices.tolist() == [2, 3]
        assert graph.row("item:b") == 3

    def test_equal_relations_keep_their_whole_names(self, tmp_path: Path):
        tables = {f"edges/{name}.parquet": {"src": [1], "dst": [2]} for name in ("a-has-b", "b-has-c")}
        assert [relation.name for relation in read(tmp_path, tables).relations] == ["a_has_b", "b_has_c"]

    def test_of_one_relation_as_parquet_and_as_csv_the_parquet_is_read(self, tmp_path: Path):
        (tmp_path / "data" / "edges").mkdir(parents=True)
        (tmp_path / "data" / "edges" / "user-likes-item.csv").write_text("src,dst\n7,8\n")
        graph = read(tmp_path, {"edges/user-likes-item.parquet": {"src": [1, 2], "dst": [3, 4]}})
        assert [(relation.name, relation.adjacency.num_edges) for relation in graph.relations] == [("likes", 2)]

    def test_names_of_kinds_and_relations_may_have_letters_of_any_alphabet(self, tmp_path: Path):
        graph = read(tmp_path, {"edges/Straße-führt_zu-Ort.parquet": {"src": [1], "dst": [2]}})
        assert (graph.target.name, graph.target.source, graph.target.target) == ("führt_zu", "Straße", "Ort")
        assert IngestionConfig.model_validate({"nodes": {"Straße": {}}}).nodes

    def test_a_table_whose_name_looks_like_a_pattern_is_read(self, tmp_path: Path):
        graph = read(tmp_path, {"ties[1].parquet": {"src": [1], "dst": [2]}}, edges={"f": {"table": "ties[1].parquet"}})
        assert graph.num_nodes == 2

    def test_digits_in_a_csv_are_integers_and_text_in_parquet_stays_as_it_is(self, tmp_path: Path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "edges.csv").write_text('src,dst\n007,"012"\n12,7\n')
        assert read(tmp_path, {}).queries.vocabulary.ids(range(2)) == [7, 12]
        graph = read(tmp_path / "text", {"edges.parquet": {"src": ["007", "12"], "dst": ["012", "7"]}})
        assert graph.queries.vocabulary.ids(range(4)) == ["007", "012", "12", "7"]

    def test_one_column_can_name_both_ends(self, tmp_path: Path):
        edges = {"is": {"table": "edges", "target": "item", "target_column": "src"}}
        graph = read(tmp_path, {"edges.parquet": {"src": [5, 6]}}, edges=edges)
        assert [kind.count for kind in graph.kinds] == [2, 2]

    def test_a_pattern_reads_several_tables_as_one(self, tmp_path: Path):
        tables = {f"part-{n}.parquet": {"src": [n], "dst": [n + 1]} for n in range(4)}
        graph = read(tmp_path, tables, edges={"friend": {"table": "part-*.parquet"}})
        assert graph.target.adjacency.num_edges == 8

    def test_nodes_of_several_tables_follow_each_other(self, tmp_path: Path):
        tables = {
            "edges.parquet": {"src": [1], "dst": [2]},
            "people-0.parquet": {"id": [2, 4], "age": [0.2, 0.4]},
            "people-1.parquet": {"id": [4, 1], "age": [0.5, 0.1]},
        }
        graph = read(tmp_path, tables, nodes={"user": {"table": "people-*.parquet"}})
        assert graph.queries.vocabulary.ids(range(3)) == [2, 4, 1]
        np.testing.assert_array_equal(graph.queries.columns[0].values, np.float32([0.2, 0.4, 0.1]))

    def test_amity_toml_beside_the_tables_describes_them(self, tmp_path: Path):
        page = tmp_path / "data" / "amity.toml"
        page.parent.mkdir()
        page.write_text('[ingestion]\nchunk_rows = 5\n[ingestion.edges.trusts]\ntable = "ties"\nundirected = false\n')
        graph = read(tmp_path, {"ties.parquet": {"src": [1], "dst": [2]}})
        assert (graph.target.name, graph.target.adjacency.num_edges) == ("trusts", 1)

    def test_a_config_that_was_written_out_means_the_same(self, tmp_path: Path):
        """A run keeps of these settings those that were set."""
        page = tmp_path / "data" / "amity.toml"
        page.parent.mkdir()
        page.write_text('[ingestion.edges.trusts]\ntable = "ties"\n')
        kept = IngestionConfig().model_dump(exclude_unset=True)
        graph = read(tmp_path, {"ties.parquet": {"src": [1], "dst": [2]}}, **kept)
        assert graph.target.name == "trusts"
        spelled = IngestionConfig.model_validate({"edges": {"knows": {"table": "ties"}}}).model_dump()
        again = ingest(tmp_path / "data", tmp_path / "again", IngestionConfig.model_validate(spelled))
        assert again.target.adjacency.times is None

    def test_a_default_that_the_config_sets_wins_over_amity_toml(self, tmp_path: Path):
        page = tmp_path / "data" / "amity.toml"
        page.parent.mkdir()
        page.write_text('[ingestion]\ndangling = "error"\n')
        tables = {"edges.parquet": {"src": [1, 1], "dst": [2, 3]}, "nodes.parquet": {"id": [1, 2]}}
        assert read(tmp_path, tables, dangling="drop").target.adjacency.num_edges == 2

    def test_the_config_wins_over_amity_toml(self, tmp_path: Path):
        page = tmp_path / "data" / "amity.toml"
        page.parent.mkdir()
        page.write_text('[ingestion.edges.trusts]\ntable = "ties"\n')
        graph = read(tmp_path, {"ties.parquet": {"src": [1], "dst": [2]}}, edges={"knows": {"table": "ties"}})
        assert graph.target.name == "knows"
