import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
import scipy.sparse.csgraph

from amity.errors import ConfigError
from amity.ingestion.synthetic import TOWN_SIZE, synthesize

PEOPLE, FRIENDSHIPS = 2000, 24_000


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> tuple[pa.Table, pa.Table]:
    directory = tmp_path_factory.mktemp("network")
    synthesize(directory, people=PEOPLE, friendships=FRIENDSHIPS, seed=1)
    return pq.read_table(directory / "nodes.parquet"), pq.read_table(directory / "edges.parquet")


@pytest.fixture(scope="module")
def ends(network) -> tuple[np.ndarray, np.ndarray]:
    nodes, edges = network
    ids = nodes["id"].to_numpy()
    place = np.argsort(ids)
    return tuple(place[np.searchsorted(ids[place], edges[name].to_numpy())] for name in ("src", "dst"))


def matrix(sources: np.ndarray, targets: np.ndarray) -> scipy.sparse.csr_matrix:
    half = scipy.sparse.coo_matrix((np.ones(len(sources)), (sources, targets)), shape=(PEOPLE, PEOPLE)).tocsr()
    return half + half.T


def test_the_tables_have_the_columns_that_ingestion_reads(network):
    nodes, edges = network
    assert nodes.schema.names == ["id", "city", "age", "interests", "taste"]
    assert nodes.schema.field("taste").type == pa.list_(pa.field("element", pa.float32()), 16)
    assert pa.types.is_list(nodes.schema.field("interests").type)
    assert edges.schema.types == [pa.int64()] * 3


def test_people_have_distinct_sparse_ids_in_no_order(network):
    ids = network[0]["id"].to_numpy()
    assert len(np.unique(ids)) == PEOPLE
    assert ids.max() > 5 * PEOPLE
    assert abs(np.corrcoef(ids, np.arange(PEOPLE))[0, 1]) < 0.1


def test_friendships_are_as_many_as_asked_distinct_and_in_time_order(network, ends):
    sources, targets = ends
    assert (sources != targets).all()
    assert len(set(zip(np.minimum(*ends).tolist(), np.maximum(*ends).tolist(), strict=True))) == FRIENDSHIPS
    assert (np.diff(network[1]["time"].to_numpy()) > 0).all()
    assert np.isin(network[1]["src"].to_numpy(), network[0]["id"].to_numpy()).all()


def test_some_of_every_feature_is_missing_and_most_is_not(network):
    for name in ("city", "age", "interests", "taste"):
        assert 0.02 < network[0][name].null_count / PEOPLE < 0.09
    assert network[0]["id"].null_count == 0


