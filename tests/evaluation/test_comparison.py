"""Arms are compared seed by seed and query by query, or refused."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from amity.errors import ArtifactError, ConfigError
from amity.evaluation.comparison import compare, per_query_table, read_per_query, write_per_query
from amity.evaluation.evaluate import Evaluation, EvaluationConfig, estimate_by_degree, evaluate
from amity.evaluation.report import comparison_table
from amity.evaluation.statistics import holm
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
    gap = compare({"one": {0: table}, "same": {0: table}}, QUICK)["differences"]["same"]["recall@10"]
    assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)
    assert gap["relative"] == {"value": 0, "low": 0, "high": 0, "queries": len(table)}
    assert (gap["p"], gap["p_adjusted"]) == (1, 1)


def test_differences_are_taken_query_by_query(graph, truth, tmp_path: Path):
    runs = {name: run(name, graph, truth) for name in ("popularity", "ppr")}
    for name, one in runs.items():
        write_per_query(one, graph, truth, tmp_path / f"{name}.parquet")
    found = compare({name: {0: read_per_query(tmp_path / f"{name}.parquet")} for name in runs}, QUICK)
    gaps = runs["ppr"].values["recall@10"] - runs["popularity"].values["recall@10"]
    gap = found["differences"]["ppr"]["recall@10"]
    assert gap["value"] == pytest.approx(gaps.mean())
    assert gap["low"] < gaps.mean() < gap["high"]
    assert found["metrics"]["ppr"]["recall@10"]["value"] == pytest.approx(runs["ppr"].values["recall@10"].mean())
    weighted = sum(b["queries"] * (b["value"] or 0) for b in gap["by_degree"].values())
    assert weighted == pytest.approx(gaps.sum())


def test_reciprocal_ranks_of_longer_lists_are_not_compared_with_those_of_shorter_ones(graph, truth):
    deeper = QUICK.model_copy(update={"k": (5, 10, 50)})
    short, long = (per_query_table(run("ppr", graph, truth, one), graph, truth) for one in (QUICK, deeper))
    assert (short["mrr"].to_numpy() < long["mrr"].to_numpy()).any()
    found = compare({"short": {0: short}, "long": {0: long}}, QUICK)
    assert "mrr" not in found["metrics"]["short"]
    assert "mrr" not in found["differences"]["long"]


def test_turning_a_comparison_around_turns_its_signs(graph, truth):
    tables = {name: {0: per_query_table(run(name, graph, truth), graph, truth)} for name in ("popularity", "ppr")}
    there = compare(tables, QUICK)["differences"]["ppr"]["mrr"]
    back = compare(dict(reversed(tables.items())), QUICK)["differences"]["popularity"]["mrr"]
    assert (there["value"], there["low"], there["high"]) == pytest.approx((-back["value"], -back["high"], -back["low"]))


def test_other_queries_are_refused(graph, truth):
    tables = {"all": QUICK, "some": QUICK.model_copy(update={"queries": 20})}
    tables = {name: {0: per_query_table(run("ppr", graph, truth, c), graph, truth)} for name, c in tables.items()}
    with pytest.raises(ConfigError, match=r"all and some cannot be compared.*different queries"):
        compare(tables, QUICK)


def test_another_truth_is_refused(graph, truth):
    targets = truth.indices.copy()
    row = int(np.flatnonzero(truth.degrees() == 1)[0])
    targets[truth.indptr[row]] = (targets[truth.indptr[row]] + 1) % 80
    other = replace(truth, indices=targets)
    tables = {name: {0: per_query_table(run("ppr", graph, t), graph, t)} for name, t in (("a", truth), ("b", other))}
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
    found = compare({"runs/[red]a": {0: tables["popularity"]}, "b": {0: tables["ppr"]}}, QUICK)
    console = Console(width=160, file=io.StringIO())
    with console.capture() as capture:
        console.print(comparison_table(found))
    gap = found["differences"]["b"]["recall@10"]
    assert f"{gap['value']:+.4f} ({gap['low']:+.4f}, {gap['high']:+.4f})" in capture.get()
    assert f"{gap['relative']['value']:+.1f} %  p {gap['p_adjusted']:.3f}" in capture.get()
    assert "runs/[red]a" in capture.get()
    about = f"for the {found['family']['size']} comparisons of recall@10: b against runs/[red]a"
    assert about in " ".join(capture.get().split())


def test_one_run_alone_is_refused(graph, truth):
    with pytest.raises(ConfigError, match="two runs or more"):
        compare({"only": {0: per_query_table(run("ppr", graph, truth), graph, truth)}})


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


SEEDS = (0, 1, 5)


def made_table(values: np.ndarray, *, seed: int = 0) -> pa.Table:
    """A table of queries that found so much, with degrees 0 to 3 and a query's seed among its ids."""
    queries = np.arange(len(values)) + 1000 * seed
    degrees, ones = queries % 4, np.ones(len(values), int)
    return pa.table({"query": queries, "truth": queries, "degree": degrees, "num_targets": ones, "recall@10": values})


