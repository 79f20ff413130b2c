"""CCA-SSG against its trace form in numpy, and its laws."""

import numpy as np
import pytest
import torch

from amity.objectives import cca_ssg_loss


def trace_form(first: np.ndarray, second: np.ndarray, decorrelation: float) -> float:
    """‖Z₁ - Z₂‖² = 2 (dim - tr C₁₂) and ‖C - I‖² = Σ of squared correlations off the diagonal (2106.12484)."""
    dim = first.shape[1]
    correlations = np.corrcoef(first.T, second.T)
    across, within = correlations[:dim, dim:], (correlations[:dim, :dim], correlations[dim:, dim:])
    redundancy = sum((matrix**2).sum() - (np.diag(matrix) ** 2).sum() for matrix in within)
    return (2 * (dim - np.trace(across)) + decorrelation * redundancy) / dim


@pytest.mark.parametrize("decorrelation", [0.0, 1e-3, 1.0])
def test_it_is_the_trace_form_of_correlations(decorrelation):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    second = first + rng.normal(size=(60, 5))
    found = cca_ssg_loss(torch.tensor(first), torch.tensor(second), decorrelation=decorrelation)
    assert float(found) == pytest.approx(trace_form(first, second, decorrelation), rel=1e-4)


def test_it_is_zero_for_equal_views_of_uncorrelated_features():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(cca_ssg_loss(signs, signs, decorrelation=1.0)) == pytest.approx(0, abs=1e-9)


def test_opposite_views_are_the_worst():
    first, second = torch.randn(50, 3), torch.randn(50, 3)
    worst = cca_ssg_loss(first, -first, decorrelation=0.0)
    assert float(worst) == pytest.approx(4, rel=1e-4)
    assert cca_ssg_loss(first, second, decorrelation=0.0) < worst


def test_shifting_and_stretching_a_feature_changes_nothing():
    first, second = torch.randn(40, 3, dtype=torch.double), torch.randn(40, 3, dtype=torch.double)
    moved = cca_ssg_loss(first * torch.tensor([2.0, 30, 500]) + 7, second)
    torch.testing.assert_close(moved, cca_ssg_loss(first, second), rtol=1e-4, atol=0)


def test_collapse_to_one_feature_costs_more_than_independent_features():
    spread, column = torch.randn(200, 8), torch.randn(200, 1)
    collapsed = column.expand(200, 8)
    assert cca_ssg_loss(collapsed, collapsed) > cca_ssg_loss(spread, spread)


def test_a_dead_dimension_has_finite_gradients():
    first = torch.randn(30, 4)
    first[:, 2] = 5.0
    first.requires_grad_()
    cca_ssg_loss(first, torch.randn(30, 4)).backward()
    assert first.grad.isfinite().all()
