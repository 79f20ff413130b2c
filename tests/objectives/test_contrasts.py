"""GRACE, BGRL, Barlow Twins, uniformity and XSimGCL against loops and other libraries, and what is theirs alone."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from amity.objectives import barlow_twins_loss, bgrl_loss, grace_loss, uniformity_loss, xsimgcl_loss


def views(seed: int = 0, nodes: int = 9, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(nodes, dim))
    return first, first + 0.5 * rng.normal(size=(nodes, dim))


def tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(array) for array in arrays)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def grace_by_the_book(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equations 1 and 2, one node at a time."""
    total = 0.0
    for u, v in ((unit(first), unit(second)), (unit(second), unit(first))):
        for i in range(len(u)):
            pairs = [np.exp(u[i] @ v[k] / temperature) for k in range(len(v))]
            same_view = [np.exp(u[i] @ u[k] / temperature) for k in range(len(u)) if k != i]
            total -= np.log(pairs[i] / (sum(pairs) + sum(same_view)))
    return total / (2 * len(first))


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_grace_is_equations_1_and_2_term_by_term(temperature):
    first, second = views()
    found = grace_loss(*tensors(first, second), temperature=temperature)
    assert float(found) == pytest.approx(grace_by_the_book(first, second, temperature), rel=1e-9)


def test_grace_takes_either_view_for_the_first():
    first, second = tensors(*views())
    torch.testing.assert_close(grace_loss(first, second), grace_loss(second, first))


def test_xsimgcl_is_a_softmax_over_the_other_layer_term_by_term():
    first, second = views()
    u, v = unit(first), unit(second)
    wanted = np.mean([-np.log(np.exp(u[i] @ v[i] / 0.2) / np.exp(u[i] @ v.T / 0.2).sum()) for i in range(len(u))])
    assert float(xsimgcl_loss(*tensors(first, second))) == pytest.approx(wanted, rel=1e-9)


def test_barlow_twins_is_made_of_correlations_across_the_views():
    first, second = views(nodes=200)
    correlations = np.corrcoef(first.T, second.T)[:4, 4:]
    off = (correlations**2).sum() - (np.diag(correlations) ** 2).sum()
    wanted = (((1 - np.diag(correlations)) ** 2).sum() + 0.3 * off) / 4
    assert float(barlow_twins_loss(*tensors(first, second), decorrelation=0.3)) == pytest.approx(wanted, rel=1e-4)


def test_barlow_twins_is_zero_for_equal_views_of_uncorrelated_features():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(barlow_twins_loss(signs, signs, decorrelation=1.0)) == pytest.approx(0, abs=1e-9)


def test_bgrl_is_the_squared_distance_of_unit_vectors_and_sees_directions_alone():
    first, second = views()
    wanted = np.mean(((unit(first) - unit(second)) ** 2).sum(1))
    assert float(bgrl_loss(*tensors(first, second))) == pytest.approx(wanted, rel=1e-9)
    torch.testing.assert_close(bgrl_loss(*tensors(3 * first, 5 * second)), bgrl_loss(*tensors(first, second)))


def test_uniformity_is_the_mean_over_pairs_that_scipy_finds():
    first, _ = views()
    wanted = np.log(np.mean(np.exp(-2 * pdist(unit(first), "sqeuclidean"))))
    assert float(uniformity_loss(*tensors(first))) == pytest.approx(wanted, rel=1e-9)


def test_uniformity_is_zero_where_all_stand_at_one_place_and_less_where_they_spread():
    one_place = torch.ones(6, 3)
    assert float(uniformity_loss(one_place)) == pytest.approx(0, abs=1e-6)
    assert uniformity_loss(torch.eye(3)) < uniformity_loss(torch.eye(3) + 1) < 0


def test_one_node_alone_has_a_uniformity_of_zero_and_is_not_moved():
    alone = torch.ones(1, 3, requires_grad=True)
    uniformity_loss(alone).backward()
    assert float(uniformity_loss(alone).detach()) == 0
    assert alone.grad.tolist() == [[0, 0, 0]]
