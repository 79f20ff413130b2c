"""Changed states: their shorter way to a product is the product."""

import torch

from amity.encoder.states import of_rows, whole, with_rows, without_columns


def test_the_product_is_that_of_the_values_with_all_gradients():
    torch.manual_seed(0)
    matrix, token = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    values = torch.randn(9, 7, dtype=torch.float64)
    dropped, rows, results = torch.rand(7) < 0.4, torch.tensor([4, 0]), []
    for product in (lambda states, by: states.times(by), lambda states, by: states.values @ by):
        inputs = [tensor.clone().requires_grad_() for tensor in (values, matrix, token)]
        first = whole(inputs[0])
        changed = (first, without_columns(first, dropped), with_rows(first, rows, inputs[2]), of_rows(first, rows))
        products = [product(states, inputs[1]) for states in changed]
        sum((number * part**2).sum() for number, part in enumerate(products, 1)).backward()
        results.append([*products, *(tensor.grad for tensor in inputs)])
    torch.testing.assert_close(*results)


def test_no_change_is_the_states_to_the_last_bit():
    torch.manual_seed(1)
    first, matrix = whole(torch.randn(9, 7)), torch.randn(7, 5)
    for states in (
        without_columns(first, torch.zeros(7, dtype=torch.bool)),
        with_rows(first, torch.empty(0, dtype=torch.int64), torch.randn(7)),
        of_rows(first, torch.arange(9)),
    ):
        assert torch.equal(states.values, first.values)
        assert torch.equal(states.times(matrix), first.values @ matrix)


def test_a_product_that_is_asked_for_twice_is_taken_once():
    first, matrix = whole(torch.randn(9, 7)), torch.randn(7, 5)
    assert first.times(matrix) is first.times(matrix)
