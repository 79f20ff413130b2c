"""Two runs are compared query by query, or refused."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from amity.errors import ArtifactError, ConfigError
from amity.evaluation.comparison import compare, per_query_table, read_per_query, write_per_query
from amity.evaluation.evaluate import Evaluation, EvaluationConfig, evaluate
from amity.evaluation.report import comparison_table
from amity.graph import Adjacency, Graph, NodeKind, Vocabulary, from_pairs
from amity.graph.vocabulary import hash_strings, integer_vocabulary, new_slots
from amity.retrieval.heuristics import heuristic
from amity.splitting import HeldOut

QUICK = EvaluationConfig(k=(5, 10), headline=10, resamples=200)


@pytest.fixture(scope="module")
def graph(make_random_friend_graph) -> Graph:
    return make_random_friend_graph(80, 200, seed=1)


@pytest.fixture(scope="module")
def truth() -> Adjacency:
    rng = np.random.default_rng(0)
    sources, targets = rng.integers(0, 80, 150), rng.integers(0, 80, 150)
    return from_pairs(sources, targets, num_nodes=80)


def run(name: str, graph: Graph, truth: Adjacency, config: EvaluationConfig = QUICK) -> Evaluation:
    nobody = from_pairs(np.empty(0, int), np.empty(0, int), num_nodes=80)
    return evaluate(heuristic(name, graph, seed=0), graph, HeldOut(truth, nobody), config)


def test_a_run_does_not_differ_from_itself(graph, truth):
    table = per_query_table(run("ppr", graph, truth), graph, truth)
    gap = compare({"one": table, "same": table}, QUICK)["differences"]["same"]["recall@10"]
    assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)


def test_differences_are_taken_query_by_query(graph, truth, tmp_path: Path):
    runs = {name: run(name, graph, truth) for name in ("popularity", "ppr")}
    for name, one in runs.items():
        write_per_query(one, graph, truth, tmp_path / f"{name}.parquet")
    found = compare({name: read_per_query(tmp_path / f"{name}.parquet") for name in runs}, QUICK)
    gaps = runs["ppr"].values["recall@10"] - runs["popularity"].values["recall@10"]
    gap = found["differences"]["ppr"]["recall@10"]
    assert gap["value"] == pytest.approx(gaps.mean())
    assert gap["low"] < gaps.mean() < gap["high"]
    assert found["metrics"]["ppr"]["recall@10"]["value"] == pytest.approx(runs["ppr"].values["recall@10"].mean())
    weighted = sum(b["queries"] * (b["value"] or 0) for b in gap["by_degree"].values())
    assert weighted == pytest.approx(gaps.sum())


def test_turning_a_comparison_around_turns_its_signs(graph, truth):
    tables = {name: per_query_table(run(name, graph, truth), graph, truth) for name in ("popularity", "ppr")}
    there = compare(tables, QUICK)["differences"]["ppr"]["mrr"]
    back = compare(dict(reversed(tables.items())), QUICK)["differences"]["popularity"]["mrr"]
    assert (there["value"], there["low"], there["high"]) == pytest.approx((-back["value"], -back["high"], -back["low"]))


def test_other_queries_are_refused(graph, truth):
    tables = {"all": QUICK, "some": QUICK.model_copy(update={"queries": 20})}
    tables = {name: per_query_table(run("ppr", graph, truth, c), graph, truth) for name, c in tables.items()}
    with pytest.raises(ConfigError, match=r"all and some cannot be compared.*different queries"):
        compare(tables, QUICK)


def test_another_truth_is_refused(graph, truth):
    targets = truth.indices.copy()
    row = int(np.flatnonzero(truth.degrees() == 1)[0])
    targets[truth.indptr[row]] = (targets[truth.indptr[row]] + 1) % 80
    other = replace(truth, indices=targets)
    tables = {name: per_query_table(run("ppr", graph, t), graph, t) for name, t in (("a", truth), ("b", other))}
    with pytest.raises(ConfigError, match="for 1 of"):
        compare(tables, QUICK)


def test_the_order_of_rows_is_no_part_of_the_truth(graph, truth):
    """The same people and the same truth, numbered otherwise."""
    order = np.random.default_rng(3).permutation(80)  # old row -> new row
    friends = graph.target.adjacency
    renumbered = from_pairs(order[friends.sources()], order[friends.indices], num_nodes=80)
    kind = NodeKind("user", 0, integer_vocabulary(np.argsort(order)))
    again = Graph((kind,), (replace(graph.target, adjacency=renumbered),), renumbered)
    truth_again = from_pairs(order[truth.sources()], order[truth.indices], num_nodes=80)
    one = per_query_table(run("ppr", graph, truth), graph, truth)
    other = per_query_table(run("ppr", again, truth_again), again, truth_again).sort_by("query")
    assert one["query"].equals(other["query"])
    assert one["truth"].equals(other["truth"])


def test_string_ids_are_kept_as_they_are(graph, truth):
    names = [f"person {row}".encode() for row in range(80)]
    offsets = np.cumsum([0, *map(len, names)])
    text = np.frombuffer(b"".join(names), np.uint8)
    vocabulary = Vocabulary(hash_strings(offsets, text), new_slots(80), offsets, text)
    named = Graph((NodeKind("user", 0, vocabulary),), graph.relations, graph.messages)
    found = run("popularity", named, truth)
    assert per_query_table(found, named, truth)["query"].to_pylist() == [f"person {row}" for row in found.queries]


def test_a_comparison_is_shown_with_its_intervals(graph, truth):
    tables = {name: per_query_table(run(name, graph, truth), graph, truth) for name in ("popularity", "ppr")}
    found = compare({"runs/[red]a": tables["popularity"], "b": tables["ppr"]}, QUICK)
    console = Console(width=160, file=io.StringIO())
    with console.capture() as capture:
        console.print(comparison_table(found))
    gap = found["differences"]["b"]["recall@10"]
    assert f"{gap['value']:+.4f} ({gap['low']:+.4f}, {gap['high']:+.4f})" in capture.get()
    assert "runs/[red]a" in capture.get()


def test_one_run_alone_is_refused(graph, truth):
    with pytest.raises(ConfigError, match="two runs or more"):
        compare({"only": per_query_table(run("ppr", graph, truth), graph, truth)})


def test_files_that_are_no_such_table_are_refused(graph, truth, tmp_path: Path):
    path = tmp_path / "per_query.parquet"
    path.write_bytes(b"not a table")
    with pytest.raises(ArtifactError, match="cannot be read as Parquet"):
        read_per_query(path)
    with pytest.raises(ArtifactError, match="cannot be read as Parquet"):
        read_per_query(tmp_path / "absent.parquet")
    pq.write_table(per_query_table(run("ppr", graph, truth), graph, truth).drop_columns(["truth"]), path)
    with pytest.raises(ArtifactError, match="no truth column"):
        read_per_query(path)
