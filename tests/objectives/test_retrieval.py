"""The retrieval softmax against a loop in numpy, and its laws."""

import numpy as np
import pytest
import torch

from amity.objectives import retrieval_losses
from amity.objectives.retrieval import compare


def make_batch(seed: int, queries: int = 7, candidates: int = 11, dim: int = 5) -> dict:
    rng = np.random.default_rng(seed)
    positives = rng.integers(0, candidates, queries)
    masked = rng.random((queries, candidates)) < 0.3
    masked[np.arange(queries), positives] = False
    return {
        "queries": rng.normal(size=(queries, dim)),
        "candidates": rng.normal(size=(candidates, dim)),
        "positives": positives,
        "masked": masked,
        "log_rates": rng.normal(size=candidates),
    }


def loss_of(batch: dict, temperature: float = 1.0) -> torch.Tensor:
    tensors = {name: torch.as_tensor(value) for name, value in batch.items()}
    scores = tensors.pop("queries") @ tensors.pop("candidates").T / temperature
    return retrieval_losses(scores, **tensors).mean()


def by_the_book(batch: dict, temperature: float) -> float:
    """Equation 5, one row and one column at a time."""
    total = 0.0
    for query, (vector, positive) in enumerate(zip(batch["queries"], batch["positives"], strict=True)):
        good = np.exp(vector @ batch["candidates"][positive] / temperature)
        others = 0.0
        for column, candidate in enumerate(batch["candidates"]):
            if column != positive and not batch["masked"][query, column]:
                others += np.exp(vector @ candidate / temperature) / np.exp(batch["log_rates"][column])
        total -= np.log(good / (good + others))
    return total / len(batch["queries"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_it_is_equation_5_computed_term_by_term(seed, temperature):
    batch = make_batch(seed)
    assert float(loss_of(batch, temperature=temperature)) == pytest.approx(by_the_book(batch, temperature), rel=1e-9)


def test_masked_candidates_have_exactly_zero_gradient_and_no_effect():
    batch = make_batch(0)
    batch["masked"][:, 3] = True
    batch["positives"][:] = 5
    batch["masked"][:, 5] = False
    candidates = torch.tensor(batch["candidates"], requires_grad=True)
    loss_of(batch | {"candidates": candidates}).backward()
    assert (candidates.grad[3] == 0).all()
    assert (candidates.grad[5] != 0).all()
    moved = batch | {"candidates": np.where(np.arange(11)[:, None] == 3, 1e3, batch["candidates"])}
    assert float(loss_of(moved)) == float(loss_of(batch))


def test_the_positive_counts_even_where_it_is_masked():
    batch = make_batch(1)
    masked = batch["masked"].copy()
    masked[np.arange(7), batch["positives"]] = True
    assert float(loss_of(batch | {"masked": masked})) == float(loss_of(batch))


def test_logq_makes_frequent_negatives_count_as_one():
    """A negative that stands in the columns r times, corrected by log r, weighs what it weighs once."""
    rng = np.random.default_rng(2)
    queries, candidates, positives = rng.normal(size=(4, 3)), rng.normal(size=(6, 3)), np.array([0, 1, 0, 1])
    once = {"queries": queries, "candidates": candidates, "positives": positives, "masked": np.zeros((4, 6), bool)}
    often = once | {
        "candidates": np.concatenate([candidates, candidates[5:], candidates[5:]]),
        "masked": np.zeros((4, 8), bool),
        "log_rates": np.log([1.0, 1, 1, 1, 1, 3, 3, 3]),
    }
    assert float(loss_of(often)) == pytest.approx(float(loss_of(once)), rel=1e-12)


def test_it_is_the_logarithm_of_the_candidates_where_all_score_alike_and_zero_where_the_positive_wins():
    masked, positives = torch.zeros(3, 8, dtype=torch.bool), torch.tensor([0, 1, 2])
    alike = retrieval_losses(torch.zeros(3, 8), positives=positives, masked=masked)
    np.testing.assert_allclose(alike, np.log(8), rtol=1e-6)
    assert retrieval_losses(torch.eye(8)[:3] / 0.01, positives=positives, masked=masked).max() < 1e-6


def test_turning_all_vectors_together_changes_nothing():
    batch = make_batch(3)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    turned = batch | {"queries": batch["queries"] @ turn, "candidates": batch["candidates"] @ turn}
    assert float(loss_of(turned)) == pytest.approx(float(loss_of(batch)), rel=1e-9)


@pytest.mark.parametrize("prompts", [1, 3])
def test_a_candidate_meets_what_its_own_cluster_is_asked_with(prompts: int):
    torch.manual_seed(0)
    asking, candidates, clusters = (
        torch.randn(prompts, 5, 4),
        torch.randn(9, 4),
        torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2]),
    )
    found = compare(asking, candidates, clusters)
    for query in range(5):
        for column in range(9):
            own = asking[clusters[column] if prompts > 1 else 0, query]
            assert float(found[query, column]) == pytest.approx(float(own @ candidates[column]), rel=1e-5)
