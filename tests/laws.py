"""Laws that every objective obeys, whatever it is for."""

from collections.abc import Callable

import torch
from torch import Tensor

from amity.objectives import ViewsConfig

EVERYWHERE = ViewsConfig(share=1.0, every=1, retrieval_is_first=False)
"""Every objective at every step looks at all seeds, in two views apart from the retrieval pass."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""Two tensors of as many rows, row by row about the same node, to a scalar."""


def is_one_finite_number(objective: Objective, first: Tensor, second: Tensor) -> None:
    """A loss is a scalar, and neither infinite nor undefined."""
    loss = objective(first, second)
    assert loss.shape == ()
    assert loss.isfinite()


def ignores_order(objective: Objective, first: Tensor, second: Tensor) -> None:
    """It does not matter in which order the nodes of a batch stand."""
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(objective(first[order], second[order]), objective(first, second))


def has_true_gradients(objective: Objective, first: Tensor, second: Tensor) -> None:
    """The gradients are finite differences."""
    inputs = [tensor.double().requires_grad_() for tensor in (first, second)]
    assert torch.autograd.gradcheck(objective, inputs)


def learns(objective: Objective, first: Tensor, second: Tensor) -> None:
    """A small step against the gradient lowers the loss."""
    inputs = [tensor.double().requires_grad_() for tensor in (first, second)]
    loss = objective(*inputs)
    gradients = torch.autograd.grad(loss, inputs)
    stepped = [tensor - 1e-4 * gradient for tensor, gradient in zip(inputs, gradients, strict=True)]
    assert objective(*stepped) < loss


def is_a_function_of_its_inputs(objective: Objective, first: Tensor, second: Tensor) -> None:
    """The same inputs give the same loss, they are left as they were, and nothing is drawn from global state."""
    before = first.clone(), second.clone()
    state = torch.get_rng_state()
    assert torch.equal(objective(first, second), objective(first, second))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])


OBJECTIVE_LAWS = (is_one_finite_number, ignores_order, has_true_gradients, learns, is_a_function_of_its_inputs)
