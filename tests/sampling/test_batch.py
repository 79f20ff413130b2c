from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from amity.errors import ConfigError
from amity.graph import Graph, NodeKind, Relation, from_pairs, reverse
from amity.graph.vocabulary import integer_vocabulary
from amity.sampling import Batch, BatchMaker, SamplingConfig, prefetch, sample_neighbors
from amity.sampling.duplicates import with_duplicates
from amity.splitting import Split, SplittingConfig, split_edges

CONFIG = SamplingConfig(fanout=(5, 3), batch_size=64, negatives=48)


@pytest.fixture(scope="module")
def split(make_random_friend_graph, tmp_path_factory) -> Split:
    graph = make_random_friend_graph(300, 2500, 4)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Split:
    """60 users who like 40 items."""
    rng = np.random.default_rng(0)
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(count)))
        for name, first, count in (("user", 0, 60), ("item", 60, 40))
    )
    likes = from_pairs(rng.integers(0, 60, 600), rng.integers(60, 100, 600), num_nodes=100)
    back = reverse(likes)
    messages = from_pairs(
        np.concatenate([likes.sources(), back.sources()]),
        np.concatenate([likes.indices, back.indices]),
        num_nodes=100,
    )
    graph = Graph(kinds, (Relation("likes", "user", "item", undirected=False, adjacency=likes),), messages)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("shop"), seed=1)


def make_batch(split: Split, config: SamplingConfig, *, seed: int, step: int) -> Batch:
    return BatchMaker.prepare(split, config, seed=seed)(step)


def asked(batch: Batch) -> list[tuple[int, int]]:
    """The (query, positive) of each row, as rows of the graph."""
    queries = batch.block.nodes[batch.queries]
    positives = batch.block.nodes[batch.candidates[batch.positives]]
    return list(zip(queries.tolist(), positives.tolist(), strict=True))


def heard(batch: Batch) -> set[tuple[int, int]]:
    """Every (node, neighbour drawn for it), as rows of the graph."""
    block = batch.block
    nodes = np.repeat(block.nodes[: len(block.indptr) - 1], np.diff(block.indptr))
    return set(zip(nodes.tolist(), block.nodes[block.indices].tolist(), strict=True))


