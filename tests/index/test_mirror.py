"""Exact search with the help of a device, held against the kernels on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.graph import Adjacency
from amity.index import mirror, nothing_excluded
from amity.index.exact import ExactIndex, exact_index
from amity.index.mirror import best_by_mirror, mirror_on


def with_mirror(index: ExactIndex, device: str = "cpu") -> ExactIndex:
    return replace(index, mirror=mirror_on(index.vectors, device))


def assert_same_lists(first: ExactIndex, second: ExactIndex, queries: np.ndarray, k: int, excluded: Adjacency) -> None:
    hits, others = (index.search(queries, k=k, excluded=excluded) for index in (first, second))
    np.testing.assert_array_equal(hits.rows, others.rows)
    np.testing.assert_array_equal(hits.scores, others.scores)


@settings(max_examples=40)
@given(
    size=st.integers(1, 400), dim=st.integers(1, 20), k=st.integers(1, 450), share=st.sampled_from([0, 0.1, 0.9, 1]),
    halves=st.booleans(), repeated=st.booleans(), block=st.sampled_from([1, 300, 1 << 28]), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_mirrored_index_gives_the_lists_of_the_kernels(size, dim, k, share, halves, repeated, block, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((size, dim)).astype(np.float16 if halves else np.float32)
    if repeated:
        vectors = vectors[rng.integers(0, max(1, size // 4), size)]
    queries = rng.standard_normal((7, dim)).astype(np.float32)
    askers, positions = np.nonzero(rng.random((7, size)) < share)
    excluded = Adjacency(np.searchsorted(askers, np.arange(8)), positions)
    index = exact_index(vectors, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "SCORE_BLOCK", block)
        patch.setattr(mirror, "SPARE", 5)
        assert_same_lists(with_mirror(index), index, queries, k, excluded)


def test_lists_that_stand_clear_are_proven_and_tied_ones_are_not():
    vectors = np.random.default_rng(0).standard_normal((5000, 16)).astype(np.float32)
    tied = vectors.copy()
    tied[1000:1200] = 4 * vectors[0]
    for candidates, asked, expected in ((vectors, vectors[:100], True), (tied, vectors[:1], False)):
        index = exact_index(candidates, seed=0)
        questions = index.ask(asked, k=20, excluded=nothing_excluded(len(asked)), names=None)
        device = mirror_on(candidates, "cpu")
        _, proven = best_by_mirror(questions, candidates, device, longest=index.longest, k=20)
        assert (proven == expected).all()


def test_products_of_the_device_lie_within_their_bounds():
    rng = np.random.default_rng(1)
    vectors, queries = (rng.standard_normal((n, 64)).astype(np.float32) * 1e3 for n in (2000, 50))
    longest = float(np.linalg.norm(vectors, axis=1).max())
    errors = (torch.from_numpy(queries) @ torch.from_numpy(vectors).T).double().numpy()
    errors -= queries.astype(np.float64) @ vectors.astype(np.float64).T
    assert (np.abs(errors).max(axis=1) < mirror._error_bounds(queries, longest)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_gpu_gives_the_lists_of_the_kernels(dtype):
    vectors = np.random.default_rng(0).standard_normal((20000, 32)).astype(dtype)
    queries = vectors[:300].astype(np.float32)
    excluded = Adjacency(np.arange(301), np.arange(300))
    gpu = exact_index(vectors, seed=1, device="cuda")
    assert gpu.mirror is not None
    assert_same_lists(gpu, exact_index(vectors, seed=1), queries, 100, excluded)
