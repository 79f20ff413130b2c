"""Weighted sums over neighbours against scipy, and their gradients against finite differences."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from amity.encoder.aggregation import prefixes, weighted_sums
from amity.encoder.edges import Edges


def random_edges(targets: int, sources: int, num_edges: int, seed: int) -> Edges:
    rng = np.random.default_rng(seed)
    counts = np.bincount(rng.integers(0, targets, num_edges), minlength=targets)
    indices = rng.integers(0, sources, num_edges).astype(np.int32)
    indptr = np.append(0, np.cumsum(counts))
    return Edges(indptr, indices, np.ones(targets, np.float32), np.ones(sources, np.float32))


def as_matrix(edges: Edges, weights: np.ndarray) -> csr_matrix:
    return csr_matrix((weights, edges.indices, edges.indptr), shape=(len(edges.counts), edges.num_sources))


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30), st.integers(0, 99))
def test_weighted_sums_are_sparse_matrix_products_and_so_are_their_gradients(targets, sources, num_edges, seed):
    edges = random_edges(targets, sources, num_edges, seed)
    rng = np.random.default_rng(seed)
    weights, gradient = rng.normal(size=(num_edges, 2)), rng.normal(size=(targets, 6))
    values = torch.tensor(rng.normal(size=(sources, 6)), requires_grad=True)
    sums = weighted_sums(values, torch.tensor(weights), edges)
    sums.backward(torch.tensor(gradient))
    for head, columns in enumerate((slice(0, 3), slice(3, 6))):
        matrix = as_matrix(edges, weights[:, head])
        np.testing.assert_allclose(sums.detach()[:, columns], matrix @ values.detach().numpy()[:, columns], atol=1e-12)
        np.testing.assert_allclose(values.grad[:, columns], matrix.T @ gradient[:, columns], atol=1e-12)


def test_mean_weights_make_means_of_what_is_heard_and_zero_where_nothing_is():
    edges = Edges(np.array([0, 2, 2]), np.array([0, 2], np.int32), np.ones(2, np.float32), np.ones(3, np.float32))
    values = torch.tensor([[1.0], [5.0], [3.0]])
    assert weighted_sums(values, edges.mean_weights(), edges).tolist() == [[2.0], [0.0]]


def test_with_loops_each_target_hears_itself_before_all_others():
    edges = random_edges(7, 9, 40, seed=1)
    looped = edges.with_loops
    for row in range(7):
        heard = edges.indices[edges.indptr[row] : edges.indptr[row + 1]]
        assert looped.indices[looped.indptr[row] : looped.indptr[row + 1]].tolist() == [row, *heard]


def test_prefixes_have_the_gradient_of_slices():
    torch.manual_seed(0)
    ours, theirs = (torch.arange(12.0).reshape(6, 2).requires_grad_() for _ in range(2))
    factors = torch.randn(6, 2), torch.randn(4, 2), torch.randn(1, 2)
    sum((part * factor).sum() for part, factor in zip(prefixes(ours, 4, 1), factors, strict=True)).backward()
    sum(
        (part * factor).sum() for part, factor in zip((theirs, theirs[:4], theirs[:1]), factors, strict=True)
    ).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
