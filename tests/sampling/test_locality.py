"""Batches of a divided graph: who is compared with whom, and how often each column is drawn."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amity.clustering import Clusters
from amity.graph import Graph
from amity.objectives import retrieval_losses
from amity.sampling import Batch, BatchMaker, SamplingConfig
from amity.sampling.locality import even_quotas
from amity.splitting import Split, SplittingConfig, split_edges

NODES = 300


@pytest.fixture(scope="module")
def split(make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    graph = make_random_friend_graph(NODES, 2500, 4)
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=1)


def sampling(share: float, **settings: int) -> SamplingConfig:
    return SamplingConfig.model_validate(
        {"fanout": (2,), "batch_size": 64, "negatives": 48, "global_share": share, **settings}
    )


def uneven(count: int) -> Clusters:
    """Clusters of very different sizes, the last one of a single candidate."""
    of = (count * np.random.default_rng(0).random(NODES) ** 2).astype(np.int32).clip(max=count - 2)
    of[:count] = np.arange(count)
    return Clusters(of, tuple(map(str, range(count))))


def same(first: Batch, second: Batch, *names: str) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


EVERYTHING = tuple(field.name for field in fields(Batch) if field.name not in ("block", "clusters"))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_with_one_cluster_batches_are_those_of_an_undivided_graph(split: Split, share: float):
    whole = BatchMaker.prepare(split, sampling(1.0), seed=3)
    one = BatchMaker.prepare(split, sampling(share), Clusters(np.zeros(NODES, np.int32), ("all",)), seed=3)
    for step in (0, 9):
        assert same(one(step), whole(step), *EVERYTHING, "clusters")
        assert same(one(step).block, whole(step).block, "nodes", "indptr", "indices")


def test_a_global_share_of_one_is_the_undivided_softmax(split: Split):
    whole = BatchMaker.prepare(split, sampling(1.0), seed=3)
    divided = BatchMaker.prepare(split, sampling(1.0), uneven(7), seed=3)
    for step in (0, 9):
        ours, expected = (by_column(maker(step)) for maker in (divided, whole))
        for name, values in ours.items():
            np.testing.assert_array_equal(values, expected[name], name)


def by_column(batch: Batch) -> dict[str, np.ndarray]:
    """What a batch compares, its columns in the order of their nodes."""
    columns = batch.block.nodes[batch.candidates]
    order = np.argsort(columns)
    return {
        "queries": batch.block.nodes[batch.queries],
        "positives": columns[batch.positives],
        "columns": columns[order],
        "masked": batch.masked[:, order],
        "log_rates": batch.log_rates[..., order],
    }


@pytest.mark.parametrize("runs", [0, 2])
@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("count", [2, 7, 60])
def test_a_row_is_compared_with_its_cluster_and_the_columns_for_all(split: Split, share: float, count: int, runs: int):
    """Row by row and column by column, from what was drawn."""
    clusters, settings = uneven(count), sampling(share, clusters_per_step=runs)
    maker = BatchMaker.prepare(split, settings, clusters, seed=3)
    batch, known = maker(5), split.train.target.adjacency
    queries, columns = batch.block.nodes[batch.queries], batch.block.nodes[batch.candidates]
    targets = columns[batch.positives]
    drawn = maker.locality.draw(targets, 48, seed=maker._seed(1), step=5)
    assert set(drawn.everywhere) | set(drawn.inside) | set(targets) == set(columns)
    for_all = set(drawn.everywhere) | (set() if runs else set(targets[: round(share * len(targets))]))
    for row, (query, target) in enumerate(zip(queries, targets, strict=True)):
        for column, candidate in enumerate(columns):
            compared = clusters.of[candidate] == clusters.of[target] or candidate in for_all
            friend = candidate == query or candidate in known.neighbors(query)
            assert batch.masked[row, column] == ((not compared or friend) and candidate != target)
    assert np.array_equal(batch.clusters, clusters.of[columns])
    assert (np.diff(batch.clusters) >= 0).all()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_candidates_are_drawn_as_often_as_their_rates_say(split: Split, share: float):
    maker, steps = BatchMaker.prepare(split, sampling(share), uneven(30), seed=3), 3000
    found, expected = np.zeros(NODES), np.zeros(NODES)
    for step in range(steps):
        drawn = maker.locality.draw(maker.pairs.draw(step, 64).targets, 48, seed=maker._seed(1), step=step)
        found[np.union1d(drawn.everywhere, drawn.inside)] += 1
        expected += 1 - drawn.missed[maker.locality.clusters.of]
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()
    assert found.sum() == pytest.approx(expected.sum(), rel=5e-3)


@pytest.mark.parametrize("nodes", [300, 4000])
@pytest.mark.parametrize("runs", [0, 2])
def test_what_a_row_sees_of_other_clusters_weighs_the_global_share(
    make_random_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory, runs: int, nodes: int
):
    """A sampled sum over columns, each divided by its rate, is on average that over all candidates, λ times abroad."""
    share = 0.4
    graph = make_random_friend_graph(nodes, 2 * nodes, 4)
    split = split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("large"), seed=1)
    clusters = Clusters((np.arange(nodes) % 3).astype(np.int32), ("a", "b", "c"))
    maker, seen = BatchMaker.prepare(split, sampling(share, clusters_per_step=runs), clusters, seed=3), []
    for step in range(400):
        batch = maker(step)
        columns = batch.block.nodes[batch.candidates]
        weights = np.exp(-batch.log_rates) * ~batch.masked
        weights[np.arange(len(weights)), batch.positives] = 0
        abroad = clusters.of[columns[batch.positives]][:, None] != clusters.of[columns]
        seen.append([(weights * abroad).sum(1).mean(), (weights * ~abroad).sum(1).mean()])
    found = np.mean(seen, axis=0) / (nodes / 3)
    np.testing.assert_allclose(found, [2 * share, 1.0], rtol=0.05)


@pytest.mark.parametrize("count", [2, 30])
def test_every_row_has_negatives_of_its_own_cluster(split: Split, count: int):
    maker = BatchMaker.prepare(split, sampling(0.0), uneven(count), seed=3)
    sizes = maker.locality.clusters.sizes()
    for step in range(20):
        targets = maker.pairs.draw(step, 64).targets
        inside = maker.locality.draw(targets, 48, seed=1, step=step).inside
        assert len(np.unique(inside)) == len(inside)
        drawn = np.bincount(maker.locality.of_nodes(inside), minlength=count)
        present = np.unique(maker.locality.of_nodes(targets))
        assert (drawn[present] >= np.minimum(sizes[present], 48 // count)).all()
        assert drawn.sum() == drawn[present].sum() == min(48, sizes[present].sum())


def test_a_positive_alone_in_its_cluster_costs_nothing(split: Split):
    clusters = Clusters(np.arange(NODES, dtype=np.int32), tuple(map(str, range(NODES))))
    batch = BatchMaker.prepare(split, sampling(0.0), clusters, seed=3)(0)
    vectors = torch.randn(batch.block.hops[0], 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = retrieval_losses(
        vectors[torch.from_numpy(batch.queries)] @ vectors[torch.from_numpy(batch.candidates)].T,
        positives=torch.from_numpy(batch.positives),
        masked=torch.from_numpy(batch.masked),
        log_rates=torch.from_numpy(batch.log_rates),
    )
    losses.sum().backward()
    assert (losses == 0).all()
    assert vectors.grad is not None
    assert (vectors.grad == 0).all()


def test_divided_batches_are_a_pure_function_of_seed_and_step(split: Split):
    maker, other = (BatchMaker.prepare(split, sampling(0.4), uneven(7), seed=seed) for seed in (3, 4))
    assert same(maker(4), maker(4), *EVERYTHING)
    drawn = [(one, one.pairs.draw(0, 64).targets) for one in (maker, other)]
    first, second = (one.locality.draw(targets, 48, seed=one._seed(1), step=0) for one, targets in drawn)
    assert not np.array_equal(first.inside, second.inside)


@given(count=st.integers(0, 60), sizes=st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_quotas_are_even_as_far_as_clusters_go(count: int, sizes: list[int]):
    quotas = even_quotas(count, np.array(sizes))
    assert quotas.sum() == min(count, sum(sizes))
    assert (quotas <= sizes).all()
    open_ones = quotas[quotas < sizes]
    assert not len(open_ones) or quotas.max() - open_ones.min() <= 1
