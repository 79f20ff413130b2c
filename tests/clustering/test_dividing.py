"""Divisions hold every candidate once, see train edges alone, and find the groups that were planted."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linear_sum_assignment

import amity
from amity.clustering import ClusteringConfig, Clusters, divide_again, group_by_column
from amity.clustering.kmeans import divide_points
from amity.config import load_config
from amity.errors import ConfigError
from amity.graph import Adjacency, Bag, Category, Graph, NodeKind, Number, Relation, Vector, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.ingestion import ingest
from amity.splitting import HeldOut, Split

GROUPS, MEMBERS = 4, 50
TRUTH = np.repeat(np.arange(GROUPS), MEMBERS)
LEARNED = [{"by": "word2vec"}, {"by": "eigenvectors"}, {"by": "eigenvectors", "balanced": True}, {"by": "communities"}]
EVERY = [{"by": "none"}, {"by": "column", "column": "color"}, *LEARNED]


def divide(split: Split, seed: int = 0, **settings) -> Clusters:
    return amity.cluster(split, ClusteringConfig(**{"count": GROUPS, "smallest": 5, **settings}), seed=seed)


def split_of(graph: Graph, held_out: Adjacency | None = None) -> Split:
    """All edges of the graph are train edges; what is held out is beside them."""
    nothing = Adjacency(np.zeros(graph.num_nodes + 1, np.int64), np.empty(0, np.int32))
    held_out = held_out or nothing
    return Split(graph, graph.target.adjacency, HeldOut(held_out, nothing), HeldOut(held_out, held_out))


def shop(columns: tuple = (), *, seed: int = 0, timed: bool = True) -> Graph:
    """120 users, each fond of one group of items: of 25 they have had, one in ten lies elsewhere."""
    rng = np.random.default_rng(seed)
    users, size = 120, GROUPS * MEMBERS
    fond = rng.integers(0, GROUPS, users)
    rows = np.repeat(np.arange(users), 25)
    group = np.where(rng.random(len(rows)) < 0.1, rng.integers(0, GROUPS, len(rows)), fond[rows])
    items = users + group * MEMBERS + rng.integers(0, MEMBERS, len(rows))
    likes = from_pairs(rows, items, num_nodes=users + size)
    likes = replace(likes, times=rng.integers(0, 1000, likes.num_edges)) if timed else likes
    kinds = (
        NodeKind("user", 0, integer_vocabulary(np.arange(users))),
        NodeKind("item", users, integer_vocabulary(np.arange(size)), columns),
    )
    return Graph(
        kinds, (Relation("likes", "user", "item", undirected=False, adjacency=likes),), union(likes, reverse(likes))
    )


def blocks(make_friend_graph, *, seed: int = 0) -> Graph:
    """A stochastic block model: a pair is a friendship by 30 % within a group, by 2 % across."""
    first, second = np.triu_indices(len(TRUTH), 1)
    likely = np.where(TRUTH[first] == TRUTH[second], 0.3, 0.02)
    drawn = np.random.default_rng(seed).random(len(first)) < likely
    return make_friend_graph(first[drawn], second[drawn], num_nodes=len(TRUTH))


def agreement(found: Clusters) -> float:
    """The share of candidates in the cluster that stands for their group, under the best matching of the two."""
    table = np.zeros((GROUPS, found.count))
    np.add.at(table, (TRUTH, found.of), 1)
    return table[linear_sum_assignment(table, maximize=True)].sum() / len(TRUTH)


COLORS = Category("color", np.arange(GROUPS * MEMBERS, dtype=np.int32) % 7 - 1, tuple("bcdefg"))


@pytest.mark.parametrize("settings", EVERY)
def test_every_candidate_is_in_one_cluster_and_none_is_empty(settings: dict):
    found = divide(split_of(shop((COLORS,))), **settings)
    assert found.of.shape == (GROUPS * MEMBERS,)
    assert found.of.dtype == np.int32
    assert found.sizes().sum() == GROUPS * MEMBERS
    assert found.sizes().min() > 0
    assert len(set(found.names)) == found.count == len(found.sizes())


@pytest.mark.parametrize("settings", EVERY)
def test_the_largest_cluster_stands_first(settings: dict):
    sizes = divide(split_of(shop((COLORS,))), **settings).sizes()
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("settings", EVERY)
def test_the_same_seed_gives_the_same_clusters(settings: dict):
    first, second = (divide(split_of(shop((COLORS,), timed=False)), seed=3, **settings) for _ in range(2))
    assert np.array_equal(first.of, second.of)
    assert first.names == second.names


@pytest.mark.parametrize("settings", LEARNED)
def test_held_out_edges_change_nothing_and_train_edges_do(settings: dict):
    found = divide(split_of(shop()), **settings)
    other = shop(seed=1)
    assert np.array_equal(divide(split_of(shop(), other.target.adjacency), **settings).of, found.of)
    assert not np.array_equal(divide(split_of(other), **settings).of, found.of)


@given(
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 9)).filter(lambda pair: pair[0] >= pair[1]),
    seed=st.integers(0, 99),
)
def test_balanced_sizes_differ_by_at_most_one(sizes: tuple[int, int], seed: int):
    num, count = sizes
    vectors = np.random.default_rng(seed).standard_normal((num, 3), np.float32) + 2
    found = np.bincount(divide_points(vectors, count, balanced=True, seed=seed), minlength=count)
    assert found.max() - found.min() <= 1
    assert len(found) == count


def far_apart(sizes: list[int]) -> np.ndarray:
    """Points close to the axes of a space: so many by each of them."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(len(sizes), dtype=np.float32)[group] + 0.01 * np.random.default_rng(0).random(
        (len(group), len(sizes)), np.float32
    )


