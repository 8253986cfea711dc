"""Certificates: radii, rounding, and bounds with t optimised."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust import attacks, certify
from robust.bounds import rub
from robust.bounds import tight as rub_tight
from robust.bounds.rounding import RoundingSlack, accumulated_roundoff, round_up
from robust.evaluation.certifier import Certifier
from robust.losses import class_differences
from robust.networks import MLP
from tests.robust import reference
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES = 5, 4


@pytest.fixture
def pack() -> MLP:
    return random_pack((FEATURES, 14, 12, CLASSES), networks=3, seed=21)


@pytest.fixture
def batch(pack: MLP) -> tuple[Tensor, Tensor]:
    """Labels are what the first network says, so that it errs nowhere."""
    x, _ = random_batch(9, FEATURES, CLASSES, seed=21)
    return x, pack(x)[0].argmax(dim=1)


def test_certified_radius_is_where_the_certificate_ends(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    radii = certify.certified_radius(pack, *batch)
    certifier = Certifier(pack)
    correct = pack(batch[0]).argmax(dim=2) == batch[1]
    assert torch.equal(radii > 0, correct)
    assert certifier.certified(*batch, radii)[correct].all()
    assert not certifier.certified(*batch, radii * (1 + 2**-22))[correct].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certified_radius_is_the_largest_of_a_ladder(
    pack: MLP, batch: tuple[Tensor, Tensor], dtype: torch.dtype
) -> None:
    net = MLP.from_arrays([w.to(dtype) for w in pack.weights], [b.to(dtype) for b in pack.biases])
    x, y = batch[0].to(dtype), batch[1]
    ladder = torch.tensor([0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0], dtype=torch.float64)
    radii = certify.certified_radius(net, x, y)
    for p in range(3):
        index = Certifier(net.subset([p])).largest(x, y, ladder)
        correct = net(x)[p].argmax(dim=1) == y
        expected = (ladder.unsqueeze(1) <= radii[p]).sum(dim=0) - 1
        assert torch.equal(index, torch.where(correct, expected, -1))


def test_constant_network_is_certified_at_every_radius_tried() -> None:
    net = random_pack((2, 3, 2), seed=1)
    with torch.no_grad():
        net.weights[0].zero_()
    x, _ = random_batch(2, 2, 2, seed=1)
    y = net(x)[0].argmax(dim=1)
    assert (certify.certified_radius(net, x, y) == certify.LARGEST_RADIUS).all()
    assert (certify.certified_radius(net, x, 1 - y) == 0).all()


def test_tie_is_not_certified() -> None:
    net = random_pack((2, 3, 2), seed=1)
    with torch.no_grad():
        net.weights[-1].zero_()
        net.biases[-1].zero_()
    x, y = random_batch(4, 2, 2, seed=1)
    assert not certify.certified(net, x, y, 0.0).any()
    assert not certify.certified_tight(net, x, y, 0.0).any()


def test_margin_smaller_than_rounding_is_not_certified() -> None:
    net = random_pack((2, 40, 40, 2), seed=3)
    x, y = random_batch(1, 2, 2, seed=3)
    y = torch.zeros_like(y)
    slack = float(RoundingSlack(net)(x, y, torch.zeros(1, 1, dtype=torch.float64))[0])
    with torch.no_grad():
        net.biases[-1][0, 0] += class_differences(net(x), y)[0, 0, 0] + slack / 2
    assert -slack < class_differences(net(x), y) < 0
    assert not certify.certified(net, x, y, 0.0)
    with torch.no_grad():
        net.biases[-1][0, 0] += 2 * slack
    assert certify.certified(net, x, y, 0.0)


@pytest.mark.parametrize("sizes", [(6, 50, 3), (20, 60, 60, 60, 4), (3, 30, 30, 30, 30, 30, 5)])
def test_rounding_stays_within_the_slack(sizes: tuple[int, ...]) -> None:
    narrow = random_pack(sizes, networks=2, seed=6, dtype=torch.float32)
    wide = MLP.from_arrays(
        [w.double() for w in narrow.weights], [b.double() for b in narrow.biases]
    )
    x, y = random_batch(12, sizes[0], sizes[-1], seed=6, dtype=torch.float32)
    for value in (0.0, 0.1, 3.0):
        radius = torch.full((2, 12), value)
        exact = rub.search(wide, x.double(), y, radius.double())[0]
        slack = RoundingSlack(narrow)(x, y, radius)[0]
        error = (rub.search(narrow, x, y, radius)[0].double() - exact).abs()
        assert (error <= slack).all()
        assert error.max() > 0  # else nothing was tested
        raised = certify.worst_case_differences(narrow, x, y, value, outward=True)
        own = torch.zeros_like(raised).scatter(2, y.view(1, -1, 1).expand(2, -1, 1), 1.0).bool()
        reference_bounds = certify.worst_case_differences(narrow, x, y, value, dtype=torch.float64)
        assert (raised.double() >= reference_bounds)[~own].all()
        assert (raised[own] == 0).all()


def rational(tensor: Tensor) -> NDArray[np.object_]:
    """Return the same numbers as fractions, for exact arithmetic."""
    return np.vectorize(Fraction, otypes=[object])(tensor.detach().numpy().astype(float))


def test_slack_covers_the_distance_to_exact_arithmetic() -> None:
    net = random_pack((3, 6, 5, 2), seed=11, dtype=torch.float32)
    x, _ = random_batch(1, 3, 2, seed=11, dtype=torch.float32)
    y, radius = torch.tensor([0]), 0.7
    (w1, w2, w3), (b1, b2, b3) = [[rational(p[0]) for p in ps] for ps in (net.weights, net.biases)]
    t1, t2 = (rational((z[0, 0] > 0).float()) for z in net.pre_activations(x)[:-1])
    c, exact = w3[:, 1] - w3[:, 0], []
    step = Fraction(float(torch.tensor(radius, dtype=torch.float32)))
    for corner in (*np.eye(3, dtype=int), *-np.eye(3, dtype=int)):
        up = (rational(x[0]) + step * corner) @ w1 + b1
        s, m = np.maximum(up, 0), -up * t1
        plus, minus = np.maximum(w2, 0), np.maximum(-w2, 0)
        up, down = s @ plus + m @ minus + b2, s @ minus + m @ plus - b2
        s, m = np.maximum(up, 0), down * t2
        exact.append(s @ np.maximum(c, 0) + m @ np.maximum(-c, 0) + b3[1] - b3[0])
    radii = torch.full((1, 1), radius)
    ours = Fraction(float(rub.search(net, x, y, radii)[0]))
    slack = Fraction(float(RoundingSlack(net)(x, y, radii)[0]))
    assert 0 < abs(ours - max(exact)) <= slack


def test_roundoff_grows_with_shorter_products(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_pack((4, 20, 2), dtype=torch.float32)
    highest = accumulated_roundoff(net)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert accumulated_roundoff(net) > 8000 * highest
    assert accumulated_roundoff(random_pack((4, 20, 2))) < 1e-14


def test_radius_is_rounded_up_to_the_precision_of_the_inputs() -> None:
    values = torch.tensor([0.1, 0.3, 0.7, 1.0, 0.0, 1e-5], dtype=torch.float64)
    raised = round_up(values, torch.float32).double()
    assert (raised >= values).all()
    assert (raised <= values * (1 + 2**-23)).all()
    assert torch.equal(round_up(values, torch.float64), values)


@pytest.mark.parametrize("method", [certify.certified, certify.certified_tight])
def test_float32_certificates_hold_in_float64(
    pack: MLP, batch: tuple[Tensor, Tensor], method: Callable[..., Tensor]
) -> None:
    narrow = MLP.from_arrays([w.float() for w in pack.weights], [b.float() for b in pack.biases])
    wide = MLP.from_arrays(
        [w.double() for w in narrow.weights], [b.double() for b in narrow.biases]
    )
    x, y = batch[0].float(), batch[1]
    for radius in (0.0, 0.05, 0.2):
        assert torch.equal(method(narrow, x, y, radius), method(wide, x.double(), y, radius))


def test_optimised_t_is_never_looser_and_sound(pack: MLP, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    for radius in (0.0, 0.1, 0.5, 2.0):
        paper = certify.worst_case_differences(pack, x, y, radius).detach()
        tight = certify.worst_case_differences_tight(pack, x, y, radius)
        assert (tight <= paper).all()
        nominal = pack(x) - pack(x).gather(2, y.view(1, -1, 1).expand(3, -1, 1))
        assert (tight >= nominal - 1e-10).all()
        for name in ("vertex-l1", "pgd-l1"):
            x_adv = attacks.get(name)(pack, x, y, radius, random_start=False)
            logits = pack(x_adv)
            attacked = logits - logits.gather(2, y.view(1, -1, 1).expand(3, -1, 1))
            assert (tight >= attacked - 1e-10).all()
    assert (tight < paper - 0.01 * paper.abs()).any()  # at radius 2 much is to be gained


def test_bound_at_the_t_found_equals_theorem_11_there(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    k = (y + 1) % CLASSES
    radius = torch.full((9,), 0.6, dtype=torch.float64)
    t, values = rub_tight.tighten(rub_tight.Pairs.of(pack, 1, x, y, k, radius))
    weights, biases = reference.unpack(pack, 1)
    for n in range(9):
        assert all(((h[n] >= 0) & (h[n] <= 1)).all() for h in t)
        expected = reference.theorem_11(
            weights, biases, x[n], int(y[n]), int(k[n]), 0.6, [h[n] for h in t]
        )
        torch.testing.assert_close(values[n], expected.detach(), rtol=1e-11, atol=1e-12)


def test_one_hidden_layer_reaches_the_optimum_of_a_linear_program() -> None:
    """With one hidden layer the bound is a maximum of affine functions of t: an LP."""
    scipy_optimize = pytest.importorskip("scipy.optimize")
    net = random_pack((3, 10, 2), seed=31)
    x, _ = random_batch(6, 3, 2, seed=31)
    y, k = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    pairs = rub_tight.Pairs.of(net, 0, x, y, k, torch.full((6,), 0.8, dtype=torch.float64))
    start = rub_tight.highest(pairs, pairs.start)[0][:, 0]
    found = rub_tight.tighten(pairs, rounds=12)[1]
    (w1, w2), (b1, b2) = reference.unpack(net, 0)
    c = (w2[:, 1] - w2[:, 0]).detach()
    optima = []
    for point in x:
        rows, limits = [], []
        for m in range(3):
            for sign in (1, -1):
                z = (point @ w1 + b1 + sign * 0.8 * w1[m]).detach()
                constant = torch.relu(z) @ torch.relu(c) + b2[1].detach() - b2[0].detach()
                rows.append([*(-z * torch.relu(-c)).tolist(), -1.0])
                limits.append(-float(constant))
        solution = scipy_optimize.linprog(
            [0.0] * 10 + [1.0], rows, limits, bounds=[(0, 1)] * 10 + [(None, None)]
        )
        optima.append(solution.fun)
    optimum = torch.tensor(optima, dtype=torch.float64)
    assert (found >= optimum - 1e-9).all()
    assert ((start - found) >= 0.99 * (start - optimum) - 1e-4).all()
    assert (start - optimum).max() > 0.1


def test_tight_certificates_add_to_those_of_the_paper(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    gained = 0
    for radius in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        paper = certify.certified(pack, *batch, radius)
        tight = certify.certified_tight(pack, *batch, radius)
        assert (tight | ~paper).all()
        gained += int((tight & ~paper).sum())
        bounds = certify.worst_case_differences_tight(pack, *batch, radius)
        others = bounds.scatter(2, batch[1].view(1, -1, 1).expand(3, -1, 1), -1.0)
        assert torch.equal(tight, (others < 0).all(dim=2))
    assert gained > 0


def test_largest_index_with_optimised_t_is_never_smaller(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    ladder = torch.tensor([0.0, 0.1, 0.15, 0.2, 0.25, 0.3], dtype=torch.float64)
    for p in range(3):
        certifier = Certifier(pack.subset([p]))
        paper = certifier.largest(*batch, ladder)
        tight = certifier.largest(*batch, ladder, tight=True)
        assert (tight >= paper).all()
        for n, index in enumerate(tight.tolist()):
            if index >= 0:
                at = batch[0][n : n + 1], batch[1][n : n + 1], float(ladder[index])
                assert certify.certified_tight(pack.subset([p]), *at)


def test_optimised_t_of_another_network_is_refused() -> None:
    class Other(torch.nn.Module):
        num_networks, num_features, num_classes = 1, 2, 2

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1, 2, dtype=torch.float64))

    with pytest.raises(ValueError, match="known: MLP"):
        certify.worst_case_differences_tight(Other(), *random_batch(2, 2, 2), 0.1)


BAD_INPUTS = {
    "x not finite": (lambda x, y: (x * float("inf"), y, 0.1), "finite"),
    "label too large": (lambda x, y: (x, y + CLASSES, 0.1), "labels must lie"),
    "negative radius": (lambda x, y: (x, y, -0.5), "at least 0, got .*-0.5"),
    "one radius too many": (lambda x, y: (x, y, torch.ones(4)), "one per network"),
}


@pytest.mark.parametrize("mistake", BAD_INPUTS)
@pytest.mark.parametrize(
    "method",
    [
        certify.worst_case_differences,
        certify.worst_case_differences_tight,
        certify.certified,
        certify.certified_tight,
    ],
)
def test_bad_input_is_refused_in_one_line(
    pack: MLP, batch: tuple[Tensor, Tensor], method: Callable[..., Tensor], mistake: str
) -> None:
    spoil, message = BAD_INPUTS[mistake]
    with pytest.raises(ValueError, match=message) as error:
        method(pack, *spoil(*batch))
    assert "\n" not in str(error.value)


def test_slack_covers_numbers_that_vanish() -> None:
    """Products below the smallest float32 are lost; the slack must not be zero there."""
    net = random_pack((2, 6, 6, 2), seed=4, dtype=torch.float32)
    with torch.no_grad():
        for weight, bias in zip(net.weights, net.biases, strict=True):
            weight.mul_(1e-16)
            bias.zero_()
    wide = MLP.from_arrays([w.double() for w in net.weights], [b.double() for b in net.biases])
    x, y = random_batch(5, 2, 2, seed=4, dtype=torch.float32)
    radius = torch.full((1, 5), 0.5)
    exact = rub.search(wide, x.double(), y, radius.double())[0]
    lost = (rub.search(net, x, y, radius)[0].double() - exact).abs()
    assert (lost > 0).all()
    assert (lost <= RoundingSlack(net)(x, y, radius)[0].double()).all()
