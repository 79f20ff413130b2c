"""Shapes stand in the signatures, and tests check them."""

import jaxtyping
import pytest
import torch

from amity.objectives import cca_ssg_loss


def test_arguments_whose_axes_do_not_fit_are_caught_while_testing():
    with pytest.raises(jaxtyping.TypeCheckError):
        cca_ssg_loss(torch.zeros(20, 4), torch.zeros(20, 5))


def test_arguments_of_another_dtype_are_caught_while_testing():
    with pytest.raises(jaxtyping.TypeCheckError):
        cca_ssg_loss(torch.zeros(20, 4, dtype=torch.int64), torch.zeros(20, 4, dtype=torch.int64))
