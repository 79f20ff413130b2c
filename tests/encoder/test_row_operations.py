"""The operations of torch that other devices compute with, against the kernels: here on the CPU, both can run."""

import numpy as np
import pytest
import torch

from amity.encoder import aggregation, row_kernels, row_operations
from amity.encoder.attention import attend
from amity.encoder.edges import Edges

HEADS, WIDTH, TARGETS, SOURCES = 4, 6, 20, 50


@pytest.fixture
def edges() -> Edges:
    """Some targets hear nobody, some sources are heard by nobody."""
    rng = np.random.default_rng(0)
    counts = np.where(np.arange(TARGETS) % 4 == 3, 0, rng.integers(0, 9, TARGETS))
    indices = rng.integers(0, SOURCES - 5, counts.sum()).astype(np.int32)
    indptr = np.append(0, np.cumsum(counts))
    return Edges(indptr, indices, np.ones(TARGETS, np.float32), np.ones(SOURCES, np.float32))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("groups", [1, HEADS])
def test_sums_and_dot_products_agree(edges: Edges, groups: int):
    weights, values = random(len(edges.indices), HEADS), random(SOURCES, groups * WIDTH)
    gradient, sums = random(HEADS, TARGETS, WIDTH), [random(SOURCES, groups * WIDTH) for _ in range(2)]
    found, wanted = (m.sum_rows(edges, weights, values, groups=groups) for m in (row_operations, row_kernels))
    torch.testing.assert_close(found, wanted)
    for module, total in zip((row_operations, row_kernels), sums, strict=True):
        module.add_transposed(edges, weights, gradient, total)
    torch.testing.assert_close(*sums)
    torch.testing.assert_close(*(m.dot_edges(edges, gradient, values) for m in (row_operations, row_kernels)))


def test_dot_products_do_not_depend_on_how_many_are_gathered_at_once(edges: Edges, monkeypatch):
    gradient, values = random(HEADS, TARGETS, WIDTH), random(SOURCES, WIDTH)
    whole = row_operations.dot_edges(edges, gradient, values)
    monkeypatch.setattr(row_operations, "GATHERED", 7 * WIDTH)
    assert torch.equal(row_operations.dot_edges(edges, gradient, values), whole)


@pytest.mark.parametrize("groups", [1, HEADS])
def test_weights_sums_and_their_gradients_agree(edges: Edges, groups: int):
    logits, values = (random(SOURCES, HEADS), random(TARGETS, HEADS)), random(SOURCES, groups * WIDTH)
    found, wanted = (m.weigh_rows(edges, logits, values, groups=groups) for m in (row_operations, row_kernels))
    torch.testing.assert_close(found, wanted)
    weights, gradient = wanted[0], random(len(edges.indices), HEADS)
    gradients = (m.softmax_gradient(edges, logits, weights, gradient) for m in (row_operations, row_kernels))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("groups", [1, HEADS])
def test_attention_by_operations_is_attention_by_kernels(edges: Edges, groups: int, monkeypatch):
    results = []
    for operations in (row_kernels, row_operations):
        monkeypatch.setattr("amity.encoder.attention.operations", lambda _, chosen=operations: chosen)
        inputs = [random(SOURCES, HEADS * WIDTH).requires_grad_(), random(HEADS * WIDTH, 2 * HEADS).requires_grad_()]
        heard = attend(*inputs, edges, groups=groups)
        heard.square().sum().backward()
        results.append([heard.detach(), *(tensor.grad for tensor in inputs)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_sums_and_attention_are_the_same_on_a_gpu(edges: Edges):
    values, logits = random(SOURCES, HEADS * WIDTH), random(HEADS * WIDTH, 2 * HEADS)
    weights, results = random(len(edges.indices), 1), []
    for device in ("cpu", "cuda"):
        inputs = [tensor.detach().to(device).requires_grad_() for tensor in (values, logits)]
        sums = aggregation.weighted_sums(inputs[0], weights.to(device), edges)
        heard = attend(*inputs, edges, groups=1)
        (heard.square().sum() + sums.square().sum()).backward()
        results.append([sums.detach().cpu(), heard.detach().cpu(), *(tensor.grad.cpu() for tensor in inputs)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
