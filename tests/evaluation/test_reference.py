"""Baselines on real data against the values that another program computed (the bundle's BASELINES.md)."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from amity.evaluation.metrics import find_truth, recall
from amity.graph import from_pairs
from amity.retrieval.heuristics import heuristic

NAMES = {
    "popularity": "popularity",
    "CN": "common_neighbors",
    "AA": "adamic_adar",
    "RA": "resource_allocation",
    "PPR(4 steps, 0.15)": "ppr",
}


def read_references(path: Path, data_set: str) -> tuple[int, dict[str, list[float]]]:
    """The number of queries, and recall@10, @50, @100 by our name of the recommender."""
    rows = [
        line.strip("|\n ").split("|") for line in path.read_text().splitlines() if line.startswith(f"| {data_set} ")
    ]
    cells = [[cell.strip() for cell in row] for row in rows]
    values = {NAMES[row[2]]: [float(value) for value in row[3:6]] for row in cells if row[2] in NAMES}
    return int(cells[0][1].replace(",", "")), values


def read_pairs(folder: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of nodes, and the train and test friendships of the reference's own split as keys of pairs."""
    ids = np.sort(pq.read_table(folder / "nodes.parquet")["id"].to_numpy())
    edges = pq.read_table(folder / "edges.parquet")
    sources, targets = (np.searchsorted(ids, edges[name].to_numpy()) for name in ("src", "dst"))
    keys = np.minimum(sources, targets) * len(ids) + np.maximum(sources, targets)
    keys[sources == targets] = -1
    if "old" in edges.column_names:
        old, new = (edges[name].to_numpy().astype(bool) for name in ("old", "new"))
        return len(ids), keys[old & (keys >= 0)], keys[new & ~old & (keys >= 0)]
    distinct = np.unique(keys[keys >= 0])
    order = np.random.default_rng(2024).permutation(len(distinct))
    test, valid = int(0.1 * len(distinct)), int(0.05 * len(distinct))
    return len(ids), distinct[order[test + valid :]], distinct[order[:test]]


def check_agreement(shared_data: Path, make_friend_graph, data_set: str) -> None:
    num_queries, references = read_references(shared_data / "BASELINES.md", data_set)
    num_nodes, train, test = read_pairs(shared_data / data_set)
    graph = make_friend_graph(train // num_nodes, train % num_nodes, num_nodes=num_nodes)
    sources, targets = test // num_nodes, test % num_nodes
    truth = from_pairs(np.r_[sources, targets], np.r_[targets, sources], num_nodes=num_nodes)
    queries = np.flatnonzero(truth.degrees() > 0)
    if len(queries) > num_queries:
        queries = np.sort(np.random.default_rng(1).choice(queries, num_queries, replace=False))
    assert len(queries) == num_queries
    assert set(references) == set(NAMES.values())
    for name, expected in references.items():
        lists = heuristic(name, graph, seed=0).search(queries, k=100).rows
        relevant = find_truth(lists, queries, truth) >= 0
        found = [recall(relevant, truth.degrees()[queries], k).mean() for k in (10, 50, 100)]
        # Only ties are broken otherwise: few in PageRank, many where common neighbours are counted.
        np.testing.assert_allclose(found, expected, atol=0.003 if name == "ppr" else 0.009, err_msg=name)


@pytest.mark.parametrize("data_set", ["fb100_reed", "lastfm_hetrec"])
def test_recall_is_that_of_the_reference(shared_data, make_friend_graph, data_set):
    check_agreement(shared_data, make_friend_graph, data_set)


@pytest.mark.slow
@pytest.mark.parametrize("data_set", ["fb100_mit", "twitch_engb", "foursquare_nyc", "foursquare_saopaulo", "deezer_hu"])
def test_recall_is_that_of_the_reference_on_larger_graphs(shared_data, make_friend_graph, data_set):
    check_agreement(shared_data, make_friend_graph, data_set)
