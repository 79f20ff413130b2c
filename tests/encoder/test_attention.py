"""Attention against GATConv of PyTorch Geometric, forward and gradients, and its laws."""

import numba
import numpy as np
import pytest
import torch
from torch_geometric.nn import GATConv

from amity.encoder.aggregation import Edges
from amity.encoder.attention import attend


def random_edges(targets: int, sources: int, *, most: int, seed: int, first: int = 0) -> Edges:
    """Up to `most` sources a target, none below `first`, never the target itself; some targets without any."""
    rng = np.random.default_rng(seed)
    rows = [np.setdiff1d(rng.integers(first, sources, rng.integers(0, most + 1)), [row]) for row in range(targets)]
    indptr = np.append(0, np.cumsum([len(row) for row in rows]))
    indices = np.concatenate(rows).astype(np.int32)
    return Edges(indptr, indices, np.ones(targets, np.float32), np.ones(sources, np.float32))


def coordinates(edges: Edges) -> torch.Tensor:
    rows = np.repeat(np.arange(len(edges.counts)), edges.counts)
    return torch.from_numpy(np.stack([edges.indices, rows]).astype(np.int64))


@pytest.mark.parametrize(("heads", "seed"), [(1, 0), (4, 1), (8, 2)])
def test_attention_is_gatconv_forward_and_all_gradients(heads: int, seed: int):
    torch.manual_seed(seed)
    edges = random_edges(60, 150, most=12, seed=seed)
    assert (edges.counts == 0).any()
    oracle = GATConv(24, 32 // heads, heads=heads, bias=False)
    weight = oracle.lin.weight.detach().clone().requires_grad_()
    attention = torch.stack([oracle.att_src[0], oracle.att_dst[0]]).detach().requires_grad_()
    states = torch.randn(150, 24)
    ours, theirs = states.clone().requires_grad_(), states.clone().requires_grad_()
    found = attend(ours[:60] @ weight.T, ours @ weight.T, attention, edges)
    wanted = oracle((theirs, theirs[:60]), coordinates(edges))
    gradient = torch.randn_like(wanted)
    found.backward(gradient)
    wanted.backward(gradient)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight.grad, oracle.lin.weight.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(attention.grad[0], oracle.att_src.grad[0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(attention.grad[1], oracle.att_dst.grad[0], rtol=1e-5, atol=1e-4)


def test_targets_need_not_stand_among_the_sources():
    torch.manual_seed(3)
    edges = random_edges(10, 40, most=6, seed=3, first=10)
    apart = Edges(edges.indptr, edges.indices - 10, edges.target_degrees, edges.source_degrees[10:])
    states, attention = torch.randn(40, 8), torch.randn(2, 2, 4)
    together = attend(states[:10], states, attention, edges)
    torch.testing.assert_close(attend(states[:10], states[10:], attention, apart), together, rtol=0, atol=0)


def test_gradients_are_finite_differences():
    torch.manual_seed(4)
    edges = random_edges(5, 9, most=4, seed=4)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 6), (9, 6), (2, 2, 3))]
    assert torch.autograd.gradcheck(lambda t, s, a: attend(t, s, a, edges), inputs)


def test_a_target_that_hears_nobody_keeps_its_own_state():
    edges = Edges(np.zeros(4, np.int64), np.empty(0, np.int32), np.zeros(3, np.float32), np.zeros(5, np.float32))
    targets = torch.randn(3, 8)
    torch.testing.assert_close(attend(targets, torch.randn(5, 8), torch.randn(2, 2, 4), edges), targets)


def test_without_attention_vectors_it_is_the_mean_over_neighbours_and_itself():
    edges = random_edges(20, 30, most=5, seed=5)
    states = torch.randn(30, 8)
    heard = attend(states[:20], states, torch.zeros(2, 2, 4), edges)
    for row in range(20):
        positions = [row, *edges.indices[edges.indptr[row] : edges.indptr[row + 1]]]
        torch.testing.assert_close(heard[row], states[positions].mean(0))


def test_the_order_of_neighbours_does_not_matter():
    edges = random_edges(15, 25, most=6, seed=6)
    turned = edges.indices.copy()
    for row in range(15):
        turned[edges.indptr[row] : edges.indptr[row + 1]] = turned[edges.indptr[row] : edges.indptr[row + 1]][::-1]
    states, attention = torch.randn(25, 8), torch.randn(2, 2, 4)
    other = Edges(edges.indptr, turned, edges.target_degrees, edges.source_degrees)
    torch.testing.assert_close(
        attend(states[:15], states, attention, edges), attend(states[:15], states, attention, other)
    )


def test_large_logits_do_not_overflow():
    edges = random_edges(15, 25, most=6, seed=7)
    states = torch.randn(25, 8) * 1e4
    assert attend(states[:15], states, torch.randn(2, 2, 4) * 100, edges).isfinite().all()


def test_result_and_gradients_are_bitwise_the_same_for_any_number_of_threads():
    torch.manual_seed(8)
    edges = random_edges(300, 900, most=15, seed=8)
    states, attention = torch.randn(900, 32), torch.randn(2, 4, 8)
    threads, results = numba.get_num_threads(), []
    for count in (1, threads):
        numba.set_num_threads(count)
        inputs = [t.clone().requires_grad_() for t in (states[:300], states, attention)]
        heard = attend(*inputs, edges)
        heard.square().sum().backward()
        results.append([heard.detach(), *(t.grad for t in inputs)])
    numba.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
