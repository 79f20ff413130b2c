"""A damaged graph is the same graph with less in it, and nothing else."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from amity.encoder import InputSource
from amity.encoder.features import FeaturesConfig, fit_features
from amity.errors import SplitError
from amity.evaluation.damage import (
    Damage,
    DamageConfig,
    choose_damages,
    drop_edges,
    drop_newest,
    mask_features,
    share_of_edges,
)
from amity.graph import Adjacency, Bag, Category, Graph, NodeKind, Number, Relation, Vector, from_pairs, union
from amity.graph.vocabulary import integer_vocabulary
from amity.splitting import SplittingConfig, split_edges

PEOPLE = 300
Kind = Literal["edges", "newest", "features"]
KINDS = ("edges", "newest", "features")


def columns(rng: np.random.Generator) -> tuple:
    sizes = rng.integers(0, 4, PEOPLE)
    codes = np.concatenate([np.sort(rng.choice(9, size, replace=False)) for size in sizes]).astype(np.int32)
    words = tuple(f"word {code}" for code in range(9))
    return (
        Number("age", rng.random(PEOPLE).astype(np.float32)),
        Category("town", rng.integers(0, 5, PEOPLE).astype(np.int32), tuple("abcde")),
        Vector("face", rng.random((PEOPLE, 3)).astype(np.float16)),
        Bag("words", np.concatenate([[0], np.cumsum(sizes)]), codes, np.ones(len(codes), np.float32), words),
    )


@pytest.fixture(scope="module")
def graph(make_random_friend_graph) -> Graph:
    rng = np.random.default_rng(5)
    made = make_random_friend_graph(PEOPLE, 2000, seed=3, columns=columns(rng))
    friends = made.target.adjacency
    pairs = np.minimum(friends.sources(), friends.indices) * PEOPLE + np.maximum(friends.sources(), friends.indices)
    known, places = np.unique(pairs, return_inverse=True)
    timed = replace(friends, times=rng.permutation(len(known))[places].astype(np.int64))
    return made.with_edges((replace(made.target, adjacency=timed),), timed)


def keys(adjacency: Adjacency) -> np.ndarray:
    return adjacency.sources() * adjacency.num_nodes + adjacency.indices


def columns_of(graph: Graph) -> tuple[Any, ...]:
    """Those of `columns`, in that order."""
    return graph.kinds[0].columns


def missing(graph: Graph) -> np.ndarray:
    """For each column, where it is missing."""
    age, town, face, words = columns_of(graph)
    bare = np.isnan(age.values), town.codes < 0, np.isnan(face.values).all(1), np.diff(words.indptr) == 0
    return np.stack(bare)


def values(graph: Graph) -> list[np.ndarray]:
    age, town, face, words = columns_of(graph)
    return [age.values, town.codes, face.values, words.indptr, words.codes, words.counts]


def test_no_damage_changes_nothing(graph: Graph):
    for whole in (drop_edges(graph, 0.0, seed=1), drop_newest(graph, 0.0), mask_features(graph, 0.0, seed=1)):
        np.testing.assert_array_equal(whole.messages.indptr, graph.messages.indptr)
        np.testing.assert_array_equal(whole.messages.indices, graph.messages.indices)
        for one, other in zip(values(whole), values(graph), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_lost_at_a_share_is_lost_at_every_larger_one(graph: Graph, kind: Kind):
    for share, more in ((0.1, 0.3), (0.3, 0.5), (0.5, 1.0)):
        less, least = (Damage(kind, one).apply(graph, seed=2) for one in (share, more))
        assert set(keys(least.messages)) <= set(keys(less.messages))
        assert not (missing(less) & ~missing(least)).any()
    nothing = Damage(kind, 1.0).apply(graph, seed=2)
    assert missing(nothing).all() if kind == "features" else nothing.messages.num_edges == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_was_there_before(graph: Graph, kind: Kind):
    left = Damage(kind, 0.3).apply(graph, seed=7)
    assert set(keys(left.messages)) <= set(keys(graph.messages))
    kept = ~missing(left)
    for damaged, whole, rows in zip(values(left)[:3], values(graph)[:3], kept[:3], strict=True):
        np.testing.assert_array_equal(damaged[rows], whole[rows])
    words, before = columns_of(left)[3], columns_of(graph)[3]
    for row in np.flatnonzero(kept[3]):
        np.testing.assert_array_equal(
            words.codes[words.indptr[row] : words.indptr[row + 1]],
            before.codes[before.indptr[row] : before.indptr[row + 1]],
        )


@pytest.mark.parametrize("kind", ["edges", "newest"])
def test_a_friendship_is_lost_both_ways_and_features_are_not_touched(graph: Graph, kind: Kind):
    left = Damage(kind, 0.3).apply(graph, seed=4)
    messages = left.messages
    turned = from_pairs(messages.indices, messages.sources(), num_nodes=PEOPLE)
    np.testing.assert_array_equal(keys(turned), keys(messages))
    assert left.kinds is graph.kinds
    assert left.relations is graph.relations


def test_masking_touches_no_edge_and_takes_all_columns_of_a_node(graph: Graph):
    left = mask_features(graph, 0.3, seed=4)
    assert left.messages is graph.messages
    assert left.relations is graph.relations
    fresh = missing(left) & ~missing(graph)
    lost = fresh[0]
    assert 0 < lost.sum() < PEOPLE
    assert missing(left)[:, lost].all()
    np.testing.assert_array_equal(fresh[1], lost)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_as_many_are_lost_as_a_coin_would_take(graph: Graph, share: float, seed: int):
    num_pairs = graph.messages.num_edges // 2
    lost = num_pairs - drop_edges(graph, share, seed=seed).messages.num_edges // 2
    assert abs(lost - share * num_pairs) < 5 * np.sqrt(num_pairs * share * (1 - share))
    masked = missing(mask_features(graph, share, seed=seed))[0].sum()
    assert abs(masked - share * PEOPLE) < 5 * np.sqrt(PEOPLE * share * (1 - share))


def test_other_seeds_lose_others(graph: Graph):
    one, other = (set(keys(drop_edges(graph, 0.5, seed=seed).messages)) for seed in (0, 1))
    both = len(one & other) / graph.messages.num_edges
    assert 0.2 < both < 0.3
    assert (missing(mask_features(graph, 0.5, seed=0))[0] != missing(mask_features(graph, 0.5, seed=1))[0]).any()


def test_a_split_at_random_and_a_damage_of_the_same_seed_do_not_know_of_each_other(graph: Graph, tmp_path):
    split = split_edges(graph, SplittingConfig(valid=0.2, test=0.3), tmp_path, seed=6)
    train = split.train.messages
    left = drop_edges(split.train, 0.3, seed=6).messages
    lost = (train.num_edges - left.num_edges) / train.num_edges
    assert abs(lost - 0.3) < 5 * np.sqrt(0.3 * 0.7 / (train.num_edges / 2))
    held_out = np.concatenate([keys(split.valid.truth), keys(split.test.truth)])
    for damage in choose_damages(DamageConfig(), split.train):
        assert not np.isin(held_out, keys(damage.apply(split.train, seed=6).messages)).any()


def test_the_newest_edges_go_and_older_ones_stay(graph: Graph):
    friends = graph.target.adjacency
    assert friends.times is not None
    left = np.isin(keys(friends), keys(drop_newest(graph, 0.3).messages))
    assert friends.times[left].max() < friends.times[~left].min()
    assert (~left).mean() == pytest.approx(0.3, abs=0.001)


def test_edges_without_times_do_not_age(make_random_friend_graph):
    timeless = make_random_friend_graph(30, 60)
    assert [damage.name for damage in choose_damages(DamageConfig(), timeless)] == [
        "10% of edges",
        "30% of edges",
        "50% of edges",
    ]
    with pytest.raises(SplitError, match="by time"):
        drop_newest(timeless, 0.3)


def test_a_damage_is_chosen_once_and_known_by_its_name(graph: Graph):
    chosen = choose_damages(DamageConfig(edges=(0.125, 0.125), newest=(0.2,), features=(1,)), graph)
    assert [damage.name for damage in chosen] == ["12.5% of edges", "20% of newest edges", "100% of features"]
    assert [share_of_edges(damage.name) for damage in chosen] == [0.125, None, None]


def test_what_another_relation_says_is_still_heard():
    """People 0-9 like things 10-19; all are friends in a ring, and who likes whom is another relation's edge."""
    ring = from_pairs(np.r_[0:10, (np.arange(10) + 1) % 10], np.r_[(np.arange(10) + 1) % 10, 0:10], num_nodes=20)
    likes = from_pairs(np.arange(10), 10 + np.arange(10), num_nodes=20)
    back = from_pairs(likes.indices, likes.sources(), num_nodes=20)
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(10))) for name, first in (("user", 0), ("item", 10))
    )
    relations = (
        Relation("friend", "user", "user", undirected=True, adjacency=ring),
        Relation("likes", "user", "item", undirected=False, adjacency=likes),
    )
    graph = Graph(kinds, relations, union(ring, union(likes, back)))
    left = drop_edges(graph, 1.0, seed=0).messages
    np.testing.assert_array_equal(keys(left), keys(union(likes, back)))


def test_of_a_node_whose_features_are_masked_an_encoder_hears_what_no_table_would_tell(graph: Graph):
    config = FeaturesConfig()
    transform = fit_features(graph, config)
    bare = replace(graph, kinds=tuple(replace(kind, columns=()) for kind in graph.kinds))
    rows = np.arange(PEOPLE)
    masked = InputSource.of(transform, mask_features(graph, 1.0, seed=0)).gather(rows)
    untold = InputSource.of(transform, bare).gather(rows)
    for name in ("dense", "structure", "indptr", "tokens", "weights", "ids"):
        np.testing.assert_array_equal(getattr(masked, name), getattr(untold, name))