def made_arms(*effects: float, queries: int = 40, seed: int = 0) -> dict[str, dict[int, pa.Table]]:
    """An arm for each effect on what the queries of three seeds find; no two seeds have the same queries."""
    rng = np.random.default_rng(seed)
    bases = {one: rng.random(queries + one) for one in SEEDS}
    return {
        f"arm {number}": {
            one: made_table(base + effect + 0.1 * rng.normal(size=len(base)), seed=one) for one, base in bases.items()
        }
        for number, effect in enumerate(effects)
    }


def test_the_mean_is_over_seeds_of_means_over_queries():
    arms = made_arms(0.0, 0.1)
    found = compare(arms, QUICK)
    gap = found["differences"]["arm 1"]["recall@10"]
    tables = [[arm[one]["recall@10"].to_numpy() for one in SEEDS] for arm in arms.values()]
    gaps = [(b - a).mean() for a, b in zip(*tables, strict=True)]
    base = np.mean([a.mean() for a in tables[0]])
    assert (found["seeds"], found["queries"]) == ([0, 1, 5], sum(40 + one for one in SEEDS))
    assert gap["value"] == pytest.approx(np.mean(gaps))
    assert gap["low"] < np.mean(gaps) < gap["high"]
    assert gap["relative"]["value"] == pytest.approx(100 * np.mean(gaps) / base)
    assert gap["relative"]["low"] < gap["relative"]["value"] < gap["relative"]["high"]
    members = np.concatenate([arms["arm 0"][one]["degree"].to_numpy() for one in SEEDS]) == 0
    assert gap["by_degree"]["0"]["queries"] == members.sum()


def test_arms_that_are_the_same_do_not_differ_and_turned_around_they_differ_the_other_way():
    arms = made_arms(0.0, 0.05)
    one, other = arms.values()
    same = compare({"a": one, "b": one}, QUICK)["differences"]["b"]["recall@10"]
    assert (same["value"], same["low"], same["high"], same["p_adjusted"]) == (0, 0, 0, 1)
    there = compare({"a": one, "b": other}, QUICK)["differences"]["b"]["recall@10"]
    back = compare({"b": other, "a": one}, QUICK)["differences"]["a"]["recall@10"]
    assert (there["value"], there["low"], there["high"]) == pytest.approx((-back["value"], -back["high"], -back["low"]))
    assert there["p"] == back["p"]


def test_one_seed_is_estimated_as_a_report_estimates(graph, truth):
    runs = {name: run(name, graph, truth) for name in ("popularity", "ppr")}
    gaps = {"gap": runs["ppr"].values["mrr"] - runs["popularity"].values["mrr"]}
    expected = estimate_by_degree(gaps, runs["ppr"].degrees, QUICK, seed=3)["gap"]
    tables = {name: {7: per_query_table(one, graph, truth)} for name, one in runs.items()}
    found = compare(tables, QUICK, seed=3)["differences"]["ppr"]["mrr"]
    for bucket, estimate in [("", expected), *expected.pop("by_degree").items()]:
        entry = found["by_degree"][bucket] if bucket else found
        numbers = [(entry[name], estimate[name]) for name in ("value", "low", "high")]
        assert all(one is other or one == pytest.approx(other, rel=1e-12) for one, other in numbers)
        assert entry["queries"] == estimate["queries"]


def test_the_family_is_the_headline_of_every_arm_overall_and_by_degree():
    arms = made_arms(0.0, 0.0, 0.2)
    found = compare(arms, QUICK)
    family = found["family"]
    assert family == {
        "metric": "recall@10",
        "against": "arm 0",
        "arms": ["arm 1", "arm 2"],
        "degrees": ["0", "1-2", "3-5"],
        "size": 8,
    }
    entries = [one["recall@10"] for one in found["differences"].values()]
    members = [part for one in entries for part in (one, *one["by_degree"].values()) if part["queries"]]
    adjusted = holm(np.array([one["p"] for one in members]))
    assert [one["p_adjusted"] for one in members] == adjusted.tolist()
    assert all("p_adjusted" not in part for part in entries[0]["by_degree"].values() if not part["queries"])
    assert entries[1]["p_adjusted"] < 0.1 < entries[0]["p_adjusted"]


def test_seeds_that_do_not_pair_are_refused():
    one, other = made_arms(0.0, 0.1).values()
    with pytest.raises(ConfigError, match=r"paired by their seed, and a has seeds 0, 1, 5, b seeds 0, 5"):
        compare({"a": one, "b": {seed: other[seed] for seed in (0, 5)}}, QUICK)
    with pytest.raises(ConfigError, match=r"different queries.*under seed 1"):
        compare({"a": one, "b": {**other, 1: other[5]}}, QUICK)


def test_a_headline_that_not_all_have_measured_is_refused():
    one, other = made_arms(0.0, 0.1).values()
    renamed = {seed: t.rename_columns([*t.column_names[:-1], "recall@20"]) for seed, t in other.items()}
    with pytest.raises(ConfigError, match="cannot be compared by recall@10"):
        compare({"a": one, "b": renamed}, QUICK)
