"""Raw columns to inputs: rules of scaling, tokens by value, missing values, and the same transform on another graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.encoder import FeaturesConfig, FeatureTransform, InputSource, fit_features
from amity.encoder import features as features_module
from amity.errors import DataError
from amity.graph import Bag, Category, Graph, NodeKind, Number, Relation, Vector, from_pairs, open_graph, save_graph
from amity.graph.vocabulary import integer_vocabulary

TOWNS = ("york", "bath", "hull", "ely")


def make_graph(*columns, nodes: int, ids: np.ndarray | None = None) -> Graph:
    adjacency = from_pairs(np.arange(nodes - 1), np.arange(1, nodes), num_nodes=nodes)
    users = NodeKind("user", 0, integer_vocabulary(np.arange(nodes) if ids is None else ids), columns)
    return Graph((users,), (Relation("friend", "user", "user", undirected=False, adjacency=adjacency),), adjacency)


def make_bag(rows: list[dict[str, float]], dictionary: tuple[str, ...], name: str = "bag") -> Bag:
    codes = [sorted(dictionary.index(value) for value in row) for row in rows]
    counts = [row[dictionary[code]] for row, found in zip(rows, codes, strict=True) for code in found]
    indptr = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    flat = np.array([code for row in codes for code in row], np.int32)
    return Bag(name, indptr, flat, np.array(counts, np.float32), dictionary)


def gather(graph: Graph, config: FeaturesConfig, rows=None, transform: FeatureTransform | None = None):
    transform = transform or fit_features(graph, config)
    return transform, InputSource.of(transform, graph).gather(np.arange(graph.num_nodes) if rows is None else rows)


PLAIN = FeaturesConfig(ids="none")


def entries(inputs, node: int) -> dict[int, float]:
    part = slice(int(inputs.indptr[node]), int(inputs.indptr[node + 1]))
    return dict(zip(inputs.tokens[part].tolist(), inputs.weights[part].tolist(), strict=True))


@settings(max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=2, max_size=40))
def test_numbers_have_mean_zero_and_deviation_one_and_missing_ones_are_flagged(values):
    column = Number("age", np.array(values))
    _, inputs = gather(make_graph(column, nodes=len(values)), PLAIN)
    missing = np.isnan(column.values)
    assert np.array_equal(inputs.dense[:, 1].numpy(), missing.astype(np.float32))
    assert (inputs.dense[missing, 0] == 0).all()
    present = inputs.dense[~missing, 0].double()
    if len(present) and 1e-9 < present.abs().max() < 9.9:  # Below, the column is constant but for rounding.
        assert abs(present.mean()) < 1e-5
        assert abs(present.square().mean() - 1) < 1e-4


def test_a_heavy_tail_is_a_count_and_its_logarithm_is_taken():
    rng = np.random.default_rng(0)
    counts, ages, debts = rng.pareto(1, 500).round(), rng.uniform(20, 60, 500), rng.normal(size=500)
    transform, inputs = gather(make_graph(Number("c", counts), Number("a", ages), Number("d", debts), nodes=500), PLAIN)
    assert [column.log for column in transform.numbers] == [True, False, False]
    logs = np.log1p(counts)
    np.testing.assert_allclose(inputs.dense[:, 0], (logs - logs.mean()) / logs.std(), atol=1e-5)


def test_fitting_in_chunks_gives_the_moments_of_the_whole(monkeypatch):
    monkeypatch.setattr(features_module, "CHUNK", 7)
    values = np.random.default_rng(1).normal(3, 5, (100, 4)).astype(np.float32)
    values[::9] = np.nan
    transform = fit_features(make_graph(Vector("v", values), nodes=100), PLAIN)
    np.testing.assert_allclose(transform.numbers[0].mean, np.nanmean(values.astype(float), 0), rtol=1e-9)
    np.testing.assert_allclose(transform.numbers[0].deviation, np.nanstd(values.astype(float), 0), rtol=1e-9)


def test_a_vector_is_missing_as_a_whole():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 8.0]])
    _, inputs = gather(make_graph(Vector("v", values), nodes=3), PLAIN)
    torch.testing.assert_close(inputs.dense, torch.tensor([[-1.0, -1, 0], [0, 0, 1], [1, 1, 0]]))


def test_constant_and_wholly_missing_numbers_say_nothing_but_do_no_harm():
    columns = Number("same", np.full(5, 7.0)), Number("none", np.full(5, np.nan))
    _, inputs = gather(make_graph(*columns, nodes=5), PLAIN)
    torch.testing.assert_close(inputs.dense, torch.tensor([[0.0, 0, 0, 1]]).expand(5, 4))


def test_frequent_values_have_tokens_and_the_others_share_one():
    codes = np.array([0, 0, 0, 1, 1, 2, 3, -1], np.int32)
    transform, inputs = gather(make_graph(Category("town", codes, TOWNS), nodes=8), PLAIN)
    (column,) = transform.tokens
    assert column.values == ("york", "bath")
    assert inputs.tokens.tolist() == [0, 0, 0, 1, 1, column.rare, column.rare, column.missing]
    assert (inputs.weights == 1).all()


def test_a_bag_is_tf_idf_of_unit_length():
    bag = make_bag([{"a": 1, "b": 3}, {"a": 2}, {}, {"b": 1, "c": 1, "d": 2}], ("a", "b", "c", "d"))
    transform, inputs = gather(make_graph(bag, nodes=4), PLAIN)
    (column,) = transform.tokens
    assert column.values == ("a", "b")
    wanted = np.array([np.log(2) * np.log(4 / 2), np.log(4) * np.log(4 / 2)])
    assert entries(inputs, 0) == pytest.approx(dict(enumerate(wanted / np.linalg.norm(wanted))))
    assert entries(inputs, 1) == {0: 1.0}
    assert entries(inputs, 2) == {column.missing: 1.0}
    rare = np.array([np.log(2) * np.log(4 / 2), np.log(4) * np.log(4 / 2)])  # c and d together: 3 times, in 2 bags
    assert entries(inputs, 3) == pytest.approx(
        {1: rare[0] / np.linalg.norm(rare), column.rare: rare[1] / np.linalg.norm(rare)}
    )


def test_bag_values_beyond_the_limit_are_hashed_by_their_text():
    names = tuple(f"w{i}" for i in range(20))
    bag = make_bag([dict.fromkeys(names, 1.0)] * 3 + [{}], names)
    config = FeaturesConfig(ids="none", max_tokens=5, buckets=8)
    transform, inputs = gather(make_graph(bag, nodes=4), config)
    (column,) = transform.tokens
    assert len(column.values) == 5
    assert column.buckets == 8
    assert inputs.tokens.max() < column.first + column.count
    assert column.tokens(("unheard of",))[0] > column.missing


def test_hashed_values_weigh_what_an_average_bucket_does_however_long_their_tail():
    """Each of 40 nodes has a word with a token and two of the tail: there are more of those than of nodes."""
    words, tail = tuple(f"w{i}" for i in range(20)), tuple(f"t{i}" for i in range(40))
    rows = [{words[n % 20]: 1.0, tail[n]: 1.0, tail[(n + 1) % 40]: 1.0} for n in range(40)]
    config = FeaturesConfig(ids="none", max_tokens=20, buckets=64)
    transform, inputs = gather(make_graph(make_bag(rows, words + tail), nodes=40), config)
    (column,) = transform.tokens
    assert column.rarity[-1] == pytest.approx(np.log(40 / (80 / 64)))
    hashed = inputs.tokens > column.missing
    assert hashed.sum() == 80
    assert (inputs.weights[hashed] > 0.1).all()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_same_values_get_the_same_inputs_on_another_graph_with_another_dictionary(seed):
    rng = np.random.default_rng(seed)
    nodes = 12
    codes = rng.integers(-1, 4, nodes).astype(np.int32)
    rows = [
        {TOWNS[c]: float(rng.integers(1, 5)) for c in rng.choice(4, rng.integers(0, 4), replace=False)}
        for _ in range(nodes)
    ]
    ages = np.where(rng.random(nodes) < 0.2, np.nan, rng.normal(size=nodes))
    first = make_graph(Category("town", codes, TOWNS), make_bag(rows, TOWNS), Number("age", ages), nodes=nodes)
    order = rng.permutation(nodes)
    mixed = (*(TOWNS[place] for place in rng.permutation(4)), "oslo")
    lookup = np.array([mixed.index(town) for town in TOWNS] + [-1], np.int32)
    columns = Category("town", lookup[codes][order], mixed), make_bag([rows[i] for i in order], mixed)
    second = make_graph(*columns, Number("age", ages[order]), nodes=nodes)
    transform, inputs = gather(first, PLAIN)
    _, others = gather(second, PLAIN, transform=transform)
    torch.testing.assert_close(others.dense, inputs.dense[order])
    for place, node in enumerate(order):
        assert entries(others, place) == pytest.approx(entries(inputs, node))


def test_the_transform_survives_json():
    columns = Category("town", np.array([0, 1, 1, -1], np.int32), TOWNS), Number("age", np.array([1.0, 2, np.nan, 4]))
    transform = fit_features(make_graph(*columns, nodes=4), FeaturesConfig(log_degree=True, projections=3))
    assert FeatureTransform.model_validate_json(transform.model_dump_json()) == transform


def test_rows_come_in_the_order_asked_for():
    graph = make_graph(
        Category("t", np.array([0, 1, 0, 1, 2, 2], np.int32), TOWNS), Number("n", np.arange(6.0)), nodes=6
    )
    rows = np.array([5, 0, 3])
    transform, whole = gather(graph, PLAIN)
    _, some = gather(graph, PLAIN, rows, transform)
    torch.testing.assert_close(some.dense, whole.dense[rows])
    assert some.tokens.tolist() == whole.tokens[rows].tolist()
    assert some.degrees.tolist() == graph.messages.degrees()[rows].tolist()


def test_an_absent_column_is_missing_and_a_changed_one_is_refused():
    town = Category("town", np.array([0, 0, 1, 1], np.int32), TOWNS)
    transform = fit_features(make_graph(town, Number("age", np.arange(4.0)), nodes=4), PLAIN)
    _, inputs = gather(make_graph(nodes=3), PLAIN, transform=transform)
    assert inputs.tokens.tolist() == [transform.tokens[0].missing] * 3
    assert inputs.dense.tolist() == [[0, 1]] * 3
    with pytest.raises(DataError, match=r"user\.town is now a number"):
        InputSource.of(transform, make_graph(Number("town", np.arange(3.0)), nodes=3))


def test_several_kinds_have_their_own_columns_and_a_token_each():
    users = NodeKind("user", 0, integer_vocabulary(np.arange(3)), (Number("age", np.array([1.0, 2, 3])),))
    songs = NodeKind(
        "song", 3, integer_vocabulary(np.arange(2)), (Category("genre", np.array([0, 0], np.int32), ("pop",)),)
    )
    adjacency = from_pairs(np.array([0, 1]), np.array([3, 4]), num_nodes=5)
    graph = Graph(
        (users, songs), (Relation("likes", "user", "song", undirected=False, adjacency=adjacency),), adjacency
    )
    transform, inputs = gather(graph, FeaturesConfig(ids="learned"))
    assert [entries(inputs, node) for node in range(5)] == [{0: 1.0}] * 3 + [{1: 1.0, 2: 1.0}] * 2
    assert inputs.dense[3:].abs().sum() == 0
    assert inputs.ids.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="kinds user, but the model was trained on user, song"):
        InputSource.of(transform, make_graph(nodes=3))


def test_learned_ids_know_the_training_nodes_and_take_others_for_strangers():
    transform = fit_features(make_graph(nodes=4), FeaturesConfig(ids="learned"))
    grown, other = make_graph(nodes=6), make_graph(nodes=6, ids=np.arange(10, 16))
    assert gather(grown, PLAIN, transform=transform)[1].ids.tolist() == [0, 1, 2, 3, 4, 4]
    assert gather(other, PLAIN, transform=transform)[1].ids.tolist() == [4] * 6


def test_who_has_no_edge_has_no_id_in_training_and_an_edge_of_any_relation_or_direction_gives_one():
    kinds = tuple(NodeKind(name, first, integer_vocabulary(np.arange(3))) for name, first in (("user", 0), ("song", 3)))
    likes, shares = (from_pairs(np.array([0]), np.array([target]), num_nodes=6) for target in (3, 4))
    relations = tuple(
        Relation(name, "user", "song", undirected=False, adjacency=edges)
        for name, edges in (("likes", likes), ("shares", shares))
    )
    graph = Graph(kinds, relations, from_pairs(np.array([0, 3]), np.array([3, 0]), num_nodes=6))
    assert graph.isolated().tolist() == [False, True, True, False, False, True]
    source = InputSource.of(fit_features(graph, FeaturesConfig(ids="learned")), graph)
    assert source.gather(np.arange(6)).ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert source.of_training().gather(np.arange(6)).ids.tolist() == [0, 6, 6, 3, 4, 6]


def test_hashed_ids_follow_the_raw_id_wherever_its_row_is():
    transform = fit_features(make_graph(nodes=6), FeaturesConfig(ids="hashed", id_buckets=1000))
    turned = make_graph(nodes=6, ids=np.arange(6)[::-1].copy())
    forward, backward = (
        gather(make_graph(nodes=6), PLAIN, transform=transform),
        gather(turned, PLAIN, transform=transform),
    )
    assert forward[1].ids.tolist() == backward[1].ids.tolist()[::-1]
    assert len(set(forward[1].ids.tolist())) == 6


def test_a_memory_mapped_graph_gives_the_same_inputs(tmp_path):
    bag = make_bag([{"york": 2}, {"bath": 1, "hull": 3}, {"york": 1}, {}], TOWNS)
    town = Category("town", np.array([0, 1, 1, -1], np.int32), TOWNS)
    graph = make_graph(bag, town, Number("age", np.arange(4.0)), Vector("v", np.ones((4, 2))), nodes=4)
    save_graph(graph, tmp_path / "graph")
    config = FeaturesConfig(ids="hashed", log_degree=True, projections=2)
    (first, inputs), (second, mapped) = gather(graph, config), gather(open_graph(tmp_path / "graph"), config)
    assert first == second
    for name in type(inputs).__slots__:
        assert torch.equal(getattr(inputs, name), getattr(mapped, name))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_inputs_in_every_precision_are_those_of_the_formula(dtype: type):
    values = np.random.default_rng(0).normal(3, 40, (50, 6)).astype(dtype)
    values[[3, 20], [1, 5]] = np.nan, np.inf
    graph = make_graph(Vector("v", values), nodes=50)
    rows = np.array([20, 4, 49, 3, 4])
    transform, inputs = gather(graph, PLAIN, rows)
    (column,) = transform.numbers
    expected = (values[rows].astype(np.float64) - column.mean) / column.deviation
    missing = np.isin(rows, [3, 20])
    expected[missing] = 0
    np.testing.assert_allclose(inputs.dense[:, :-1], np.clip(expected, -10, 10), rtol=1e-6, atol=1e-7)
    assert np.array_equal(inputs.dense[:, -1], missing)
