"""Each guard of a split catches the leak that is planted for it, and a memorising scorer shows what it is worth."""

from dataclasses import replace

import numpy as np
import pytest

from amity.errors import SplitError
from amity.graph import Adjacency, Graph, from_pairs
from amity.splitting import Cutoffs, HeldOut, Split, SplittingConfig, check_no_leak, split_edges


def both_ways(sources: list[int], targets: list[int], num_nodes: int) -> Adjacency:
    return from_pairs(np.array(sources + targets), np.array(targets + sources), num_nodes=num_nodes)


def joined(first: Adjacency, second: Adjacency) -> Adjacency:
    sources = np.concatenate([first.sources(), second.sources()])
    return from_pairs(sources, np.concatenate([first.indices, second.indices]), num_nodes=first.num_nodes)


def with_messages(split: Split, messages: Adjacency) -> Split:
    return replace(split, train=replace(split.train, messages=messages))


def with_train(split: Split, adjacency: Adjacency) -> Split:
    relation = replace(split.train.target, adjacency=adjacency)
    return replace(split, train=replace(split.train, relations=(relation,)))


def memorised_recall(split: Split) -> float:
    """Share of the test edges found by a scorer that ranks those first from whom it hears, train friends left out."""
    train, messages, truth = split.train.target.adjacency, split.train.messages, split.test.truth
    hits = 0
    for query in np.flatnonzero(truth.degrees()):
        heard = np.setdiff1d(messages.neighbors(query), train.neighbors(query))
        hits += len(np.intersect1d(heard, truth.neighbors(query)))
    return hits / truth.num_edges


@pytest.fixture
def split(make_random_friend_graph, tmp_path) -> Split:
    graph: Graph = make_random_friend_graph(150, 1200, 2)
    adjacency = graph.target.adjacency
    times = (adjacency.sources() * adjacency.indices) % 997  # the same both ways
    relation = replace(graph.target, adjacency=replace(adjacency, times=times.astype(np.int64)))
    timed = graph.with_edges((relation,), relation.adjacency)
    return split_edges(timed, SplittingConfig(by="time", valid=0.1, test=0.2), tmp_path, seed=1)


def first_pair(adjacency: Adjacency) -> tuple[int, int]:
    row = int(np.flatnonzero(adjacency.degrees())[0])
    return row, int(adjacency.neighbors(row)[0])


def test_a_sound_split_passes(split):
    check_no_leak(split)


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("directions", ["there", "back"])
def test_a_held_out_pair_that_carries_a_message_is_named(split, part, directions):
    source, target = first_pair(getattr(split, part).truth)
    ends = (source, target) if directions == "there" else (target, source)
    planted = from_pairs(np.array([ends[0]]), np.array([ends[1]]), num_nodes=150)
    with pytest.raises(SplitError, match=rf"message {ends[0]} - {ends[1]} of the train graph stands on no train edge"):
        check_no_leak(with_messages(split, joined(split.train.messages, planted)))


def test_a_memorising_scorer_finds_held_out_edges_only_when_they_leak(split):
    leaking = with_messages(split, joined(split.train.messages, split.test.truth))
    assert memorised_recall(split) == 0
    assert memorised_recall(leaking) == 1
    with pytest.raises(SplitError, match="leaks"):
        check_no_leak(leaking)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_held_out_pair_among_the_train_edges_is_named(split, part):
    pair = first_pair(getattr(split, part).truth)
    planted = joined(split.train.target.adjacency, both_ways([pair[0]], [pair[1]], 150))
    times = np.zeros(planted.num_edges, np.int64)
    with pytest.raises(SplitError, match=f"{part} pair {pair[0]} - {pair[1]} of 'friend' is also a train edge"):
        check_no_leak(with_train(split, replace(planted, times=times)))


def test_a_pair_in_both_held_out_parts_is_named(split):
    pair = first_pair(split.test.truth)
    valid = HeldOut(joined(split.valid.truth, both_ways([pair[0]], [pair[1]], 150)), split.valid.known)
    with pytest.raises(SplitError, match=f"test pair {pair[0]} - {pair[1]} of 'friend' is also a valid edge"):
        check_no_leak(replace(split, valid=valid))


def test_a_friendship_held_out_one_way_only_is_named(split):
    truth = split.test.truth
    one_way = from_pairs(truth.sources()[1:], truth.indices[1:], num_nodes=150)
    with pytest.raises(SplitError, match="one way only"):
        check_no_leak(replace(split, test=HeldOut(one_way, split.test.known)))


@pytest.mark.parametrize(("part", "moment"), [("train", 10**6), ("valid", 10**6), ("valid", -5), ("test", -5)])
def test_an_edge_on_the_wrong_side_of_a_cutoff_is_named(split, part, moment):
    adjacency = split.train.target.adjacency if part == "train" else getattr(split, part).truth
    times = adjacency.times.copy()
    times[3] = moment
    planted = replace(adjacency, times=times)
    if part == "train":
        changed = with_train(split, planted)
    else:
        changed = replace(split, **{part: HeldOut(planted, split.test.known)})
    with pytest.raises(SplitError, match=rf"the {part} pair .* has the time {moment:,}"):
        check_no_leak(changed)


def test_an_edge_of_another_relation_that_is_later_than_the_train_edges_is_named(split):
    target = split.train.target
    for late in (0, 1):
        times = target.adjacency.times + 10**6 * late * (np.arange(target.adjacency.num_edges) == 3)
        views = replace(target, name="views", adjacency=replace(target.adjacency, times=times))
        changed = replace(split, train=replace(split.train, relations=(target, views)))
        if not late:
            check_no_leak(changed)
    with pytest.raises(SplitError, match=r"the train pair .* of 'views' has the time 1,000,"):
        check_no_leak(changed)


def test_the_guard_of_time_sleeps_only_where_a_part_was_given(split):
    times = split.valid.truth.times + 10**6
    late = replace(split, valid=HeldOut(replace(split.valid.truth, times=times), split.valid.known))
    with pytest.raises(SplitError, match="has the time"):
        check_no_leak(late)
    check_no_leak(replace(late, cutoffs=Cutoffs(valid=None, test=split.cutoffs.test)))


def test_tables_that_tear_a_friendship_apart_are_caught(make_random_friend_graph, tmp_path):
    graph = make_random_friend_graph(60, 300, 5)
    adjacency = graph.target.adjacency
    parts = np.where(adjacency.sources() % 3 == 0, 2, np.where(adjacency.sources() % 3 == 1, 1, 0)).astype(np.int8)
    relation = replace(graph.target, adjacency=replace(adjacency, parts=parts))
    torn = graph.with_edges((relation,), relation.adjacency)
    with pytest.raises(SplitError, match="leaks"):
        split_edges(torn, SplittingConfig(by="given"), tmp_path, seed=0)