def test_degrees_have_a_long_tail(ends):
    degrees = np.sort(np.bincount(np.concatenate(ends), minlength=PEOPLE))
    assert degrees[-1] > 8 * degrees.mean()
    assert np.median(degrees) < 0.9 * degrees.mean()
    assert degrees[: PEOPLE // 10].mean() < degrees.mean() / 3


def test_friends_of_friends_are_friends_far_more_often_than_chance(ends):
    graph = matrix(*ends)
    degrees = np.asarray(graph.sum(1)).ravel()
    closed = (graph @ graph).multiply(graph).sum() / (degrees * (degrees - 1)).sum()
    assert closed > 5 * FRIENDSHIPS / (PEOPLE * (PEOPLE - 1) / 2)


def test_friends_are_alike_in_every_feature(network, ends):
    nodes = {name: network[0][name].to_pylist() for name in network[0].schema.names}
    sources, targets = ends
    strangers = np.random.default_rng(0).permutation(targets)
    city, age = np.array(nodes["city"], str), np.array(nodes["age"], float)
    taste = np.array([row if row is not None else np.full(16, np.nan) for row in nodes["taste"]])
    interests = [set() if row is None else set(row) for row in nodes["interests"]]
    assert (city[sources] == city[targets]).mean() > 1.5 * (city[sources] == city[strangers]).mean()
    assert np.nanmean(abs(age[sources] - age[targets])) < 0.8 * np.nanmean(abs(age[sources] - age[strangers]))
    assert np.nanmean(taste[sources] * taste[targets]) > 2 * abs(np.nanmean(taste[sources] * taste[strangers]))
    shared = [
        np.mean([len(interests[a] & interests[b]) for a, b in zip(sources, t, strict=True)])
        for t in (targets, strangers)
    ]
    assert shared[0] > 1.3 * shared[1]


def recall(scores: np.ndarray, train: scipy.sparse.csr_matrix, sources: np.ndarray, targets: np.ndarray) -> float:
    scores = np.where(train.toarray() > 0, -np.inf, scores)
    np.fill_diagonal(scores, -np.inf)
    top = np.argpartition(-scores, 50, axis=1)[:, :50]
    return float(np.mean((top[sources] == targets[:, None]).any(1)))


def test_structure_and_features_find_held_out_friends_better_than_popularity(network, ends):
    held_out = np.random.default_rng(0).random(FRIENDSHIPS) < 0.1
    sources, targets = ends
    train = matrix(sources[~held_out], targets[~held_out])
    wanted = (
        np.concatenate([sources[held_out], targets[held_out]]),
        np.concatenate([targets[held_out], sources[held_out]]),
    )
    degrees = np.asarray(train.sum(1)).ravel()
    taste = np.array([np.zeros(16) if row is None else row for row in network[0]["taste"].to_pylist()])
    popularity = recall(np.tile(degrees, (PEOPLE, 1)), train, *wanted)
    weights = scipy.sparse.diags(1 / np.log(np.maximum(degrees, 2)))
    assert recall((train @ weights @ train).toarray(), train, *wanted) > 2 * popularity
    assert recall(taste @ taste.T, train, *wanted) > 1.3 * popularity


def test_a_seed_repeats_itself_whatever_the_number_of_workers(network, tmp_path, monkeypatch):
    synthesize(tmp_path / "again", people=PEOPLE, friendships=FRIENDSHIPS, seed=1)
    synthesize(tmp_path / "other", people=PEOPLE, friendships=FRIENDSHIPS, seed=2)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    synthesize(tmp_path / "workers", people=PEOPLE, friendships=FRIENDSHIPS, seed=1)
    assert pq.read_table(tmp_path / "again" / "nodes.parquet").equals(network[0])
    assert pq.read_table(tmp_path / "again" / "edges.parquet").equals(network[1])
    assert pq.read_table(tmp_path / "workers" / "edges.parquet").equals(network[1])
    assert not pq.read_table(tmp_path / "other" / "edges.parquet").equals(network[1])


@pytest.mark.parametrize(("people", "friendships"), [(10, 5), (100, 0), (100, 5000)])
def test_networks_that_cannot_be_are_refused(tmp_path, people, friendships):
    with pytest.raises(ConfigError, match=f"{people} people and {friendships:,} friendships cannot be made"):
        synthesize(tmp_path, people=people, friendships=friendships, seed=0)


@pytest.mark.parametrize(("people", "each"), [(10, 1), (20, 10), (80, 10), (300, 40)])
def test_so_many_people_as_a_refusal_asks_for_are_enough_and_one_less_is_not(tmp_path, people, each):
    with pytest.raises(ConfigError) as caught:
        synthesize(tmp_path, people=people, friendships=people * each, seed=0)
    least = int(re.search(r"Ask for ([\d,]+) people", str(caught.value))[1].replace(",", ""))
    with pytest.raises(ConfigError):
        synthesize(tmp_path, people=least - 1, friendships=(least - 1) * each, seed=0)
    synthesize(tmp_path, people=least, friendships=least * each, seed=0)


def test_the_densest_network_allowed_is_made(tmp_path):
    synthesize(tmp_path, people=60, friendships=60 * 59 // 8, seed=0)
    assert pq.read_table(tmp_path / "edges.parquet").num_rows == 60 * 59 // 8


def test_towns_are_joined_and_no_friendship_is_made_twice(tmp_path):
    people = 2 * TOWN_SIZE + 5000
    synthesize(tmp_path, people=people, friendships=3 * people, seed=0, vector=4)
    edges = pq.read_table(tmp_path / "edges.parquet")
    assert edges.schema.names == ["src", "dst"]
    assert len(edges) == 3 * people
    ends = [edges[name].to_numpy() for name in ("src", "dst")]
    ids, rows = np.unique(np.concatenate(ends), return_inverse=True)
    sources, targets = rows.reshape(2, -1)
    pairs = np.minimum(sources, targets) * len(ids) + np.maximum(sources, targets)
    assert len(np.unique(pairs)) == len(pairs)
    ones = np.ones(len(edges))
    parts = scipy.sparse.csgraph.connected_components(scipy.sparse.coo_matrix((ones, (sources, targets))))[1]
    assert np.bincount(parts).max() > 0.9 * people


def test_a_vector_stands_in_half_precision_for_all_columns(tmp_path):
    synthesize(tmp_path, people=500, friendships=1000, seed=0, vector=8)
    nodes = pq.read_table(tmp_path / "nodes.parquet")
    assert nodes.schema.names == ["id", "vector"]
    assert nodes.schema.field("vector").type.list_size == 8
    assert nodes.schema.field("vector").type.value_type == pa.float16()