def test_an_epoch_asks_for_every_friendship_once_from_either_side(split):
    maker, edges = BatchMaker.prepare(split, CONFIG, seed=3), split.supervision
    steps = -(-edges.num_edges // CONFIG.batch_size)
    pairs = [pair for step in range(steps) for pair in asked(maker(step))][: edges.num_edges]
    assert sorted(pairs) == sorted(zip(edges.sources().tolist(), edges.indices.tolist(), strict=True))
    assert set(pairs) == {(positive, query) for query, positive in pairs}


def test_a_directed_edge_is_asked_from_its_source(shop):
    batch = make_batch(shop, CONFIG, seed=1, step=0)
    assert all(query < 60 <= positive for query, positive in asked(batch))
    assert (batch.block.nodes[batch.candidates] >= 60).all()


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("step", [0, 7, 33])
def test_no_message_of_a_step_stands_on_its_own_pairs(split, step, duplicates):
    batch = make_batch(split, CONFIG.model_copy(update={"duplicates": duplicates}), seed=1, step=step)
    pairs = set(asked(batch))
    assert pairs
    assert not heard(batch) & (pairs | {(positive, query) for query, positive in pairs})


def test_every_message_stands_on_a_train_edge(split):
    adjacency = split.train.messages
    edges = set(zip(adjacency.sources().tolist(), adjacency.indices.tolist(), strict=True))
    assert heard(make_batch(split, CONFIG, seed=1, step=2)) <= edges


def test_columns_are_distinct_and_hold_every_positive_first(split):
    batch = make_batch(split, CONFIG, seed=1, step=2)
    columns = batch.block.nodes[batch.candidates]
    assert len(np.unique(columns)) == len(columns) <= 64 + 48
    positives = {positive for _, positive in asked(batch)}
    assert set(columns[: len(positives)].tolist()) == positives


def test_queries_and_columns_are_the_seeds_of_the_block(split):
    batch = make_batch(split, CONFIG, seed=1, step=2)
    seeds = np.unique(np.concatenate([batch.queries, batch.candidates]))
    assert seeds.tolist() == list(range(batch.block.hops[0]))


DUPLICATING = CONFIG.model_copy(update={"duplicates": True, "duplicate_degree": 8})


def of_duplicates(batch: Batch) -> np.ndarray:
    """Which rows a duplicate asks."""
    return np.isin(batch.queries, list(batch.duplicates))


def test_an_epoch_asks_for_every_friendship_and_for_everybody_with_few_friends_once(split):
    maker, edges = BatchMaker.prepare(split, DUPLICATING, seed=3), split.supervision
    few = np.flatnonzero(split.train.target.adjacency.degrees() <= 8)
    assert 20 < len(few) < 280
    steps = -(-(edges.num_edges + len(few)) // CONFIG.batch_size)
    pairs = [pair for step in range(steps) for pair in asked(maker(step))][: edges.num_edges + len(few)]
    friends = list(zip(edges.sources().tolist(), edges.indices.tolist(), strict=True))
    assert sorted(pairs) == sorted(friends + [(node, node) for node in few.tolist()])


def test_a_duplicate_asks_for_its_original_hears_from_nobody_and_nobody_hears_from_it(split):
    batch = BatchMaker.prepare(split, DUPLICATING, seed=3)(1)
    assert all(
        (query == positive) == row for (query, positive), row in zip(asked(batch), of_duplicates(batch), strict=True)
    )
    assert batch.duplicates.stop == batch.block.hops[0]
    assert (batch.queries[of_duplicates(batch)] == list(batch.duplicates)).all()
    assert not np.isin(batch.block.indices, list(batch.duplicates)).any()
    assert (np.diff(batch.block.indptr)[list(batch.duplicates)] == 0).all()
    assert not batch.masked[np.arange(len(batch.positives)), batch.positives].any()


def test_duplicates_leave_the_rest_of_the_block_as_it_was(split):
    maker = BatchMaker.prepare(split, DUPLICATING, seed=3)
    block = sample_neighbors(split.train.messages, np.arange(40), fanout=(4, 3), seed=1)
    grown = with_duplicates(block, np.array([7, 7, 2]))
    assert grown.nodes.tolist() == [*range(40), 7, 7, 2, *block.nodes[40:]]
    assert grown.hops == tuple(size + 3 for size in block.hops)
    heard_by = [grown.nodes[part].tolist() for part in np.split(grown.indices, grown.indptr[1:-1])]
    del heard_by[40:43]
    assert heard_by == [block.nodes[part].tolist() for part in np.split(block.indices, block.indptr[1:-1])]
    assert not heard(maker(2)) & set(asked(maker(2)))


def test_without_anybody_with_few_friends_duplicates_change_nothing(split):
    nobody = CONFIG.model_copy(update={"duplicates": True, "duplicate_degree": 0})
    first, second = (make_batch(split, config, seed=1, step=4) for config in (CONFIG, nobody))
    assert asked(first) == asked(second)
    assert np.array_equal(first.block.nodes, second.block.nodes)
    assert np.array_equal(first.log_rates, second.log_rates)


def test_duplicates_are_refused_where_who_asks_is_no_candidate(shop):
    with pytest.raises(ConfigError, match="user nodes ask and item nodes are the candidates"):
        BatchMaker.prepare(shop, DUPLICATING, seed=1)


def known_by_hand(split: Split, batch: Batch) -> np.ndarray:
    train, columns = split.train.target.adjacency, batch.block.nodes[batch.candidates]
    masked = np.zeros(batch.masked.shape, bool)
    for row, (query, positive) in enumerate(asked(batch)):
        known = np.isin(columns, train.neighbors(query)) | (columns == query)
        masked[row] = known & (columns != positive)
    return masked


def test_known_friends_are_masked_and_the_guard_is_seen_when_they_are_not(split):
    """The planted leak: a maker whose train edges lack one in two treats friends as negatives."""
    batch = make_batch(split, CONFIG, seed=1, step=2)
    assert np.array_equal(batch.masked, known_by_hand(split, batch))
    train = split.train.target.adjacency
    kept = (train.sources() + train.indices) % 2 == 0
    forgetful = from_pairs(train.sources()[kept], train.indices[kept], num_nodes=train.num_nodes)
    relation = replace(split.train.target, adjacency=forgetful)
    leaking = replace(split, train=replace(split.train, relations=(relation,)))
    planted = make_batch(leaking, CONFIG, seed=1, step=2)
    assert (known_by_hand(split, planted) & ~planted.masked).any()


def test_supervising_edges_without_messages_are_still_known(make_random_friend_graph, tmp_path):
    graph = make_random_friend_graph(100, 1200, 4)
    split = split_edges(graph, SplittingConfig(supervision=0.5), tmp_path, seed=1)
    batch = make_batch(split, CONFIG, seed=1, step=0)
    assert np.array_equal(batch.masked, known_by_hand(split, batch))
    quiet = set(zip(split.supervision.sources().tolist(), split.supervision.indices.tolist(), strict=True))
    assert not quiet & heard(batch)


def test_a_batch_is_a_pure_function_of_seed_and_step(split):
    maker = BatchMaker.prepare(split, CONFIG, seed=3)
    for step in (0, 5, 200):
        for other, equal in ((maker(step), True), (make_batch(split, CONFIG, seed=4, step=step), False)):
            batch = maker(step)
            for name in ("queries", "candidates", "positives", "masked", "log_rates"):
                first, second = getattr(batch, name), getattr(other, name)
                assert first.dtype == second.dtype
                assert not equal or np.array_equal(first, second)
            assert np.array_equal(batch.block.nodes, other.block.nodes) == equal
            assert not equal or np.array_equal(batch.block.indices, other.block.indices)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_prefetched_batches_are_those_made_by_hand(split, workers):
    maker = BatchMaker.prepare(split, CONFIG, seed=3)
    for step, batch in enumerate(prefetch(maker, range(7), depth=3, workers=workers)):
        block = maker(step).block
        assert batch.step == step
        assert np.array_equal(batch.block.nodes, block.nodes)
        assert np.array_equal(batch.block.indices, block.indices)


@pytest.mark.parametrize(("which", "duplicates"), [("split", False), ("split", True), ("shop", False)])
def test_log_rates_agree_with_how_often_columns_are_drawn(which, duplicates, request):
    data: Split = request.getfixturevalue(which)
    config = CONFIG.model_copy(update={"fanout": (1,), "duplicates": duplicates, "duplicate_degree": 8})
    maker = BatchMaker.prepare(data, config, seed=3)
    steps, nodes = 400, data.train.num_nodes
    found, expected = np.zeros(nodes), np.full(nodes, np.nan)
    for step in range(steps):
        batch = maker(step)
        columns = batch.block.nodes[batch.candidates]
        expected[columns] = np.exp(batch.log_rates)
        found[columns] += 1 / steps
    seen = np.flatnonzero(~np.isnan(expected))
    assert len(seen) > 0.99 * data.train.candidates.count
    spread = np.sqrt(expected[seen] * (1 - expected[seen]) / steps)
    assert (np.abs(found[seen] - expected[seen]) < 5 * spread + 1e-6).all()


def test_more_pairs_a_step_than_there_are_begin_the_next_epoch(shop):
    batch = make_batch(shop, SamplingConfig(fanout=(2,), batch_size=2 * shop.supervision.num_edges), seed=1, step=0)
    pairs = asked(batch)
    assert sorted(pairs) == sorted(2 * sorted(set(pairs)))


def test_a_fanout_below_all_is_refused():
    with pytest.raises(ValidationError):
        SamplingConfig(fanout=(5, -2))


@pytest.mark.parametrize("supervision", [1.0, 0.5])
def test_the_frequency_of_a_node_counts_its_supervising_friendships(make_random_friend_graph, tmp_path, supervision):
    graph = make_random_friend_graph(100, 1200, 4)
    split = split_edges(graph, SplittingConfig(supervision=supervision), tmp_path, seed=1)
    ends = split.supervision.indices
    frequency = BatchMaker.prepare(split, CONFIG, seed=3).frequency
    assert np.array_equal(frequency, np.bincount(ends, minlength=graph.num_nodes))
