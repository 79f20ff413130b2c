"""A blend asks those who have a weight, is what it is alone where only one has, and is kept as it is."""

import json

import numpy as np
import pytest

from amity.errors import ArtifactError, RetrievalError
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.retrieval import Blend, blended, heuristic, open_blend, save_blend

BUCKETS = len(DEGREE_BUCKETS)


def weigh(*rows: tuple[float, float]) -> Blend:
    return Blend(("vectors", "ppr"), np.array(rows, np.float64))


def test_each_bucket_hears_those_that_its_weights_name(retriever, graph):
    """Queries with few friends by the heuristic, the others by vectors."""
    blend = weigh(*[(0.0, 1.0)] * 2, *[(1.0, 0.0)] * (BUCKETS - 2))
    queries = np.arange(graph.num_nodes)
    found = blended(retriever, blend, graph, depth=20, seed=0).search(queries, k=10)
    few = degree_buckets(graph.target.adjacency.degrees()) < 2
    assert few.any()
    assert not few.all()
    ppr = heuristic("ppr", graph, seed=0).search(queries, k=10)
    assert np.array_equal(found.rows[few], ppr.where(ppr.scores > 0).rows[few])
    assert np.array_equal(found.rows[~few], retriever.search(queries, k=10).rows[~few])


def test_nobody_known_comes_back_from_a_blend(retriever, graph):
    queries = np.arange(graph.num_nodes)
    found = blended(retriever, weigh(*[(1.0, 1.0)] * BUCKETS), graph, depth=20, seed=0).search(queries, k=30)
    for query, rows in zip(queries, found.rows, strict=True):
        assert not {query, *graph.target.adjacency.neighbors(query).tolist()} & set(rows.tolist())


def test_a_blend_of_the_vectors_alone_is_the_retriever(retriever, graph):
    alone = Blend(("vectors",), np.ones((BUCKETS, 1)))
    assert blended(retriever, alone, graph, depth=20, seed=0) is retriever


def test_k_beyond_the_candidates_gives_empty_places(retriever, graph):
    found = blended(retriever, weigh(*[(1.0, 1.0)] * BUCKETS), graph, depth=20, seed=0).search(np.array([3]), k=400)
    eligible = graph.num_nodes - 1 - len(graph.target.adjacency.neighbors(3))
    assert np.count_nonzero(found.rows >= 0) == eligible


def test_what_is_saved_is_what_is_opened(tmp_path):
    blend = weigh(*[(1.0, 0.25)] * BUCKETS)
    save_blend(blend, tmp_path / "blend.json")
    again = open_blend(tmp_path / "blend.json")
    assert again.recommenders == blend.recommenders
    assert np.array_equal(again.weights, blend.weights)


@pytest.mark.parametrize("page", ["", "[]", "{}", '{"recommenders": ["vectors"], "weights": {"0": [1, 2]}}'])
def test_what_is_no_blend_is_refused(tmp_path, page):
    (tmp_path / "blend.json").write_text(page)
    with pytest.raises(ArtifactError, match="cannot be read as a blend"):
        open_blend(tmp_path / "blend.json")


def test_weights_that_do_not_fit_their_names_are_refused(tmp_path):
    page = weigh(*[(1.0, 0.25)] * BUCKETS).to_json() | {"recommenders": ["vectors"]}
    (tmp_path / "blend.json").write_text(json.dumps(page))
    with pytest.raises(ArtifactError, match="for 1 recommenders"):
        open_blend(tmp_path / "blend.json")


def test_those_whom_a_heuristic_cannot_reach_are_not_in_its_list(retriever, graph):
    """Else its random rest would stand before what the vectors know."""
    blend = weigh(*[(1.0, 4.0)] * BUCKETS)
    lonely = np.flatnonzero(graph.target.adjacency.degrees() == 0)
    assert len(lonely)
    found = blended(retriever, blend, graph, depth=200, seed=0).search(lonely, k=10)
    assert np.array_equal(found.rows, retriever.search(lonely, k=10).rows)


def test_no_queries_get_no_lists(retriever, graph):
    alike = blended(retriever, weigh(*[(1.0, 1.0)] * BUCKETS), graph, depth=20, seed=0)
    assert alike.search(np.empty(0, np.int64), k=3).rows.shape == (0, 3)


@pytest.mark.parametrize("k", [0, -1])
def test_lists_without_places_are_refused(retriever, graph, k):
    with pytest.raises(RetrievalError, match="at least one place"):
        blended(retriever, weigh(*[(1.0, 1.0)] * BUCKETS), graph, depth=20, seed=0).search(np.array([3]), k=k)


def test_rows_that_are_not_in_the_graph_are_refused(retriever, graph):
    with pytest.raises(RetrievalError, match="rows of the graph"):
        blended(retriever, weigh(*[(1.0, 1.0)] * BUCKETS), graph, depth=20, seed=0).search(np.array([10**6]), k=3)