def test_groups_that_are_of_one_size_already_are_left_by_balancing():
    points = far_apart([9, 9, 9, 9])
    free, balanced = (divide_points(points, 4, balanced=value, seed=0) for value in (False, True))
    assert np.array_equal(free, balanced)
    assert np.bincount(free).tolist() == [9, 9, 9, 9]


def test_balancing_moves_no_more_than_it_must():
    points = far_apart([12, 8, 10])
    free, balanced = (divide_points(points, 3, balanced=value, seed=0) for value in (False, True))
    assert np.count_nonzero(free != balanced) == 2


@pytest.mark.parametrize("balanced", [False, True])
def test_the_length_of_a_vector_does_not_matter(balanced: bool):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((80, 4)).astype(np.float32)
    scale = np.exp2(rng.integers(-3, 4, (80, 1))).astype(np.float32)
    first, second = (divide_points(one, 5, balanced=balanced, seed=1) for one in (vectors, vectors * scale))
    assert np.array_equal(first, second)


def test_candidates_without_a_vector_make_no_cluster_of_their_own():
    vectors = np.concatenate([far_apart([20, 20, 20]), np.zeros((30, 3), np.float32)])
    groups = divide_points(vectors, 3, balanced=False, seed=0)
    assert len(set(groups[:60])) == 3
    assert len(set(groups[60:])) == 1


@pytest.mark.parametrize("settings", [*LEARNED[1:], {"by": "word2vec", "word2vec": {"epochs": 10}}])
def test_planted_blocks_are_found(make_friend_graph, settings: dict):
    assert agreement(divide(split_of(blocks(make_friend_graph)), **settings)) > 0.95


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("settings", [{"by": "word2vec", "word2vec": {"epochs": 20}}, *LEARNED[1:]])
def test_planted_tastes_are_found(settings: dict, timed: bool):
    assert agreement(divide(split_of(shop(timed=timed)), **settings)) > 0.95


