"""Screening in training's search for vertices: the same maximum, and never in a certificate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robust import certify, defenses
from robust.bounds.rub import mlp_screened_search, mlp_search
from tests.robust.bounds.test_properties import EXAMPLES, Case, cases, rounding
from tests.robust.helpers import random_batch, random_pack

WIDE = (40, 12, 12, 4)  # as many features as make most of the vertices close


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let networks of any size be screened."""
    monkeypatch.setitem(mlp_screened_search.MIN_FEATURES, "cpu", 1)
    return monkeypatch


def searches(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bound at the vertices that screening finds, the largest bound, and all bounds."""
    around = mlp_search.unperturbed_pass(case.net, case.x, case.y)
    radius = case.radii
    vertices = mlp_screened_search.worst_vertices(case.net, around, radius)
    count = 2 * case.net.num_features
    every = torch.arange(count).expand(case.net.num_networks, len(case.y), count)
    bounds = mlp_search.bounds_at(case.net, around, radius, every).detach()
    found = bounds.gather(2, vertices.unsqueeze(2)).squeeze(2)
    return found, bounds.amax(dim=2), bounds


@EXAMPLES
@given(cases(), st.sampled_from([-1.0, 0.5, 100.0]), st.integers(1, 3))
def test_screened_search_finds_the_maximum(case: Case, patience: float, group: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp_screened_search, "PATIENCE", patience)
        patch.setattr(mlp_screened_search, "GROUP", group)
        found, largest, bounds = searches(case)
    torch.testing.assert_close(found, largest, rtol=0, atol=rounding(bounds))


@pytest.mark.parametrize("radius", [0.0, 1e-3, 0.1, 1.0, 100.0])
def test_screening_finds_the_maximum_among_many_vertices(radius: float) -> None:
    net, (x, y) = random_pack(WIDE, 3, seed=1), random_batch(20, WIDE[0], WIDE[-1], seed=1)
    found, largest, bounds = searches(Case(net, x, y, radius))
    torch.testing.assert_close(found, largest, rtol=0, atol=rounding(bounds))


def test_screening_closes_most_vertices_at_small_radii(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, y) = random_pack(WIDE, 2, seed=2), random_batch(20, WIDE[0], WIDE[-1], seed=2)
    looked = 0
    bounds = mlp_search.Search.bounds

    def counted(*args: Tensor) -> Tensor:
        nonlocal looked
        found = bounds(*args)  # type: ignore[arg-type]
        looked += found.shape[:3].numel()
        return found

    monkeypatch.setattr(mlp_search.Search, "bounds", counted)
    around = mlp_search.unperturbed_pass(net, x, y)
    mlp_screened_search.worst_vertices(net, around, torch.full((2, 20), 1e-3).double())
    assert looked < 0.3 * 2 * 20 * 2 * WIDE[0]


def test_loss_and_gradient_do_not_depend_on_screening(everywhere: pytest.MonkeyPatch) -> None:
    net, (x, y) = random_pack(WIDE, 2, seed=3), random_batch(9, WIDE[0], WIDE[-1], seed=3)

    def gradients() -> list[Tensor]:
        loss = defenses.get("rub").loss(net, x, y, 0.05)
        return [loss.detach(), *torch.autograd.grad(loss.sum(), list(net.parameters()))]

    screened = gradients()
    everywhere.delitem(mlp_screened_search.MIN_FEATURES, "cpu")
    for one, other in zip(screened, gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_certificates_search_all_vertices(everywhere: pytest.MonkeyPatch) -> None:
    net, (x, y) = random_pack(WIDE, 2, seed=4), random_batch(9, WIDE[0], WIDE[-1], seed=4)

    def refused(*_: object) -> Tensor:
        raise AssertionError("screened")

    everywhere.setattr(mlp_screened_search, "worst_vertices", refused)
    certify.worst_case_differences(net, x, y, 0.1)
    certify.certified(net, x, y, 0.1)
    certify.certified_radius(net, x, y)
    with pytest.raises(AssertionError, match="screened"):
        defenses.get("rub").loss(net, x, y, 0.1)


def test_what_is_not_finite_reaches_the_loss(everywhere: pytest.MonkeyPatch) -> None:
    net, (x, y) = random_pack(WIDE, 2, seed=5), random_batch(9, WIDE[0], WIDE[-1], seed=5)
    with torch.no_grad():
        net.weights[1][0].fill_(float("nan"))
    loss = defenses.get("rub").loss(net, x, y, 0.1)
    assert loss[0].isnan().all() and loss[1].isfinite().all()
