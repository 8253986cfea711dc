"""Rows of a table whose gradients are added in order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust import defenses, rows
from robust.bounds.rub import mlp
from robust.rows import select_rows
from tests.robust.helpers import random_batch
from tests.robust.small_training import fresh


@pytest.fixture(params=["torch's own", "in sorted order"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of collecting gradients, on a CPU."""
    monkeypatch.setattr(rows, "IN_ORDER", {"cpu"} if request.param == "torch's own" else set())
    return str(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_rows_and_their_gradient_are_those_of_a_loop(
    dim: int, dtype: torch.dtype, way: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(3, 4, 5, generator=generator, dtype=dtype, requires_grad=True)
    index = torch.tensor([2, 0, 2, 1, 2])
    chosen = select_rows(table, index, dim)
    weights = torch.randn(chosen.shape, generator=generator, dtype=dtype)
    (chosen * weights).sum().backward()
    expected = torch.zeros_like(table)
    for place, row in enumerate(index.tolist()):
        assert torch.equal(chosen.select(dim, place), table.select(dim, row))
        expected.select(dim, row).add_(weights.select(dim, place))
    assert table.grad is not None
    torch.testing.assert_close(table.grad, expected)


def test_no_row_is_no_gradient(way: str) -> None:
    table = torch.ones(2, 3, requires_grad=True)
    select_rows(table, torch.zeros(0, dtype=torch.int64), 0).sum().backward()
    assert torch.equal(table.grad, torch.zeros(2, 3))  # type: ignore[arg-type]


def gradients(defense: str) -> list[Tensor]:
    net = fresh("mlp-2x8")
    x, y = random_batch(30, 4, 3, seed=1, dtype=torch.float32)
    radius = torch.tensor([0.1, 0.3, 0.5])
    loss = defenses.get(defense).loss(net, x, y, radius)
    return list(torch.autograd.grad(loss.sum(), list(net.parameters())))


@pytest.mark.parametrize("defense", ["rub", "arub-l1", "coap-linf"])
def test_gradient_on_a_gpu_never_depends_on_the_order_of_atomic_sums(
    defense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, the backward passes that add atomically there are not taken."""
    expected = gradients(defense)
    monkeypatch.setattr(rows, "IN_ORDER", set())
    monkeypatch.setattr(mlp, "IN_ORDER", set())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = gradients(defense)
    names = {event.key for event in profile.key_averages()}
    assert not {name for name in names if "index_add" in name or "embedding" in name}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
