"""Attention against GATConv of PyTorch Geometric, forward and gradients, and its laws."""

import numba
import numpy as np
import pytest
import torch
from torch_geometric.nn import GATConv

from amity.encoder.attention import attend
from amity.encoder.edges import Edges


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


def projection(attention: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """What `attend` takes for a_src and a_dst of each head; with W, for states that it is not applied to yet."""
    blocks = torch.cat([torch.block_diag(*vectors).T for vectors in attention], dim=1)
    return blocks if weight is None else weight @ blocks


def side_by_side(heads: torch.Tensor) -> torch.Tensor:
    return heads.transpose(0, 1).flatten(1)


def transform_first(states: torch.Tensor, weight: torch.Tensor, attention: torch.Tensor, edges: Edges) -> torch.Tensor:
    return side_by_side(attend(states @ weight, projection(attention), edges, groups=attention.shape[1]))


def transform_last(states: torch.Tensor, weight: torch.Tensor, attention: torch.Tensor, edges: Edges) -> torch.Tensor:
    heard = attend(states, projection(attention, weight), edges, groups=1)
    return side_by_side(heard @ weight.unflatten(1, (attention.shape[1], -1)).transpose(0, 1))


@pytest.mark.parametrize("ours", [transform_first, transform_last])
@pytest.mark.parametrize(("heads", "seed"), [(1, 0), (4, 1), (8, 2)])
def test_attention_is_gatconv_forward_and_all_gradients(ours, heads: int, seed: int):
    torch.manual_seed(seed)
    edges = random_edges(60, 150, most=12, seed=seed)
    assert (edges.counts == 0).any()
    oracle = GATConv(24, 32 // heads, heads=heads, bias=False)
    weight = oracle.lin.weight.detach().T.clone().requires_grad_()
    attention = torch.stack([oracle.att_src[0], oracle.att_dst[0]]).detach().requires_grad_()
    states = torch.randn(150, 24)
    theirs = states.clone().requires_grad_()
    states.requires_grad_()
    found = ours(states, weight, attention, edges)
    wanted = oracle((theirs, theirs[:60]), coordinates(edges))
    gradient = torch.randn_like(wanted)
    found.backward(gradient)
    wanted.backward(gradient)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(states.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight.grad.T, oracle.lin.weight.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(attention.grad[0], oracle.att_src.grad[0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(attention.grad[1], oracle.att_dst.grad[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_are_finite_differences(groups: int):
    torch.manual_seed(4)
    edges = random_edges(5, 9, most=4, seed=4)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((9, 6), (6, 4))]
    assert torch.autograd.gradcheck(lambda v, p: attend(v, p, edges, groups=groups), inputs)


def test_a_target_that_hears_nobody_keeps_its_own_state():
    edges = Edges(np.zeros(4, np.int64), np.empty(0, np.int32), np.zeros(3, np.float32), np.zeros(5, np.float32))
    states = torch.randn(5, 8)
    torch.testing.assert_close(side_by_side(attend(states, torch.randn(8, 4), edges, groups=2)), states[:3])


def test_without_attention_vectors_it_is_the_mean_over_neighbours_and_itself():
    edges = random_edges(20, 30, most=5, seed=5)
    states = torch.randn(30, 8)
    (heard,) = attend(states, torch.zeros(8, 2), edges, groups=1)
    for row in range(20):
        positions = [row, *edges.indices[edges.indptr[row] : edges.indptr[row + 1]]]
        torch.testing.assert_close(heard[row], states[positions].mean(0))


def test_the_order_of_neighbours_does_not_matter():
    edges = random_edges(15, 25, most=6, seed=6)
    turned = edges.indices.copy()
    for row in range(15):
        turned[edges.indptr[row] : edges.indptr[row + 1]] = turned[edges.indptr[row] : edges.indptr[row + 1]][::-1]
    states, logits = torch.randn(25, 8), torch.randn(8, 4)
    other = Edges(edges.indptr, turned, edges.target_degrees, edges.source_degrees)
    torch.testing.assert_close(attend(states, logits, edges, groups=2), attend(states, logits, other, groups=2))


def test_large_logits_do_not_overflow():
    edges = random_edges(15, 25, most=6, seed=7)
    assert attend(torch.randn(25, 8) * 1e4, torch.randn(8, 4) * 100, edges, groups=2).isfinite().all()


@pytest.mark.parametrize("groups", [1, 4])
def test_result_and_gradients_are_bitwise_the_same_for_any_number_of_threads(groups: int):
    torch.manual_seed(8)
    edges = random_edges(300, 900, most=15, seed=8)
    states, logits = torch.randn(900, 128), torch.randn(128, 8)
    threads, results = numba.get_num_threads(), []
    for count in (1, threads):
        numba.set_num_threads(count)
        inputs = [t.clone().requires_grad_() for t in (states, logits)]
        heard = attend(*inputs, edges, groups=groups)
        heard.square().sum().backward()
        results.append([heard.detach(), *(t.grad for t in inputs)])
    numba.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
