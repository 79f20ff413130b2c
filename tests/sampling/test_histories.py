"""Histories stand in the order of time, hold nothing that is to be foretold, and are drawn as functions of the seed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from amity.clustering import Clusters
from amity.errors import ConfigError, SplitError
from amity.graph import Graph
from amity.sampling import HistoryBatch, HistoryMaker, SamplingConfig, histories_before, histories_of
from amity.splitting import Split

LENGTH = 12


@pytest.fixture(scope="module")
def split(make_history_split: Callable[..., Split]) -> Split:
    return make_history_split(40, 30, seed=0)


def make(split: Split, step: int, **settings: object):
    config = SamplingConfig.model_validate({"batch_size": 16, "negatives": 10} | settings)
    return HistoryMaker.prepare(split, config, length=LENGTH, seed=3)(step)


def sorted_by_hand(split: Split, query: int) -> list[int]:
    edges, first = split.train.target.adjacency, split.train.candidates.first
    window = slice(edges.indptr[query], edges.indptr[query + 1])
    pairs = sorted(zip(edges.times[window].tolist(), edges.indices[window].tolist(), strict=True))
    return [item - first for _, item in pairs]


def test_a_history_is_the_row_in_the_order_of_its_times(split: Split):
    histories = histories_of(split.train)
    for query in range(40):
        found = histories.items[histories.indptr[query] : histories.indptr[query + 1]].tolist()
        assert found == sorted_by_hand(split, query)


def test_the_latest_items_stand_on_the_right(split: Split):
    histories = histories_of(split.train)
    queries = np.array([5, 0, 39])
    for count in (1, 7, 50):
        for row, query in zip(histories.latest(queries, count), queries, strict=True):
            items = sorted_by_hand(split, query)[-count:]
            assert row.tolist() == [-1] * (count - len(items)) + items


def test_before_the_test_part_come_the_validation_edges_and_before_them_the_train_edges(split: Split):
    plain, before_valid = histories_of(split.train), histories_before(split, split.valid)
    before_test = histories_before(split, split.test)
    assert np.array_equal(plain.items, before_valid.items)
    first = split.train.candidates.first
    for query in range(40):
        (held_out,) = split.valid.truth.neighbors(query) - first
        history = before_test.items[before_test.indptr[query] : before_test.indptr[query + 1]].tolist()
        assert history == [*sorted_by_hand(split, query), held_out]


def test_a_held_out_edge_among_the_train_edges_is_refused(split: Split):
    leaking = replace(split, valid=replace(split.valid, truth=split.train.target.adjacency))
    with pytest.raises(SplitError, match="The histories leak"):
        histories_before(leaking, leaking.valid)
    known = replace(split.test, known=split.test.truth)
    with pytest.raises(SplitError, match="40 of the 40 held-out edges"):
        histories_before(split, known)


def test_what_follows_each_place_is_its_target_and_nothing_held_out_is_among_them(split: Split):
    held_out = {(q, i) for part in (split.valid, split.test) for q, i in zip(*pairs(part.truth), strict=True)}
    assert len(held_out) == 80
    for step in range(6):
        batch = make(split, step)
        assert np.array_equal(batch.items[:, 1:], batch.targets[:, :-1])
        assert (batch.items[:, 0] == -1).all()
        histories = [tuple(sorted_by_hand(split, query)[-LENGTH:]) for query in range(40)]
        for row in batch.targets:
            assert tuple(row[row >= 0]) in histories


def pairs(truth) -> tuple[list[int], list[int]]:
    return truth.sources().tolist(), truth.indices.tolist()


def test_an_epoch_asks_everybody_once(split: Split):
    asked = np.concatenate([make(split, step, batch_size=8).targets for step in range(5)])
    histories = sorted(sorted_by_hand(split, query)[-LENGTH:] for query in range(40))
    assert sorted(row[row >= 0].tolist() for row in asked) == histories


def test_a_column_is_masked_where_the_history_holds_it_anywhere(split: Split):
    batch = make(split, 1, negatives=1000)
    assert np.array_equal(batch.columns, np.arange(30))
    assert not batch.log_rates.any()
    whole = {tuple(sorted_by_hand(split, query)[-LENGTH:]): sorted_by_hand(split, query) for query in range(40)}
    for row, masked in zip(batch.targets, batch.masked, strict=True):
        assert np.flatnonzero(masked).tolist() == sorted(whole[tuple(row[row >= 0])])


def test_columns_are_distinct_and_each_candidate_is_as_likely(split: Split):
    counts = np.zeros(30)
    for step in range(600):
        batch = make(split, step, batch_size=1)
        assert len(np.unique(batch.columns)) == 10
        counts[batch.columns] += 1
    assert np.exp(batch.log_rates) == pytest.approx(1 / 3)
    assert abs(counts / 600 - 1 / 3).max() < 5 * (2 / 9 / 600) ** 0.5


def test_a_share_of_the_places_is_learned_from(split: Split):
    whole = sum((make(split, step).targets >= 0).sum() for step in range(50))
    some = [make(split, step, positions=0.25) for step in range(50)]
    assert sum((batch.targets >= 0).sum() for batch in some) == pytest.approx(0.25 * whole, rel=0.1)
    assert np.array_equal(some[3].items, make(split, 3).items)


def test_rows_and_places_that_are_computed_together_cover_every_target(split: Split):
    for step in range(4):
        batch = make(split, step, batch_size=70)
        covered = np.zeros(batch.targets.shape, bool)
        for rows, places in batch.alike():
            covered[rows, places] = True
            assert (batch.items[rows, places][:, 0] == -1).all()
        assert (batch.targets[~covered] == -1).all()


def test_a_batch_is_a_function_of_the_seed_and_the_step(split: Split):
    once, again, other = make(split, 4), make(split, 4), make(split, 5)
    for name in ("items", "targets", "columns", "masked", "log_rates"):
        assert np.array_equal(getattr(once, name), getattr(again, name))
    assert not np.array_equal(once.items, other.items)


def test_edges_without_times_and_friendships_have_no_histories(
    split: Split, make_random_friend_graph: Callable[..., Graph]
):
    relation = split.train.target
    timeless = replace(relation, adjacency=replace(relation.adjacency, times=None))
    with pytest.raises(ConfigError, match="have no times"):
        histories_of(split.train.with_edges((timeless,), split.train.messages))
    with pytest.raises(ConfigError, match="make a relation of two kinds the"):
        histories_of(make_random_friend_graph())


def test_steps_of_few_clusters_are_refused_for_histories(split: Split):
    with pytest.raises(ConfigError, match="Set it to 0"):
        HistoryMaker.prepare(split, SamplingConfig(clusters_per_step=2), length=5, seed=1)


UNEVEN = Clusters(np.array([0] * 16 + [1] * 9 + [2] * 4 + [3], np.int32), tuple("abcd"))


def make_divided(split: Split, step: int, *, one_cluster: bool = False, **settings: object) -> HistoryBatch:
    config = SamplingConfig.model_validate({"batch_size": 16, "negatives": 10} | settings)
    return HistoryMaker.prepare(split, config, UNEVEN, length=LENGTH, seed=3, one_cluster=one_cluster)(step)


@pytest.mark.parametrize("negatives", [10, 1000])
def test_one_cluster_leaves_batches_as_they_are(split: Split, negatives: int):
    config = SamplingConfig(batch_size=16, negatives=negatives, global_share=0.0)
    one = HistoryMaker.prepare(split, config, Clusters(np.zeros(30, np.int32), ("a",)), length=LENGTH, seed=3)
    for name in ("items", "targets", "columns", "masked", "log_rates"):
        assert np.array_equal(getattr(one(5), name), getattr(make(split, 5, negatives=negatives), name))


def test_each_target_knows_its_cluster(split: Split):
    batch = make_divided(split, 2)
    there = batch.targets >= 0
    assert np.array_equal(batch.clusters[there], UNEVEN.of[batch.targets[there]])
    assert (batch.clusters[~there] == -1).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_columns_of_a_divided_batch_are_drawn_as_often_as_their_rates_say(split: Split, share: float):
    """Of its own cluster a column counts once in the mean, of others as often as the global share says."""
    steps, found = 3000, np.zeros((4, 30))
    for step in range(steps):
        batch = make_divided(split, step, global_share=share)
        found[:, batch.columns] += np.exp(-batch.log_rates)
    expected = np.where(np.arange(4)[:, None] == UNEVEN.of, 1.0, share)
    np.testing.assert_allclose(found / steps, expected, atol=0.15)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_with_all_items_as_columns_only_the_weight_of_other_clusters_is_lowered(split: Split, share: float):
    batch = make_divided(split, 0, negatives=1000, global_share=share)
    weights = np.exp(-batch.log_rates)
    np.testing.assert_allclose(weights, np.where(np.arange(4)[:, None] == UNEVEN.of, 1.0, share), rtol=1e-6)


def test_a_history_that_learns_in_one_cluster_learns_from_its_targets_alone_and_from_each_as_often(split: Split):
    taken, whole = np.zeros(4), np.zeros(4)
    for step in range(400):
        batch, before = make_divided(split, step, one_cluster=True), make_divided(split, step)
        expected = np.where(before.clusters == batch.prompted[:, None], before.targets, -1)
        assert np.array_equal(batch.targets, expected)
        assert np.array_equal(batch.clusters, before.clusters)
        taken += np.bincount(batch.prompted, minlength=4)
        known = [row[row >= 0] for row in before.clusters]
        shares = [np.bincount(row, minlength=4) / len(row) for row in known]
        whole += np.sum(shares, axis=0)
    np.testing.assert_allclose(taken / taken.sum(), whole / whole.sum(), atol=0.02)