BAGS = [("red", "blue"), (), ("green",), ("blue",), ("red",), ("green", "red")]
BAG_COLUMN = Bag(
    "colors",
    np.cumsum([0, *map(len, BAGS)]),
    np.array([("blue", "green", "red").index(color) for bag in BAGS for color in sorted(bag)], np.int32),
    np.ones(sum(map(len, BAGS)), np.float32),
    ("blue", "green", "red"),
)
COLUMNS = {
    "color": (
        Category("color", np.array([1, -1, 0, 1, 1, 0], np.int32), ("b", "r")),
        ["r", "unknown", "b", "r", "r", "b"],
    ),
    "unknown is a value": (
        Category("color", np.array([1, -1, 0, 1, 1, 0], np.int32), ("unknown", "r")),
        ["r", "unknown", "unknown", "r", "r", "unknown"],
    ),
    "year": (Number("year", np.array([1.5, np.nan, 2, 1.5, 3, 3])), ["1.5", "unknown", "2", "1.5", "3", "3"]),
    "colors": (BAG_COLUMN, ["blue", "unknown", "green", "blue", "red", "green"]),
}


def items_with(column) -> Split:
    """Six items under a column."""
    kinds = (
        NodeKind("user", 0, integer_vocabulary(np.arange(1))),
        NodeKind("item", 1, integer_vocabulary(np.arange(6)), (column,)),
    )
    likes = from_pairs(np.zeros(6, np.int64), np.arange(1, 7), num_nodes=7)
    return split_of(Graph(kinds, (Relation("likes", "user", "item", undirected=False, adjacency=likes),), likes))


def named(found: Clusters) -> list[str]:
    return [found.names[cluster] for cluster in found.of]


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_divides_by_its_values_and_those_without_one_are_together(case: str):
    column, expected = COLUMNS[case]
    assert named(divide(items_with(column), by="column", column=column.name, smallest=1)) == expected


@given(st.lists(st.integers(-1, 4), min_size=6, max_size=6), st.integers(1, 4))
def test_groups_that_are_too_small_become_one(codes: list[int], smallest: int):
    names = {code: "pqrst"[code] if code >= 0 else "unknown" for code in codes}
    sizes = Counter(codes)
    split = items_with(Category("color", np.array(codes, np.int32), tuple("pqrst")))
    if max(sizes.values()) < smallest:
        with pytest.raises(ConfigError, match=f"the largest has {max(sizes.values())}"):
            divide(split, by="column", column="color", smallest=smallest)
        return
    found = divide(split, by="column", column="color", smallest=smallest)
    assert named(found) == [names[code] if sizes[code] >= smallest else "other" for code in codes]


def test_a_value_that_is_called_other_stays_apart_from_what_is_too_small():
    column = Category("color", np.array([0, 0, 0, 0, 1, 2], np.int32), ("other", "b", "c"))
    found = divide(items_with(column), by="column", column="color", smallest=2)
    assert named(found) == ["other"] * 4 + ["other-"] * 2


@given(st.permutations(range(6)))
def test_candidates_in_another_order_are_in_the_same_groups(order: list[int]):
    codes = np.array([1, -1, 0, 1, 1, 0], np.int32)
    first, second = (
        divide(items_with(Category("color", values, ("b", "r"))), by="column", column="color", smallest=1)
        for values in (codes, codes[order])
    )
    assert first.names == second.names
    assert np.array_equal(first.of[order], second.of)


