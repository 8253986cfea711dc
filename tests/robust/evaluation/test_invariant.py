"""certified <= attacked <= clean: real evaluations pass, planted bugs are caught."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robust import attacks, certify
from robust.evaluate import CERTIFICATES, correct, survivors
from robust.evaluation.attack_batches import AttackedPoints
from robust.evaluation.certifier import Certifier
from robust.evaluation.soundness import (
    CertificateCheck,
    Contradiction,
    above_clean,
    clean_differences,
    radius_reached,
    reports,
)
from robust.networks import MLP
from robust.norms import norm
from tests.robust.helpers import random_batch, random_pack

RADII = torch.tensor([0.0, 0.01, 0.05, 0.2, 0.6, 2.0], dtype=torch.float64)
L1_ATTACKS = [name for name in attacks.names() if attacks.get(name).norm == "l1"]
Split = tuple[Tensor, Tensor]


@pytest.fixture(scope="module", params=[torch.float32, torch.float64])
def pack(request: pytest.FixtureRequest) -> MLP:
    return random_pack((4, 10, 9, 3), networks=3, seed=14, dtype=request.param)


@pytest.fixture(scope="module")
def split(pack: MLP) -> Split:
    x, _ = random_batch(40, 4, 3, seed=14, dtype=pack.weights[0].dtype)
    return x, pack(x)[0].argmax(dim=1)


def contradictions(pack: MLP, split: Split, certified: Tensor, attack: str) -> list[Contradiction]:
    check = CertificateCheck(pack, *split, RADII, certified, attack)
    survivors(pack, *split, attack=attack, radii=RADII, on_points=check)
    return check.found


@pytest.mark.parametrize("attack", L1_ATTACKS)
def test_sound_certificates_are_never_contradicted(pack: MLP, split: Split, attack: str) -> None:
    certified = survivors(pack, *split, attack="certified-l1", radii=RADII)
    assert certified[:, 1:].any()
    assert contradictions(pack, split, certified, attack) == []


@pytest.mark.parametrize("attack", L1_ATTACKS)
def test_bound_at_a_tenth_of_the_radius_is_caught(
    monkeypatch: pytest.MonkeyPatch, pack: MLP, split: Split, attack: str
) -> None:
    sound = Certifier.largest

    def careless(
        self: Certifier, x: Tensor, y: Tensor, radii: Tensor, tight: bool = False
    ) -> Tensor:
        return sound(self, x, y, radii / 10, tight)

    monkeypatch.setattr(Certifier, "largest", careless)
    certified = survivors(pack, *split, attack="certified-l1", radii=RADII)
    found = contradictions(pack, split, certified, attack)
    assert found
    for one in found:
        r = RADII.tolist().index(one.radius)
        assert certified[one.network, r, one.example]
        assert one.gap >= 0


def test_every_contradiction_is_found_with_its_numbers(pack: MLP, split: Split) -> None:
    """Claim everything: each example that the vertex attack breaks contradicts the claim."""
    clean = correct(pack, *split)
    claims = clean.unsqueeze(1).repeat(1, len(RADII), 1)
    found = contradictions(pack, split, claims, "vertex-l1")
    kept = survivors(pack, *split, attack="vertex-l1", radii=RADII)
    expected = {(p, float(RADII[r]), n) for p, r, n in (claims & ~kept).nonzero().tolist()}
    assert {(c.network, c.radius, c.example) for c in found} == expected


def broken_at(point: float) -> AttackedPoints:
    """One example that one network was seen to misclassify at one point."""
    one = torch.zeros(1, 1, 1, dtype=torch.bool)
    return AttackedPoints(slice(0, 1), [0], torch.tensor([[0]]), torch.tensor([[[[point]]]]), one)


def test_only_what_float64_confirms_inside_the_ball_is_a_contradiction() -> None:
    """z_1 - z_0 = 1 - 1e-9 - 2x around x = 1: lost below 0.5 - 5e-10."""
    weights = [torch.ones(1, 1, 1), torch.tensor([[[1.0, -1.0]]])]
    biases = [torch.zeros(1, 1), torch.tensor([[0.0, 1.0 - 1e-9]], dtype=torch.float64)]
    net = MLP([w.double() for w in weights], [b.double() for b in biases])
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])
    claims = torch.ones(1, 1, 1, dtype=torch.bool)
    small = CertificateCheck(net, x, y, torch.tensor([0.5]), claims, "made-up")
    small(broken_at(0.5))  # a tie in float32, correct in float64
    small(broken_at(0.4))  # outside the ball, so it is moved back to 0.5
    assert small.found == []
    large = CertificateCheck(net, x, y, torch.tensor([0.625]), claims, "made-up")
    large(broken_at(0.4))
    assert [c.gap for c in large.found] == [pytest.approx(0.2, rel=1e-6)]


def test_point_that_float64_has_no_number_for_is_a_contradiction() -> None:
    """z_0 = h^2 [x]^+ - h^2 [x]^+ + 1 is infinity less infinity at x = 1, and 1 at 0."""
    huge = torch.tensor(1e155, dtype=torch.float64)
    rows = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    bias = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    net = MLP([huge.expand(1, 1, 2).clone(), huge * rows], [0 * bias, bias])
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0])
    claims = torch.ones(1, 1, 1, dtype=torch.bool)
    check = CertificateCheck(net, x, y, torch.tensor([2.0]), claims, "made-up")
    check(broken_at(1.0))
    assert [c.gap for c in check.found] == [math.inf]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_point_that_is_no_input_contradicts_nothing(value: float) -> None:
    net, x, y = cancelling(torch.float32)
    check = CertificateCheck(net, x, y, torch.tensor([0.5]), torch.ones(1, 1, 1).bool(), "made-up")
    check(broken_at(value))
    assert check.found == [] and not check.refuted.any()


def cancelling(dtype: torch.dtype, at: float = 3.9) -> tuple[MLP, Tensor, Tensor]:
    """z_0 = [x + 1e8]^+ - 1e8 and z_1 = 6: float32 rounds z_0 to a multiple of 8."""
    net = MLP.from_arrays(
        [torch.ones(1, 1), torch.tensor([[1.0, 0.0]])],
        [torch.tensor([1e8]), torch.tensor([-1e8, 6.0])],
    )
    return net.to(dtype), torch.tensor([[at]], dtype=dtype), torch.tensor([1])


def in_exact_arithmetic(net: MLP, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
    return torch.stack([certify.certified(net, x, y, float(r)) for r in radii], dim=1)


def test_certificate_that_rounding_breaks_is_refuted_and_not_disproven() -> None:
    net, x, y = cancelling(torch.float32)
    ladder = torch.tensor([0.0, 0.05, 0.2, 1.0, 2.0, 5.0], dtype=torch.float64)
    certified = in_exact_arithmetic(net, x, y, ladder)
    assert certified[0, :, 0].tolist() == [True] * 5 + [False]
    check = CertificateCheck(net, x, y, ladder, certified, "vertex-l1")
    kept = survivors(net, x, y, attack="vertex-l1", radii=ladder, on_points=check)
    assert kept[0, :, 0].tolist() == [True] * 2 + [False] * 4
    assert check.found == []
    assert check.refuted[0, :, 0].tolist() == [False] * 2 + [True] * 3 + [False]
    assert torch.equal(certified & ~check.refuted, certified & kept)
    wide = cancelling(torch.float64)
    certified = survivors(*wide, attack="certified-l1", radii=ladder)
    check = CertificateCheck(*wide, ladder, certified, "vertex-l1")
    survivors(*wide, attack="vertex-l1", radii=ladder, on_points=check)
    assert certified[0, 4] and not check.refuted.any()


@pytest.mark.parametrize("shift", [1e5, 1e6, 1e7])
def test_what_stays_certified_survives_every_l1_attack_whatever_the_rounding(shift: float) -> None:
    """Biases that cancel leave a linear network, whose float32 form is a staircase."""
    net = random_pack((4, 10, 3), networks=3, seed=14)
    with torch.no_grad():
        net.biases[0] += shift
        net.biases[1] -= shift * net.weights[1].sum(dim=1)
    net.float()
    x, _ = random_batch(60, 4, 3, seed=14, dtype=torch.float32)
    y = net(x)[0].argmax(dim=1)
    certified = in_exact_arithmetic(net, x, y, RADII)
    assert certified[:, 1:].any()
    withdrawn = torch.zeros_like(certified)
    kept = {}
    for name in L1_ATTACKS:
        check = CertificateCheck(net, x, y, RADII, certified, name)
        kept[name] = survivors(net, x, y, attack=name, radii=RADII, on_points=check)
        withdrawn |= check.refuted
        assert check.found == []
    for survives in kept.values():
        assert (survives | withdrawn | ~certified).all()
    assert withdrawn.any()
    as_run = survivors(net, x, y, attack="certified-l1", radii=RADII)
    assert not (as_run & withdrawn).any() and not (as_run & ~certified).any()


@pytest.mark.parametrize("name", ["fgsm-linf", "fgm-l2", "pgd-linf", "pgd-l2"])
def test_point_of_another_ball_refutes_where_it_lies(name: str) -> None:
    """With one feature the balls of all norms are the same, but no ladder is asked for here."""
    net, x, y = cancelling(torch.float32)
    ladder = torch.tensor([0.0, 0.1, 0.15, 0.3, 1.0], dtype=torch.float64)
    certified = in_exact_arithmetic(net, x, y, ladder)
    check = CertificateCheck(net, x, y, ladder, certified, name, same_balls=False)
    survivors(net, x, y, attack=name, radii=torch.tensor([0.2]), on_points=check)
    assert check.refuted[0, :, 0].tolist() == [False, False, False, True, True]
    assert 0.1 < float(check.nearest) <= 0.2001
    assert check.found == []


def test_input_that_the_network_itself_gets_wrong_has_no_certificate() -> None:
    net, x, y = cancelling(torch.float32, at=4.5)  # z_0 is 8 in float32
    assert certify.certified(net.double(), x.double(), y, 0.5).all()
    net.float()
    assert not certify.certified(net, x, y, 0.5).any()
    assert not certify.certified_tight(net, x, y, 0.5).any()
    assert certify.certified_radius(net, x, y).item() == 0
    ladder = torch.tensor([0.0, 0.5], dtype=torch.float64)
    for name in CERTIFICATES:
        assert not survivors(net, x, y, attack=name, radii=ladder).any()
    claims = torch.ones(1, 2, 1, dtype=torch.bool)
    check = CertificateCheck(net, x, y, ladder, claims, "no attack")
    check.look_at_inputs()
    assert check.refuted.all() and check.found == []


def test_claim_about_an_input_that_float64_gets_wrong_is_a_contradiction() -> None:
    net, x, y = cancelling(torch.float64)
    claims = torch.ones(1, 1, 1, dtype=torch.bool)
    check = CertificateCheck(net, x, 1 - y, torch.tensor([0.5]), claims, "no attack")
    check.look_at_inputs()
    assert [(c.attack, c.radius, c.gap) for c in check.found] == [
        ("no attack", 0.5, pytest.approx(2.1))
    ]


def test_radius_reached_forgives_the_rounding_of_the_attack_and_no_more() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 5 * torch.randn(200, 300, generator=generator)
    delta = torch.randn(200, 300, generator=generator)
    limit = torch.full((200,), 0.7, dtype=torch.float64)
    delta *= 0.7 / norm(delta, "l1").unsqueeze(1)
    assert (norm((x + delta).double() - x.double(), "l1") > 0.7).any()  # rounded outside
    assert (radius_reached(x, x + delta, limit) <= 0.7).all()
    far = radius_reached(x, x + 1.01 * delta, limit)
    assert (far > 0.7).all()
    inner = radius_reached(x, x + 0.5 * delta, limit)
    torch.testing.assert_close(inner, torch.full_like(inner, 0.35), rtol=1e-3, atol=0)


def test_survivors_that_clean_accuracy_lacks_are_reported() -> None:
    clean = torch.tensor([[True, False], [True, True]])
    gaps = torch.tensor([[-1.0, 0.5], [-1.0, -1.0]])
    kept = torch.ones(2, 1, 2, dtype=torch.bool)
    found = above_clean(clean, gaps, kept, torch.tensor([0.5]), "fgm-l1")
    assert found == [Contradiction(0, "fgm-l1", 0.5, 1, 0.5)]


def test_clean_differences_leave_to_rounding_what_rounding_decides(pack: MLP) -> None:
    x, y = random_batch(30, 4, 3, seed=3, dtype=pack.weights[0].dtype)
    gaps, may = clean_differences(pack, x, y)
    logits = pack(x).double()
    own = logits.gather(2, y.view(1, -1, 1).expand(3, -1, 1)).squeeze(2)
    others = logits.scatter(2, y.view(1, -1, 1).expand(3, -1, 1), -math.inf).amax(dim=2)
    torch.testing.assert_close(gaps, (others - own).detach(), rtol=1e-4, atol=1e-5)
    assert (may | (gaps > 0)).all() and not (may & (gaps > 0.01)).any()
    net, x, y = cancelling(torch.float32)
    assert clean_differences(net, x, 1 - y)[1].all()  # any class may be said there


def test_report_names_attack_radius_example_and_gap_in_one_line() -> None:
    found = [
        Contradiction(1, "vertex-l1", 0.5, 7, 0.25),
        Contradiction(1, "vertex-l1", 0.5, 8, 0.125),
        Contradiction(1, "fgm-l1", 0.1, 3, math.nan),
    ]
    healthy, report = reports(found, 2, 60)
    assert healthy is None
    assert report is not None
    assert "vertex-l1 at true radius 0.5 contradicts 2 of 60 examples (3 in all" in report
    assert "example 7 with max_k z_k - z_y = 0.25" in report
    assert "\n" not in report
