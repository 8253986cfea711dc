"""Norms against torch's own, in every memory order, with and without gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust.norms import ORDERS, norm


def vectors(strided: bool) -> Tensor:
    v = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return v.mT.contiguous().mT if strided else v


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_norm_equals_torchs(order: str, strided: bool) -> None:
    v = vectors(strided)
    expected = torch.linalg.vector_norm(v, ord=ORDERS[order], dim=-1)
    torch.testing.assert_close(norm(v, order), expected)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_norm_gradient_equals_torchs(order: str, strided: bool) -> None:
    weights = torch.arange(15, dtype=torch.float64).view(3, 5)
    gradients = []
    for length in (
        lambda v: norm(v, order),
        lambda v: torch.linalg.vector_norm(v, ord=ORDERS[order], dim=-1),
    ):
        v = vectors(strided).requires_grad_()
        gradients.append(torch.autograd.grad((length(v) * weights).sum(), v)[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_norm_gradient_at_zero_is_zero(order: str, strided: bool) -> None:
    v = torch.zeros_like(vectors(strided)).requires_grad_()
    (gradient,) = torch.autograd.grad(norm(v, order).sum(), v)
    assert torch.equal(gradient, torch.zeros_like(v))


@pytest.mark.parametrize("order", ORDERS)
def test_norm_shows_what_is_not_a_number(order: str) -> None:
    v = vectors(strided=True)
    v[0, 0, 3] = float("nan")
    assert norm(v, order)[0, 0].isnan()
