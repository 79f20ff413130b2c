"""Pairs in runs: each once an epoch, of a few clusters a step, as often as is said."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from amity.clustering import Clusters
from amity.errors import ConfigError
from amity.graph import Graph
from amity.sampling import BatchMaker, SamplingConfig
from amity.sampling.pairs import PairsInRuns, ShuffledPairs
from amity.splitting import Split, SplittingConfig, split_edges
from embedded import bipartite_graph

COUNT, RUNS, SIZE = 6, 3, 60


@pytest.fixture(scope="module")
def friends(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    graph = make_random_friend_graph(300, 2500, 4)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("friends"), seed=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_edges(bipartite_graph(), SplittingConfig(), tmp_path_factory.mktemp("shop"), seed=1)


def divided(split: Split, *, count: int = COUNT, **settings: object) -> BatchMaker:
    names = tuple(map(str, range(count)))
    clusters = Clusters((np.arange(split.train.candidates.count) % count).astype(np.int32), names)
    page = {"fanout": (2,), "batch_size": SIZE, "clusters_per_step": RUNS} | settings
    return BatchMaker.prepare(split, SamplingConfig.model_validate(page), clusters, seed=3)


@pytest.mark.parametrize("count", [COUNT, 90])
@pytest.mark.parametrize(("which", "duplicates"), [("friends", False), ("friends", True), ("shop", False)])
def test_every_pair_is_drawn_once_an_epoch_but_for_what_fills_the_last_run(
    which: str, duplicates: bool, count: int, request: pytest.FixtureRequest
):
    """Of large clusters, and of ones of a few candidates, which fill no run or have no pair at all."""
    split: Split = request.getfixturevalue(which)
    supervision = split.supervision
    pairs = divided(split, count=count, duplicates=duplicates, duplicate_degree=12).pairs
    expected = Counter(zip(supervision.sources().tolist(), supervision.indices.tolist(), strict=True))
    if duplicates:
        few = np.flatnonzero(split.train.target.adjacency.degrees() <= 12).tolist()
        assert few
        expected.update((node, node) for node in few)
    assert pairs.count == expected.total()
    length = SIZE // RUNS
    rows = -(-pairs.count // length) * length
    drawn = [pairs.draw(step, SIZE) for step in range(-(-2 * rows // SIZE))]
    queries, targets = (np.concatenate([getattr(one, end) for one in drawn]) for end in ("queries", "targets"))
    found = list(zip(queries.tolist(), targets.tolist(), strict=True))
    for epoch in (found[:rows], found[rows : 2 * rows]):
        more = Counter(epoch) - expected
        assert not expected - Counter(epoch)
        assert more.total() == rows - pairs.count
        assert max(more.values(), default=0) <= 1
    assert found[:rows] != found[rows : 2 * rows]


def test_a_step_holds_runs_of_one_cluster_each_but_where_two_meet(friends: Split):
    maker, borders = divided(friends), []
    for step in range(40):
        runs = maker.locality.of_nodes(maker.pairs.draw(step, SIZE).targets).reshape(RUNS, -1)
        borders += [len(np.unique(run)) - 1 for run in runs]
    assert max(borders) <= 1
    assert np.mean(borders) < 0.1


def test_over_an_epoch_the_rates_of_every_cluster_sum_to_one(friends: Split):
    maker, length = divided(friends), SIZE // RUNS
    steps = -(-maker.pairs.count // length) / RUNS
    rates = np.sum([maker.pairs.draw(step, SIZE).home for step in range(round(steps))], axis=0)
    np.testing.assert_allclose(rates, 1, atol=0.15)


def test_without_clusters_or_runs_pairs_come_from_all_over(friends: Split):
    halves = Clusters(np.arange(300, dtype=np.int32) % 2, ("a", "b"))
    for clusters, runs in ((None, RUNS), (halves, 0)):
        pairs = BatchMaker.prepare(friends, SamplingConfig(clusters_per_step=runs), clusters, seed=3).pairs
        assert isinstance(pairs, ShuffledPairs)


def test_pairs_of_duplicates_stand_anywhere_in_a_step(friends: Split):
    """Rows of other clusters see the first positives of a step: at the end of it they would see none of these."""
    pairs = divided(friends, clusters_per_step=0, duplicates=True, duplicate_degree=12).pairs
    drawn = [pairs.draw(step, SIZE) for step in range(pairs.count // SIZE)]
    places = np.concatenate([np.flatnonzero(one.queries == one.targets) for one in drawn])
    assert len(places) > 100
    assert np.mean(places < SIZE // 2) == pytest.approx(0.5, abs=0.1)


def test_where_no_negative_is_for_all_rows_a_global_share_is_refused(friends: Split):
    assert divided(friends, negatives=0, global_share=0.0)(0).masked.shape
    for negatives, share in ((0, 1.0), (1, 0.4)):
        with pytest.raises(ConfigError, match="set the share to 0"):
            divided(friends, negatives=negatives, global_share=share)


def test_more_runs_than_rows_are_as_many_runs_of_one_pair(friends: Split):
    pairs = divided(friends).pairs
    assert isinstance(pairs, PairsInRuns)
    many, one_each = (replace(pairs, runs=runs).draw(4, SIZE) for runs in (99, SIZE))
    assert len(many.targets) == SIZE
    assert np.array_equal(many.targets, one_each.targets)
