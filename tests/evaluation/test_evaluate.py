"""The harness: whoever knows the truth finds it, whoever knows nothing gets chance, and all are asked the same."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import ValidationError

from amity.errors import SplitError
from amity.evaluation.evaluate import (
    Evaluation,
    EvaluationConfig,
    choose_queries,
    evaluate,
    evaluate_baselines,
)
from amity.graph import Adjacency, Graph, from_pairs
from amity.graph.degrees import DEGREE_BUCKETS
from amity.index.hits import Hits
from amity.splitting import HeldOut

QUICK = EvaluationConfig(k=(5, 20), headline=20, resamples=100)


@dataclass(frozen=True)
class Scores:
    """Ranks rows by a matrix of scores, whatever is asked to be left out; keeps what it was asked."""

    matrix: np.ndarray
    asked: list

    def search(self, queries: np.ndarray, *, k: int, known: Adjacency | None = None) -> Hits:
        self.asked.append((queries, k, known))
        rows = np.argsort(-self.matrix[queries], axis=1, kind="stable")[:, :k]
        return Hits(rows, np.take_along_axis(self.matrix[queries], rows, axis=1).astype(np.float32))


class Nobody:
    """Finds nobody."""

    def search(self, queries: np.ndarray, *, k: int, known: Adjacency | None = None) -> Hits:
        shape = len(queries), k
        return Hits(np.full(shape, -1), np.full(shape, -np.inf, np.float32))


def hold_out(graph: Graph, share: float, seed: int = 0) -> tuple[Graph, HeldOut]:
    """A train graph without some of the friendships, and those."""
    adjacency = graph.target.adjacency
    sources, targets = adjacency.sources(), adjacency.indices
    first = sources < targets
    pairs = np.column_stack([sources[first], targets[first]])
    held = np.random.default_rng(seed).random(len(pairs)) < share
    parts = []
    for chosen in (pairs[~held], pairs[held]):
        both = np.concatenate([chosen, chosen[:, ::-1]])
        parts.append(from_pairs(both[:, 0], both[:, 1], num_nodes=graph.num_nodes))
    train, truth = parts
    relation = type(graph.target)("friend", "user", "user", undirected=True, adjacency=train)
    return graph.with_edges((relation,), train), HeldOut(truth, from_pairs(pairs[:0, 0], pairs[:0, 1], num_nodes=200))


@pytest.fixture(scope="module")
def case(make_random_friend_graph) -> tuple[Graph, HeldOut]:
    return hold_out(make_random_friend_graph(200, 900, seed=2), 0.3)


def truth_matrix(held_out: HeldOut) -> np.ndarray:
    matrix = np.zeros((held_out.truth.num_nodes,) * 2)
    matrix[held_out.truth.sources(), held_out.truth.indices] = 1
    return matrix


def test_who_knows_the_truth_finds_it(case):
    graph, held_out = case
    found = evaluate(Scores(truth_matrix(held_out), []), graph, held_out, QUICK)
    np.testing.assert_allclose(found.values["recall@20"], np.minimum(1, 20 / found.num_targets))
    np.testing.assert_allclose(found.values["ndcg@20"], 1)
    np.testing.assert_allclose(found.values["mrr"], 1)
    assert found.to_json()["hit_rate@5"]["low"] == 1


def test_who_errs_always_finds_nothing(case):
    graph, held_out = case
    found = evaluate(Scores(-truth_matrix(held_out), []), graph, held_out, QUICK)
    assert all((values == 0).all() for values in found.values.values())


def test_popularity_without_train_edges_gets_chance(make_friend_graph):
    nobody, num_nodes = np.empty(0, np.int64), 300
    empty = make_friend_graph(nobody, nobody, num_nodes=num_nodes)
    # The truth lies among the lowest rows: "lowest id first" would find it, chance does not.
    queries = np.repeat(np.arange(num_nodes), 3)
    truth = from_pairs(queries, (queries + 1 + np.tile(np.arange(3), num_nodes)) % 20, num_nodes=num_nodes)
    known = from_pairs(nobody, nobody, num_nodes=num_nodes)
    config = EvaluationConfig(k=(30,), headline=30, resamples=200, confidence=0.999)
    for name, found in evaluate_baselines(empty, HeldOut(truth, known), config).items():
        entry = found.to_json()["recall@30"]
        assert entry["low"] < 30 / 299 < entry["high"], name


def test_the_parts_of_recall_by_distance_make_the_whole(case):
    graph, held_out = case
    found = evaluate(Scores(np.random.default_rng(0).random((200, 200)), []), graph, held_out, QUICK)
    A = np.zeros((200, 200))
    A[graph.messages.sources(), graph.messages.indices] = 1
    near = ((A + A @ A) > 0) & (truth_matrix(held_out) > 0)
    sizes = near.sum(axis=1)[found.queries]
    parts = found.by_distance["recall@20"]
    np.testing.assert_array_equal(np.isnan(parts["2 hops"]), sizes == 0)
    np.testing.assert_array_equal(np.isnan(parts["beyond"]), found.num_targets == sizes)
    hits = np.nan_to_num(parts["2 hops"]) * sizes + np.nan_to_num(parts["beyond"]) * (found.num_targets - sizes)
    np.testing.assert_allclose(hits, found.values["recall@20"] * found.num_targets)


def test_everybody_is_asked_the_same_and_told_whom_to_leave_out(case):
    graph, held_out = case
    known = HeldOut(held_out.truth, graph.target.adjacency)
    config = EvaluationConfig(k=(5,), headline=5, resamples=10, queries=40, baselines=("popularity", "ppr"))
    model = Scores(np.random.default_rng(0).random((200, 200)), [])
    found = evaluate(model, graph, known, config, seed=4)
    others = evaluate_baselines(graph, known, config, seed=4)
    assert list(others) == ["popularity", "ppr"]
    assert all((one.queries == found.queries).all() for one in others.values())
    assert [(len(queries), k) for queries, k, _ in model.asked] == [(40, 5)]
    assert model.asked[0][2] is known.known
    assert not np.array_equal(evaluate(model, graph, known, config, seed=5).queries, found.queries)


def test_queries_are_those_with_something_to_find(case):
    _, held_out = case
    everybody = choose_queries(held_out.truth, 10_000, seed=0)
    np.testing.assert_array_equal(everybody, np.unique(held_out.truth.sources()))
    some = choose_queries(held_out.truth, 17, seed=0)
    assert len(some) == 17
    assert set(some) < set(everybody)


def test_nothing_held_out_is_refused(case):
    graph, _ = case
    nothing = Adjacency(np.zeros(201, np.int64), np.empty(0, np.int32))
    with pytest.raises(SplitError, match="Nothing is held out"):
        evaluate(Scores(np.zeros((200, 200)), []), graph, HeldOut(nothing, nothing), QUICK)


def test_the_buckets_divide_the_queries_by_degree(case):
    graph, held_out = case
    found = evaluate(Scores(np.random.default_rng(1).random((200, 200)), []), graph, held_out, QUICK)
    buckets = found.to_json()["recall@5"]["by_degree"]
    bounds = {"0": (0, 0), "1-2": (1, 2), "3-5": (3, 5), "6-20": (6, 20), ">20": (21, 10**9)}
    assert list(buckets) == list(bounds) == list(DEGREE_BUCKETS)
    for bucket, (low, high) in bounds.items():
        members = (found.degrees >= low) & (found.degrees <= high)
        assert buckets[bucket]["queries"] == members.sum()
        if members.any():
            assert buckets[bucket]["value"] == pytest.approx(found.values["recall@5"][members].mean())
        else:
            assert buckets[bucket]["value"] is None


def test_the_numbers_are_strict_json(case):
    graph, held_out = case
    vectors = np.random.default_rng(0).normal(size=(200, 4))
    found = evaluate(Scores(vectors @ vectors.T, []), graph, held_out, QUICK, vectors=vectors)
    page = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(page["recall@5"]) == {"value", "low", "high", "queries", "by_degree", "by_distance"}
    assert {"mrr", "ndcg@20", "hit_rate@20", "coverage@20", "gini@20", "intra_list_similarity@20"} <= set(page)
    assert page["intra_list_similarity@20"]["value"] > 0.3  # lists of the largest products lie close together


def test_numbers_without_meaning_are_null(case):
    graph, held_out = case
    config = EvaluationConfig(k=(1,), headline=1, resamples=10)
    found = evaluate(Scores(truth_matrix(held_out), []), graph, held_out, config, vectors=np.eye(200)).to_json()
    assert found["intra_list_similarity@1"] == {"value": None}
    assert 0 < found["gini@1"]["value"] < 1
    alone = evaluate(Nobody(), graph, held_out, config, vectors=np.eye(200)).to_json()
    assert alone["gini@1"] == {"value": None}
    assert alone["coverage@1"] == {"value": 0}


def test_it_prints_as_a_short_table(case):
    graph, held_out = case
    lines = str(evaluate(Scores(truth_matrix(held_out), []), graph, held_out, QUICK)).splitlines()
    assert lines[0].endswith("200 candidates")
    assert any(line.split()[0] == "recall@20" for line in lines[1:])


def test_the_headline_must_be_measured():
    with pytest.raises(ValidationError, match="headline"):
        EvaluationConfig(k=(10, 20))


def test_lists_shorter_than_k_are_judged_as_they_are(make_friend_graph):
    graph, held_out = hold_out(make_friend_graph(np.array([0, 1, 2, 3]), np.array([1, 2, 3, 0]), num_nodes=5), 0.5)
    found = evaluate_baselines(graph, HeldOut(held_out.truth, held_out.truth), EvaluationConfig(resamples=10))
    assert all((one.values["recall@100"] == 0).all() for one in found.values())
    assert isinstance(found["ppr"], Evaluation)
