"""Factorised baselines: exact lists over what `implicit` learns, and what it learns means what the settings say."""

import sys

import numba
import numpy as np
import pytest

from amity.errors import ConfigError, RetrievalError
from amity.evaluation.evaluate import EvaluationConfig, evaluate, evaluate_baselines
from amity.evaluation.factorization import FACTORIZATIONS, Factorization, FactorizationConfig, factorize
from amity.graph import Adjacency, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.retrieval import Recommender
from amity.retrieval.heuristics import heuristic
from amity.splitting import HeldOut

QUICK = FactorizationConfig.model_validate({"ials": {"factors": 6}, "bpr": {"factors": 6, "iterations": 20}})


def two_kinds(num_users: int = 40, num_items: int = 25, num_edges: int = 160) -> Graph:
    """Items come first in the space of rows; users use them."""
    rng = np.random.default_rng(0)
    users, items = num_items + rng.integers(0, num_users, num_edges), rng.integers(0, num_items, num_edges)
    uses = from_pairs(users, items, num_nodes=num_users + num_items)
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(count)))
        for name, first, count in (("item", 0, num_items), ("user", num_items, num_users))
    )
    relation = Relation("uses", "user", "item", undirected=False, adjacency=uses)
    return Graph(kinds, (relation,), union(uses, reverse(uses)))


@pytest.fixture(scope="module")
def graphs(make_random_friend_graph) -> dict[str, Graph]:
    return {"friends": make_random_friend_graph(80, 240, seed=1), "items": two_kinds()}


@pytest.fixture(scope="module")
def groups(make_friend_graph) -> tuple[Graph, HeldOut]:
    """Eight groups of twenty people; friends are of one group, and a fifth of the friendships is held out."""
    rng = np.random.default_rng(0)
    group, sources, targets = rng.integers(0, 8, 1600), rng.integers(0, 20, 1600), rng.integers(0, 20, 1600)
    whole = make_friend_graph(20 * group + sources, 20 * group + targets, num_nodes=160).target.adjacency
    first = whole.sources() < whole.indices
    pairs = np.column_stack([whole.sources()[first], whole.indices[first]])
    held = rng.random(len(pairs)) < 0.2
    train = make_friend_graph(*pairs[~held].T, num_nodes=160)
    truth = make_friend_graph(*pairs[held].T, num_nodes=160).target.adjacency
    return train, HeldOut(truth, from_pairs(pairs[:0, 0], pairs[:0, 1], num_nodes=160))


def random_known(num_nodes: int) -> Adjacency:
    rng = np.random.default_rng(11)
    return from_pairs(rng.integers(0, num_nodes, 60), rng.integers(0, num_nodes, 60), num_nodes=num_nodes)


def test_whoever_has_no_vector_to_ask_with_is_refused(graphs):
    recommender = factorize("ials", graphs["items"], QUICK, seed=0)
    for row, said in ((-1, "rows of the graph"), (65, "rows of the graph"), (3, "1 of 1 queries are no user")):
        with pytest.raises(RetrievalError, match=said):
            recommender.search(np.array([row]), k=3)


