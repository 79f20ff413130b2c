"""Laws that every kind of index obeys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.errors import IndexingError, RetrievalError
from amity.graph import from_pairs
from amity.graph.adjacency import Adjacency
from amity.index import HnswConfig, IndexConfig, IvfConfig, IvfpqConfig, build_index, building, nothing_excluded

KINDS = {
    "exact": IndexConfig(kind="exact"),
    "hnsw": IndexConfig(kind="hnsw", target_recall=0, hnsw=HnswConfig(m=8, ef_construction=40, ef_search=16)),
    "ivf": IndexConfig(kind="ivf", target_recall=0, ivf=IvfConfig(list_size=20, probes=2)),
    "ivfpq": IndexConfig(kind="ivfpq", target_recall=0, ivfpq=IvfpqConfig(list_size=20, code_bytes=4, probes=2)),
}


@pytest.fixture(params=KINDS, scope="module")
def config(request) -> IndexConfig:
    return KINDS[request.param]


@st.composite
def problems(draw):
    """Vectors of different norms (some repeated), queries, and for each query some that it must not get."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, dim, num_queries = draw(st.integers(1, 300)), draw(st.integers(1, 12)), draw(st.integers(1, 6))
    vectors = rng.standard_normal((size, dim)).astype(np.float32)
    if draw(st.booleans()):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if draw(st.booleans()):
        vectors = vectors.astype(np.float16)
    if draw(st.booleans()):
        vectors = vectors[rng.integers(0, max(1, size // 4), size)]
    shares = draw(st.lists(st.sampled_from([0.0, 0.1, 0.9, 1.0]), min_size=num_queries, max_size=num_queries))
    barred = rng.random((num_queries, size)) < np.array(shares)[:, None]
    rows, positions = np.nonzero(barred)
    starts = np.searchsorted(rows, np.arange(num_queries + 1))
    queries = rng.standard_normal((num_queries, dim)).astype(np.float32)
    return vectors, queries, barred, Adjacency(starts.astype(np.int64), positions.astype(np.int32))


def true_scores(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)


def clustered(size: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((20, dim))
    return (centers[rng.integers(0, 20, size)] + 0.5 * rng.standard_normal((size, dim))).astype(np.float32)


@settings(max_examples=25)
@given(problem=problems(), k=st.integers(1, 400))
def test_lists_are_complete_sorted_distinct_and_without_the_excluded(config, problem, k):
    vectors, queries, barred, excluded = problem
    hits = build_index(vectors, config, seed=1).search(queries, k=k, excluded=excluded)
    scores = true_scores(queries, vectors)
    assert hits.rows.shape == hits.scores.shape == (len(queries), k)
    for q, (rows, found) in enumerate(zip(hits.rows, hits.scores, strict=True)):
        size = min(k, int((~barred[q]).sum()))
        assert (rows[:size] >= 0).all()
        assert (rows[size:] == -1).all()
        assert (found[size:] == -np.inf).all()
        assert len(set(rows[:size])) == size
        assert not barred[q][rows[:size]].any()
        assert (np.diff(found[:size]) <= 0).all()
        np.testing.assert_allclose(found[:size], scores[q][rows[:size]], rtol=1e-6, atol=1e-7)


def test_a_hub_that_knows_nearly_everybody_gets_everybody_left(config):
    vectors = clustered(2000, 8)
    left = np.array([17, 400, 1999])
    barred = np.setdiff1d(np.arange(2000), left)
    excluded = from_pairs(np.zeros(len(barred), np.int64), barred, num_nodes=2000)
    excluded = Adjacency(excluded.indptr[[0, 1, 1]], excluded.indices)
    hits = build_index(vectors, config, seed=0).search(vectors[:2], k=5, excluded=excluded)
    assert set(hits.rows[0]) == {*left, -1}
    assert (hits.rows[1] >= 0).all()


def test_a_query_gets_the_same_list_alone_and_in_company(config):
    vectors = clustered(1500, 10)
    index = build_index(vectors, config, seed=0)
    names = np.arange(40) + 7
    excluded = from_pairs(np.arange(40), np.arange(40), num_nodes=40)
    together = index.search(vectors[:40], k=12, excluded=excluded, names=names)
    for q in (0, 13, 39):
        own = Adjacency(np.array([0, 1]), np.array([q]))
        alone = index.search(vectors[q : q + 1], k=12, excluded=own, names=names[q : q + 1])
        np.testing.assert_array_equal(alone.rows[0], together.rows[q])
        np.testing.assert_array_equal(alone.scores[0], together.scores[q])


def test_vectors_in_half_precision_get_the_lists_of_the_same_numbers_in_single(config):
    halves = clustered(1500, 10).astype(np.float16)
    halves[0, :3] = 0, 6e-8, -65504
    first, second = (
        build_index(vectors, config, seed=3).search(halves[:50], k=20, excluded=nothing_excluded(50))
        for vectors in (halves, halves.astype(np.float32))
    )
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_the_same_vectors_and_seed_give_the_same_lists(config):
    vectors = clustered(1500, 10)
    queries = clustered(50, 10, seed=1)
    first, second = (
        build_index(vectors, config, seed=3).search(queries, k=20, excluded=nothing_excluded(50)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.rows, second.rows)


@pytest.mark.parametrize("norms", ["equal", "lognormal"])
@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_an_approximate_index_finds_nearly_all_by_inner_product(kind, norms):
    vectors = clustered(3000, 16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if norms == "lognormal":
        vectors *= np.random.default_rng(5).lognormal(sigma=0.7, size=(3000, 1)).astype(np.float32)
    queries = vectors[np.random.default_rng(1).choice(3000, 200)] + 0.2 * clustered(200, 16, seed=9)
    sections = {"hnsw": HnswConfig(ef_search=400), "ivfpq": IvfpqConfig(code_bytes=16)}
    index = build_index(vectors, IndexConfig(kind=kind, target_recall=0, **sections), seed=0)
    hits = index.search(queries, k=20, excluded=nothing_excluded(200))
    truth = np.argsort(-true_scores(queries, vectors), axis=1)[:, :20]
    recall = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(hits.rows, truth, strict=True)])
    assert recall > 0.95
    assert index.recall > 0.95


@settings(max_examples=10)
@given(value=st.floats(-3, 3, width=32), size=st.integers(700, 900), dim=st.integers(1, 33))
def test_constant_vectors_get_lists_at_chance_level(config, value, size, dim):
    vectors = np.full((size, dim), value, np.float32)
    num_queries, k = 200, 20
    index = build_index(vectors, config, seed=4)
    hits = index.search(np.ones((num_queries, dim), np.float32), k=k, excluded=nothing_excluded(num_queries))
    counts = np.bincount(hits.rows.ravel(), minlength=size)
    expected = num_queries * k / size
    statistic = ((counts - expected) ** 2 / expected).sum() / (1 - k / size)
    assert abs(statistic - (size - 1)) < 6 * np.sqrt(2 * (size - 1))


@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        (np.empty((0, 4), np.float32), "at least one candidate"),
        (np.array([[1.0, np.nan]], np.float32), "finite"),
        (np.array([[1.0, np.inf]], np.float32), "finite"),
        (np.full((3, 2), 1e30, np.float32), "norm"),
        (np.array([[1.0, np.inf], [1, 1]], np.float16), "finite"),
        (np.array([[1.0, np.nan], [1, 1]], np.float16), "finite"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(config, vectors, what):
    with pytest.raises(IndexingError, match=what):
        build_index(vectors, config, seed=0)


@pytest.mark.parametrize(
    ("queries", "k", "what"),
    [
        (np.zeros((2, 3), np.float32), 0, "k is 0"),
        (np.zeros((2, 4), np.float32), 1, "3 numbers"),
        (np.full((2, 3), np.nan, np.float32), 1, "2 of 2"),
        (np.array([[1, 2, 3], [1, 1e30, 3]], np.float32), 1, "1 of 2 .* beyond 1e"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(config, queries, k, what):
    index = build_index(clustered(300, 3), config, seed=0)
    with pytest.raises(RetrievalError, match=what):
        index.search(queries, k=k, excluded=nothing_excluded(2))


def test_an_index_below_its_target_is_refused_with_what_to_raise():
    vectors = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    poor = IvfpqConfig(list_size=20, code_bytes=1, probes=1, rerank=1)
    with pytest.raises(IndexingError, match=r"finds \d+\.\d% .*probes \(1\)"):
        build_index(vectors, IndexConfig(kind="ivfpq", ivfpq=poor), seed=0)
    poor = HnswConfig(m=2, ef_construction=1, ef_search=1)
    with pytest.raises(IndexingError, match=r"ef_search \(1\)"):
        build_index(vectors, IndexConfig(kind="hnsw", hnsw=poor, target_recall=0.999), seed=0)


def test_auto_is_exact_for_few_and_for_many_reads_lists_until_it_finds_its_target(monkeypatch):
    vectors = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    assert build_index(vectors, IndexConfig(), seed=0).recall == 1
    monkeypatch.setattr(building, "EXACT_UP_TO", 3999)
    config = IndexConfig(target_recall=0.9, ivfpq=IvfpqConfig(probes=1, list_size=20))
    assert config.kind_for(3999) == "exact"
    assert config.kind_for(4000) == "ivfpq"
    index = build_index(vectors, config, seed=0)
    assert index.recall >= 0.9
    assert index.config.probes > 1
    with pytest.raises(IndexingError, match=r"probes \(1\)"):
        build_index(vectors, config.model_copy(update={"kind": "ivfpq"}), seed=0)
    coarse = IndexConfig(target_recall=0.9, ivfpq=IvfpqConfig(probes=1, list_size=20, code_bytes=1, rerank=1))
    with pytest.raises(IndexingError, match=r"Raise one of index\.ivfpq\.rerank \(1\), index\.ivfpq\.code_"):
        build_index(vectors, coarse, seed=0)


def test_one_candidate_and_no_queries_are_no_special_case(config):
    index = build_index(np.ones((1, 3), np.float32), config, seed=0)
    assert index.search(np.ones((1, 3), np.float32), k=2, excluded=nothing_excluded(1)).rows.tolist() == [[0, -1]]
    assert index.search(np.ones((0, 3), np.float32), k=2, excluded=nothing_excluded(0)).rows.shape == (0, 2)


def test_twins_of_the_last_place_are_drawn_by_lot_and_not_by_order(config):
    vectors = clustered(2000, 6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[1000:] = vectors[0]
    index = build_index(vectors, config, seed=0)
    queries = np.repeat(vectors[:1], 300, axis=0)
    rows = index.search(queries, k=4, excluded=nothing_excluded(300)).rows
    twins = rows[(rows >= 1000) | (rows == 0)]
    assert len(np.unique(twins)) > 500
    assert 1450 < twins.mean() < 1550
