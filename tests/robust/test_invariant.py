"""certified <= attacked <= clean: real evaluations pass, planted bugs are caught."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robust import attacks
from robust.blocks import Points
from robust.bounds.certifier import Certifier
from robust.evaluate import correct, survivors
from robust.invariant import Contradiction, Sandwich, above_clean, reports
from robust.networks import MLP
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
    watch = Sandwich(pack, *split, RADII, certified, attack)
    survivors(pack, *split, attack=attack, radii=RADII, watch=watch)
    return watch.found


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


def broken_at(point: float) -> Points:
    """One example that one network was seen to misclassify at one point."""
    one = torch.zeros(1, 1, 1, dtype=torch.bool)
    return Points(slice(0, 1), [0], torch.tensor([[0]]), torch.tensor([[[[point]]]]), one)


def test_only_what_float64_confirms_inside_the_ball_is_a_contradiction() -> None:
    """z_1 - z_0 = 1 - 1e-9 - 2x around x = 1: lost below 0.5 - 5e-10."""
    weights = [torch.ones(1, 1, 1), torch.tensor([[[1.0, -1.0]]])]
    biases = [torch.zeros(1, 1), torch.tensor([[0.0, 1.0 - 1e-9]], dtype=torch.float64)]
    net = MLP([w.double() for w in weights], [b.double() for b in biases])
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])
    claims = torch.ones(1, 1, 1, dtype=torch.bool)
    small = Sandwich(net, x, y, torch.tensor([0.5]), claims, "made-up")
    small(broken_at(0.5))  # a tie in float32, correct in float64
    small(broken_at(0.4))  # outside the ball, so it is moved back to 0.5
    assert small.found == []
    large = Sandwich(net, x, y, torch.tensor([0.625]), claims, "made-up")
    large(broken_at(0.4))
    assert [c.gap for c in large.found] == [pytest.approx(0.2, rel=1e-6)]


def test_survivors_that_clean_accuracy_lacks_are_reported() -> None:
    clean = torch.tensor([[True, False], [True, True]])
    kept = torch.ones(2, 1, 2, dtype=torch.bool)
    found = above_clean(clean, kept, torch.tensor([0.5]), "fgm-l1")
    assert [(c.network, c.attack, c.radius, c.example) for c in found] == [(0, "fgm-l1", 0.5, 1)]


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