@pytest.mark.parametrize("kind", ["friends", "items"])
@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_lists_are_the_largest_inner_products_of_all_who_may_be_found(graphs, kind, name):
    graph, k = graphs[kind], 12
    recommender, known = factorize(name, graph, QUICK, seed=3), random_known(graph.num_nodes)
    queries = np.arange(graph.num_nodes)[graph.queries.rows]
    hits = recommender.search(queries, k=k, known=known)
    scores = recommender.asking.astype(np.float64) @ recommender.index.vectors.T
    assert scores.shape == (graph.queries.count, graph.candidates.count)
    for query, row, rows, found in zip(queries, scores, hits.rows, hits.scores, strict=True):
        allowed = np.zeros(graph.num_nodes, bool)
        allowed[graph.candidates.rows] = True
        allowed[[query, *graph.target.adjacency.neighbors(query), *known.neighbors(query)]] = False
        best = np.sort(row[allowed[graph.candidates.rows]])[::-1][:k]
        np.testing.assert_allclose(found[: len(best)], best, rtol=1e-5, atol=1e-7)
        assert allowed[rows[: len(best)]].all()
        assert len(set(rows[: len(best)])) == len(best)
        assert (rows[len(best) :] == -1).all()


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_the_same_seed_gives_the_same_lists_on_any_number_of_threads(graphs, name):
    queries = np.arange(80)
    hits = factorize(name, graphs["friends"], QUICK, seed=1).search(queries, k=20)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    again = factorize(name, graphs["friends"], QUICK, seed=1).search(queries[::-3].copy(), k=20)
    numba.set_num_threads(threads)
    np.testing.assert_array_equal(again.rows, hits.rows[::-3])
    other = factorize(name, graphs["friends"], QUICK, seed=2).search(queries, k=20)
    assert not np.array_equal(other.rows, hits.rows)


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_where_nobody_has_an_edge_lists_are_by_lot(make_friend_graph, name):
    nobody, num_nodes, k = np.empty(0, np.int64), 60, 12
    graph, queries = make_friend_graph(nobody, nobody, num_nodes=num_nodes), np.arange(num_nodes)
    times_found = np.zeros(num_nodes)
    for seed in range(40):
        hits = factorize(name, graph, QUICK, seed=seed).search(queries, k=k)
        times_found += np.bincount(hits.rows.ravel(), minlength=num_nodes)
    spread = np.square(times_found - 40 * k).sum() / (40 * k)  # chi-square of 59 degrees of freedom, or less
    assert spread < 100


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_held_out_friends_are_found_far_beyond_chance_and_popularity(groups, name):
    graph, held_out = groups
    config = EvaluationConfig(k=(20,), headline=20, resamples=10)
    found = evaluate(factorize(name, graph, FactorizationConfig(), seed=0), graph, held_out, config)
    popular = evaluate(heuristic("popularity", graph, seed=0), graph, held_out, config)
    assert found.values["recall@20"].mean() > 3 * max(20 / 160, popular.values["recall@20"].mean())


def test_least_squares_are_least_under_the_weights_that_the_settings_say(groups):
    """The normal equations of Hu et al. (2008), eq. 5: (Y'Y + Y'(C - I)Y + λI) x = Y'C p, for each candidate."""
    graph, _ = groups
    alpha, penalty = 3.0, 2.0
    settings = {"ials": {"factors": 6, "alpha": alpha, "regularization": penalty, "iterations": 300}}
    learned = factorize("ials", graph, FactorizationConfig.model_validate(settings), seed=0)
    Y, X = learned.asking.astype(np.float64), learned.index.vectors
    for node in range(0, 160, 7):
        near = Y[graph.target.adjacency.neighbors(node)]
        A = Y.T @ Y + (alpha - 1) * near.T @ near + penalty * np.eye(6)
        np.testing.assert_allclose(X[node], np.linalg.solve(A, alpha * near.sum(0)), atol=2e-3 * np.abs(X).max())


def test_they_are_judged_beside_the_heuristics_when_they_are_named(groups):
    graph, held_out = groups
    config = EvaluationConfig(resamples=10, baselines=("ppr", *FACTORIZATIONS), factorization=QUICK)
    found = evaluate_baselines(graph, held_out, config, seed=4)
    assert list(found) == ["ppr", "ials", "bpr"]
    assert all((one.queries == found["ppr"].queries).all() for one in found.values())
    alone = evaluate(factorize("bpr", graph, QUICK, seed=4), graph, held_out, config, seed=4)
    np.testing.assert_array_equal(found["bpr"].values["mrr"], alone.values["mrr"])
    assert not set(FACTORIZATIONS) & set(EvaluationConfig().baselines)


def test_they_are_recommenders(graphs):
    made = [factorize(name, graphs["friends"], QUICK, seed=0) for name in FACTORIZATIONS]
    assert all(isinstance(one, Recommender) and isinstance(one, Factorization) for one in made)


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_without_implicit_it_says_what_to_type(graphs, name, monkeypatch: pytest.MonkeyPatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "implicit"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "implicit", None)
    with pytest.raises(
        ConfigError, match=rf"`{name}` needs implicit\S*, which is not here\. Type: pip install 'amity\["
    ):
        factorize(name, graphs["friends"], QUICK, seed=0)