def test_movies_are_divided_by_the_first_of_their_genres(shared_data: Path, tmp_path: Path):
    data = shared_data / "ml1m_sequences"
    config = load_config(Path(__file__).parents[2] / "examples" / "datasets" / "ml1m_sequences.toml")
    found = divide(split_of(ingest(data, tmp_path, config.ingestion)), by="column", column="genres", smallest=50)
    first = Counter(min(genres) for genres in pq.read_table(data / "items.parquet")["genres"].to_pylist())
    kept = {genre: size for genre, size in first.items() if size >= 50}
    kept["other"] = sum(first.values()) - sum(kept.values())
    assert dict(zip(found.names, found.sizes().tolist(), strict=True)) == kept


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"by": "column", "column": "colour"}, "has no column `colour`.*Did you mean `color`"),
        ({"by": "column", "column": "xyz"}, "There are: color, portrait"),
        ({"by": "column", "column": "portrait"}, "is a vector"),
        ({"by": "eigenvectors", "count": 201}, "201 clusters were asked for, and only 200 of 200"),
        ({"by": "communities", "smallest": 1000, "column": "color"}, "By communities no group has"),
        ({"by": "column", "smallest": 1000, "column": "color"}, "By color no group has"),
    ],
)
def test_what_cannot_be_divided_so_is_said_in_one_paragraph(settings: dict, found: str):
    portrait = Vector("portrait", np.zeros((GROUPS * MEMBERS, 2), np.float32))
    with pytest.raises(ConfigError, match=found) as refusal:
        divide(split_of(shop((COLORS, portrait))), **settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("settings", LEARNED)
def test_without_train_edges_only_a_column_divides(make_friend_graph, settings: dict):
    empty = make_friend_graph(np.empty(0, np.int64), np.empty(0, np.int64), num_nodes=30)
    with pytest.raises(ConfigError, match="the train part holds no edges"):
        divide(split_of(empty), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"by": "column"},
        {"by": "run"},
        {"by": "column", "column": "color", "balanced": True},
        {"by": "communities", "balanced": True},
        {"count": 0},
        {"by": "color"},
    ],
)
def test_settings_that_say_too_little_or_too_much_are_refused(settings: dict):
    with pytest.raises(ValidationError):
        ClusteringConfig(**settings)


@pytest.mark.parametrize(("by", "library"), [("word2vec", "gensim"), ("communities", "sknetwork")])
def test_a_library_that_is_missing_is_named_with_what_to_type(by: str, library: str, monkeypatch: pytest.MonkeyPatch):
    for module in [module for module in sys.modules if module.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=rf"needs {library}.*pip install 'amity\[clustering\]'"):
        divide(split_of(shop()), by=by)


@given(st.integers(2, 6), st.permutations(range(6)), st.integers(0, 99))
def test_the_same_groups_keep_their_numbers_however_k_means_numbers_them(count: int, order: list[int], seed: int):
    of = np.concatenate([np.arange(count), np.random.default_rng(seed).integers(0, count, 60)]).astype(np.int32)
    names = tuple(f"cluster {number}" for number in range(count))
    renamed = np.argsort(np.argsort([order[number] for number in range(count)]))[of].astype(np.int32)
    points = np.eye(count, dtype=np.float32)[of]
    for before in (of, renamed):
        again = divide_again(points, Clusters(before, names), balanced=False, seed=seed)
        np.testing.assert_array_equal(again.of, before)


@given(st.integers(2, 6), st.integers(0, 99), st.booleans())
def test_clusters_that_are_made_again_hold_everybody_and_none_is_empty(count: int, seed: int, balanced: bool):
    rng = np.random.default_rng(seed)
    before = Clusters(np.append(np.arange(count), rng.integers(0, count, 40)).astype(np.int32), tuple("abcdef"[:count]))
    again = divide_again(rng.standard_normal((40 + count, 4)), before, balanced=balanced, seed=seed)
    assert again.names == before.names
    assert again.sizes().sum() == 40 + count
    assert again.sizes().min() > 0
    assert not balanced or np.ptp(again.sizes()) <= 1


def test_a_value_that_is_called_unknown_is_one_group_with_those_that_are():
    column = Category("school", np.array([0, 1, -1] * 2, np.int32), ("unknown", "b"))
    groups, names = group_by_column(items_with(column).train.candidates, "school")
    assert [names[group] for group in groups] == ["unknown", "b", "unknown"] * 2
