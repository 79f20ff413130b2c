"""Interests are softmax means of what is before each place, and of nothing else."""

import torch

from amity.encoder.interests import InterestPooling


def test_an_interest_is_the_softmax_mean_of_every_beginning():
    generator = torch.Generator().manual_seed(0)
    pooling, states = InterestPooling(6, interests=3, generator=generator), torch.randn(2, 7, 6, generator=generator)
    idle = torch.tensor([[True, True, False, False, False, False, False], [False] * 7])
    found = pooling(states, idle)
    scores = torch.tanh(states @ pooling.inner) @ pooling.outer
    for user, first in ((0, 2), (1, 0)):
        for place in range(first, 7):
            seen = slice(first, place + 1)
            weights = scores[user, seen].softmax(0)
            torch.testing.assert_close(found[user, place], weights.T @ states[user, seen])


def test_where_nothing_was_taken_there_is_nothing_and_the_gradient_is_finite():
    generator = torch.Generator().manual_seed(0)
    pooling, states = InterestPooling(4, interests=2, generator=generator), torch.randn(1, 5, 4, requires_grad=True)
    idle = torch.tensor([[True, True, False, False, False]])
    found = pooling(states, idle)
    assert (found[0, :2] == 0).all()
    found.square().sum().backward()
    assert states.grad.isfinite().all()
    assert (states.grad[0, :2] == 0).all()


def test_scores_far_apart_do_not_overflow():
    pooling = InterestPooling(4, interests=2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pooling.outer *= 50
    assert pooling(100 * torch.randn(3, 40, 4), torch.zeros(3, 40, dtype=torch.bool)).isfinite().all()


def test_what_comes_later_plays_no_part_however_high_it_scores():
    """A largest score for a whole history would drown its beginning."""
    pooling, states = InterestPooling(4, interests=2, generator=torch.Generator().manual_seed(0)), torch.randn(1, 6, 4)
    with torch.no_grad():
        pooling.outer *= 1000
    idle = torch.zeros(1, 6, dtype=torch.bool)
    for length in range(1, 6):
        torch.testing.assert_close(pooling(states, idle)[:, :length], pooling(states[:, :length], idle[:, :length]))
