"""Relations between bounds that hold for every network, input, radius and depth."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from robust import attacks, certify, defenses
from robust.bounds import coap, rub
from robust.bounds.first_order import approximate_worst_case_differences
from robust.bounds.rub import decision, mlp_search
from robust.bounds.rub.mlp_screening import linear_bounds, slacks
from robust.evaluation.certifier import Certifier
from robust.losses import LOSSES, class_differences
from robust.networks import MLP
from robust.norms import ORDERS, norm, sample_unit_ball, shrink_to_ball
from tests.robust.helpers import random_batch, random_pack

POINTS = 1000  # of the inside and as many of the surface, for each example: 10^5 in all
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@dataclass(frozen=True)
class Case:
    net: MLP
    x: Tensor
    y: Tensor
    radius: float

    @property
    def radii(self) -> Tensor:
        """The radius of every example, [P, B]."""
        return torch.full((self.net.num_networks, len(self.y)), self.radius, dtype=self.x.dtype)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    features, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    hidden = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    networks, batch = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**16))
    net = random_pack((features, *hidden, classes), networks, seed)
    scale = draw(st.sampled_from([0.1, 1.0, 10.0]))
    x, y = random_batch(batch, features, classes, seed)
    radius = draw(st.floats(0, 10, allow_subnormal=False))
    return Case(net, scale * x, y, radius)


def rounding(*bounds: Tensor) -> float:
    """Ten digits of the largest value."""
    return 1e-10 * max(1.0, *(float(b.detach().abs().max()) for b in bounds))


@EXAMPLES
@given(cases())
def test_rub_is_at_least_arub_l1_at_least_nominal(case: Case) -> None:
    nominal = class_differences(case.net(case.x), case.y)
    first = approximate_worst_case_differences(case.net, case.x, case.y, case.radii, "l1")
    bound = rub.worst_case_differences(case.net, case.x, case.y, case.radii)
    assert (first >= nominal).all()
    assert (bound >= first - rounding(bound)).all()
    losses = [
        defenses.get(name).loss(case.net, case.x, case.y, case.radius)
        for name in ("rub", "arub-l1", "nominal")
    ]
    assert (losses[0] >= losses[1] - rounding(losses[0])).all()
    assert (losses[1] >= losses[2]).all()


@EXAMPLES
@given(cases(), st.sampled_from(LOSSES.names()))
def test_rub_is_at_least_the_loss_at_points_of_the_ball(case: Case, loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    points = [
        attacks.get(name)(case.net, case.x, case.y, case.radius, generator=generator)
        for name in ("vertex-l1", "pgd-l1", "fgm-l1")
    ]
    noise = sample_unit_ball((POINTS, *case.x.shape), "l1", case.x, generator)
    surface = noise / norm(noise, "l1").unsqueeze(-1).clamp_min(1e-300)
    inside = case.x + case.radius * torch.cat([noise, surface])
    points.append(inside.flatten(0, 1).expand(case.net.num_networks, -1, -1))
    bound = rub.worst_case_differences(case.net, case.x, case.y, case.radii).detach()
    full = certify.worst_case_differences_tight(case.net, case.x, case.y, case.radius, rounds=2)
    tight = class_differences(full, case.y)  # the own class has bound 0
    for point in points:
        times = point.shape[1] // len(case.y)
        reached = class_differences(case.net(point), case.y.repeat(times))
        reached = reached.unflatten(1, (times, len(case.y)))
        assert (reached <= bound.unsqueeze(1) + rounding(bound)).all()
        assert (reached <= tight.unsqueeze(1) + rounding(bound)).all()
        losses = LOSSES.get(loss)(reached)
        assert (losses <= LOSSES.get(loss)(tight).unsqueeze(1) + rounding(bound)).all()


@EXAMPLES
@given(cases())
def test_every_bound_equals_the_nominal_difference_at_radius_zero(case: Case) -> None:
    nominal = class_differences(case.net(case.x), case.y)
    zero = torch.zeros_like(case.radii)
    for order in ORDERS:
        first = approximate_worst_case_differences(case.net, case.x, case.y, zero, order)
        dual = coap.worst_case_differences(case.net, case.x, case.y, zero, order)
        torch.testing.assert_close(first, nominal, rtol=1e-10, atol=rounding(nominal))
        torch.testing.assert_close(dual, nominal, rtol=1e-10, atol=rounding(nominal))
    bound = rub.worst_case_differences(case.net, case.x, case.y, zero)
    torch.testing.assert_close(bound, nominal, rtol=1e-10, atol=rounding(nominal))


@EXAMPLES
@given(cases(), st.floats(0, 1))
def test_bounds_grow_with_the_radius(case: Case, share: float) -> None:
    smaller, larger = share * case.radii, case.radii
    for bound in (
        lambda r: rub.worst_case_differences(case.net, case.x, case.y, r),
        lambda r: coap.worst_case_differences(case.net, case.x, case.y, r, "l1"),
        lambda r: approximate_worst_case_differences(case.net, case.x, case.y, r, "l2"),
    ):
        assert (bound(smaller) <= bound(larger) + rounding(bound(larger))).all()


@EXAMPLES
@given(cases())
def test_optimised_t_is_at_most_the_papers(case: Case) -> None:
    paper = certify.worst_case_differences(case.net, case.x, case.y, case.radius).detach()
    tight = certify.worst_case_differences_tight(case.net, case.x, case.y, case.radius, rounds=2)
    assert (tight <= paper).all()
    proven = certify.certified(case.net, case.x, case.y, case.radius)
    assert (certify.certified_tight(case.net, case.x, case.y, case.radius) | ~proven).all()


@EXAMPLES
@given(cases())
def test_certified_radius_is_where_certified_flips(case: Case) -> None:
    radii = certify.certified_radius(case.net, case.x, case.y)
    certifier = Certifier(case.net)
    assert ((radii >= 0) & (radii <= certify.LARGEST_RADIUS)).all()
    proven = certifier.certified(case.x, case.y, radii)
    beyond = torch.where(radii > 0, radii * (1 + 2**-22), 2.0**-33)
    lost = ~certifier.certified(case.x, case.y, beyond)
    correct = case.net(case.x).argmax(dim=2) == case.y
    assert (proven | (radii == 0)).all()
    assert (lost | (radii == certify.LARGEST_RADIUS)).all()
    assert (radii[~correct] == 0).all()


@EXAMPLES
@given(cases(), st.integers(1, 2000))
def test_chunk_size_changes_neither_bound_nor_vertex_value(case: Case, budget: int) -> None:
    radius = case.radii
    whole = mlp_search.worst_vertices(case.net, case.x, case.y, radius)[0]
    cut = mlp_search.worst_vertices(case.net, case.x, case.y, radius, budget)[0]
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=rounding(whole) / 100)


@EXAMPLES
@given(cases())
def test_screening_encloses_the_bound(case: Case) -> None:
    radius = case.radii
    vertices = torch.arange(2 * case.net.num_features).expand(
        case.net.num_networks, len(case.y), -1
    )
    around = mlp_search.unperturbed_pass(case.net, case.x, case.y)
    bound = mlp_search.bounds_at(case.net, around, radius, vertices)
    seen = torch.zeros(bound.shape[:2], dtype=torch.int64)
    lower = linear_bounds(case.net, case.x, case.y, radius)
    assert (lower <= bound + rounding(bound)).all()
    for at, slack in slacks(case.net, case.x, case.y, radius):
        assert (slack >= 0).all()
        assert (bound[at] <= lower[at] + slack + rounding(slack, lower)).all()
        seen[at] += 1
    assert (seen == 1).all()
    worst, where = mlp_search.worst_vertices(case.net, case.x, case.y, radius)
    torch.testing.assert_close(
        bound.gather(2, where.unsqueeze(2)).squeeze(2), worst, rtol=1e-12, atol=1e-12
    )


def test_no_vertices_have_no_bounds() -> None:
    net, (x, y) = random_pack((1, 1, 2), 1, 0), random_batch(1, 1, 2, 0)
    around = mlp_search.unperturbed_pass(net, x, y)
    none = torch.empty(1, 1, 0, dtype=torch.int64)
    assert mlp_search.bounds_at(net, around, torch.ones(1, 1), none).shape == (1, 1, 0, 1)


@EXAMPLES
@given(cases(), st.integers(0, 40), st.sampled_from([0.0, 0.5, 1.0]))
def test_decision_agrees_with_the_full_search(case: Case, few: int, many: float) -> None:
    # The quantiles of the bounds themselves, so that limits fall among them.
    radius = case.radii
    bound = rub.search(case.net, case.x, case.y, radius)[0]
    for limit in bound.flatten().quantile(torch.tensor([0.1, 0.5, 0.9], dtype=bound.dtype)):
        apart = limit + 2 * rounding(bound)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decision, "FIRST_LOOK", few)
            patch.setattr(decision, "FULL_SEARCH_SHARE", many)
            holds = rub.below(case.net, case.x, case.y, radius, apart, apart)
        assert torch.equal(holds, (bound < apart).all(dim=2))


@EXAMPLES
@given(cases(), st.sampled_from(sorted(ORDERS)))
def test_shrinking_reaches_the_ball_and_leaves_its_inside(case: Case, order: str) -> None:
    radius = torch.tensor(case.radius, dtype=torch.float64)
    shrunk = shrink_to_ball(case.x, order, radius)
    assert (norm(shrunk, order) <= radius * (1 + 1e-12) + 1e-300).all()
    inside = norm(case.x, order) <= radius
    assert torch.equal(shrunk[inside], case.x[inside])
