"""Interval, CROWN and vertex-CROWN against plain references, each other and recorded bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.bounds import (
    crown,
    interval,
    rub,
    substitution,
    vertex_crown,
    vertex_crown_training,
)
from robust.bounds import parts as cutting
from robust.bounds.ball import Ball
from robust.bounds.lines import SLOPES
from robust.bounds.parts import parts
from robust.bounds.substitution import class_bounds, relaxed
from robust.losses import other_classes
from robust.networks import MLP
from robust.norms import Norm
from tests.robust import reference
from tests.robust.crown import interval as interval_step
from tests.robust.crown import upper_bounds, where_linear
from tests.robust.helpers import (
    golden_batch,
    golden_files,
    golden_network,
    load_golden,
    random_batch,
    random_pack,
)

NORMS: tuple[Norm, ...] = ("l1", "l2", "linf")
SIZES = (5, 14, 12, 10, 4)
METHODS = {
    "interval": interval.worst_case_differences,
    "crown": crown.worst_case_differences,
    "vertex-crown": vertex_crown.worst_case_differences,
}


def case(seed: int = 3, dtype: torch.dtype = torch.float64) -> tuple[MLP, Tensor, Tensor]:
    net = random_pack(SIZES, networks=2, seed=seed, dtype=dtype)
    return net, *random_batch(6, 5, 4, seed=seed, dtype=dtype)


def ball(radius: float, norm: Norm = "l1", dtype: torch.dtype = torch.float64) -> Ball:
    return Ball(torch.full((2, 6), radius, dtype=dtype), norm)


def arrays(net: MLP, network: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    weights, biases = reference.unpack(net, network)
    return [w.detach().numpy() for w in weights], [b.detach().numpy() for b in biases]


def plain_vertex_crown(
    net: MLP, network: int, x: np.ndarray, forms: np.ndarray, radius: float
) -> np.ndarray:
    """The bounds of forms of the logits at one input, unit by unit and vertex by vertex."""
    weights, biases = arrays(net, network)
    lines: list[tuple[np.ndarray, np.ndarray]] = []  # low and high of each hidden layer

    def bound(form: np.ndarray, depth: int) -> float:
        constant = 0.0
        for layer in range(depth, 0, -1):  # put z_layer = W x + b in, then relax x
            constant += form @ biases[layer]
            form = weights[layer] @ form
            if layer == 1:
                break
            low, high = lines[layer - 1]
            new = np.zeros_like(form)
            for j, a in enumerate(form):
                if low[j] >= 0:
                    new[j] = a
                elif high[j] > 0 and a > 0:
                    new[j] = a * high[j] / (high[j] - low[j])
                    constant -= new[j] * low[j]
                elif high[j] > 0:
                    new[j] = a * (high[j] > -low[j])
            form = new
        low, high = lines[0]
        found = []
        for m in range(len(x)):
            for step in (radius, -radius):
                moved = x.copy()
                moved[m] += step
                z = moved @ weights[0] + biases[0]
                slope = np.where(low >= 0, 1.0, (high > 0) & (high > -low))
                found.append(
                    sum(
                        a * max(v, 0) if a > 0 else a * s * v
                        for a, v, s in zip(form, z, slope, strict=True)
                    )
                )
        return constant + max(found)

    z = x @ weights[0] + biases[0]
    reach = radius * np.abs(weights[0]).max(axis=0)
    lines.append((z - reach, z + reach))
    for depth in range(1, len(weights) - 1):
        units = np.eye(weights[depth].shape[1])
        low = np.array([-bound(-e, depth) for e in units])
        high = np.array([bound(e, depth) for e in units])
        wide = interval_step(weights[depth], biases[depth], *lines[-1])
        lines.append(where_linear(wide, (low, high)))
    return np.array([bound(form, len(weights) - 1) for form in forms])


def class_forms(y: Tensor, n: int, classes: int) -> np.ndarray:
    unit = np.eye(classes)
    return unit[other_classes(y, classes)[n].numpy()] - unit[int(y[n])]


def test_vertex_crown_equals_a_plain_reference() -> None:
    net, x, y = case()
    for radius in (0.05, 0.4):
        upper = vertex_crown.worst_case_differences(net, x, y, ball(radius))[0].detach()
        for p in range(2):
            for n in range(3):
                point = x[n].numpy(), class_forms(y, n, 4)
                expected = plain_vertex_crown(net, p, *point, radius)
                np.testing.assert_allclose(upper[p, n].numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("rule", "plain"), [("adaptive", "adaptive"), ("parallel", "same-slope")])
def test_crown_equals_a_plain_reference(norm: Norm, rule: str, plain: str) -> None:
    net, x, y = case()
    for radius in (0.02, 0.3):
        upper = crown.worst_case_differences(net, x, y, ball(radius, norm), rule)[0].detach()
        for p in range(2):
            for n in range(len(y)):
                point = x[n].numpy(), class_forms(y, n, 4)
                expected = upper_bounds(*arrays(net, p), *point, radius, norm, plain)
                np.testing.assert_allclose(upper[p, n].numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", golden_files("coap"))
def test_crown_agrees_with_auto_lirpa(name: str) -> None:
    recorded = load_golden(name)
    net = golden_network(recorded, torch.float64)
    x, y = golden_batch(recorded, torch.float64)
    own = other_classes(y, net.num_classes)
    for rule, key in (("adaptive", "J_lirpa_adaptive"), ("parallel", "J_lirpa_sameslope")):
        for e in range(0, len(recorded["eps"]), 3):
            radius = torch.full((1, len(y)), float(recorded["eps"][e]), dtype=torch.float64)
            upper = crown.worst_case_differences(net, x, y, Ball(radius, "linf"), rule)[0]
            expected = -torch.as_tensor(recorded[key][e]).gather(1, own)
            scale = float(expected.abs().max())
            torch.testing.assert_close(upper[0], expected, rtol=1e-6, atol=1e-8 * scale)


def test_vertex_crown_is_never_above_crown_with_the_same_lines() -> None:
    net, x, y = case(seed=5)
    for rule in SLOPES:
        for radius in (0.01, 0.2, 2.0):
            for _, part in parts(net, x, y, ball(radius), vertices=10):
                layers = relaxed(part, crown.finish, rule)
                loose = class_bounds(part, layers, crown.finish)[0]
                tight = class_bounds(part, layers, vertex_crown.finish)[0]
                assert (tight <= loose + 1e-9).all()
                assert (tight < loose - 1e-6).any() or radius == 0.01


def test_vertex_crown_is_never_above_crown_where_slopes_are_fixed() -> None:
    for seed in range(5):
        net, x, y = case(seed)
        for radius in (0.05, 0.5, 5.0):
            loose = crown.worst_case_differences(net, x, y, ball(radius), "centre")[0]
            tight = vertex_crown.worst_case_differences(net, x, y, ball(radius), "centre")[0]
            assert (tight <= loose + 1e-9).all()


def test_vertex_crown_with_one_hidden_layer_is_rub_at_equal_slopes() -> None:
    net = random_pack((5, 14, 4), networks=2, seed=3)
    x, y = random_batch(6, 5, 4, seed=3)
    for radius in (0.0, 0.1, 1.0, 30.0):
        ours = vertex_crown.worst_case_differences(net, x, y, ball(radius), "centre")[0]
        theirs = rub.worst_case_differences(net, x, y, ball(radius).radius)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["crown", "vertex-crown"])
def test_leaving_out_units_changes_no_bound(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for radius in (0.0, 0.02, 0.3, 3.0):
        net, x, y = case()
        with torch.no_grad():
            net.biases[1][:, 1:4] = -1e3  # dead units, of which nothing is taken
        few = METHODS[method](net, x, y, ball(radius))
        kept: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(substitution, "TAKEN", 0.0)
            every = METHODS[method](net, x, y, ball(radius))
        for _, part in parts(net, x, y, ball(radius)):
            layers = relaxed(part, crown.finish).layers
            kept += [layer.line.shape[2] for layer in layers]
        assert radius > 0.02 or min(kept) < 10  # of layers of 10 to 14 units
        for one, other in zip(few, every, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_bounds_do_not_depend_on_chunks(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, y = case()
    whole = METHODS[method](net, x, y, ball(0.3))
    for elements in (1, 1500):
        monkeypatch.setitem(cutting.CHUNK_ELEMENTS, "cpu", elements)
        cut = METHODS[method](net, x, y, ball(0.3))
        for one, other in zip(cut, whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_float32_bounds_and_their_slack_cover_the_exact_ones(method: str) -> None:
    net, x, y = case(dtype=torch.float32)
    wide = MLP.from_arrays([w.double() for w in net.weights], [b.double() for b in net.biases])
    for radius in (0.0, 0.1, 1.0):
        upper, slack = METHODS[method](net, x, y, ball(radius, dtype=torch.float32))
        assert (slack > 0).all()
        # What the exact bound of the network can reach lies below it: so does an attack's point.
        exact = METHODS[method](wide, x.double(), y, ball(float(torch.tensor(radius))))[0]
        assert (upper.double() + slack.double() >= exact - slack.double()).all()


def test_training_bounds_and_gradient_are_those_of_the_whole_computation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, x, y = case(seed=7)
    at = ball(0.3)

    def gradients(upper: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(upper.square().sum(), list(net.parameters())))

    plain = x.new_empty(2, 6, 3)
    for where, part in parts(net, x, y, at, 10, outward=False):
        plain[where] = class_bounds(part, relaxed(part, vertex_crown.finish), vertex_crown.finish)[
            0
        ]
    expected = gradients(plain)
    for elements in (2**21, 2000):  # 2000: several parts, computed again for the gradient
        monkeypatch.setitem(cutting.CHUNK_ELEMENTS, "cpu", elements)
        ours = vertex_crown_training.worst_case_differences(net, x, y, at)
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)
        for one, other in zip(gradients(ours), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_proven_of_what_overflows_or_is_no_number(method: str) -> None:
    for spoil in (1e200, float("nan"), float("inf")):
        net, x, y = case()
        with torch.no_grad():
            net.weights[1][0].mul_(spoil)
            net.weights[2][0].mul_(abs(spoil))
        upper, slack = METHODS[method](net, x, y, ball(0.1))
        proven = (upper + slack < 0) & slack.isfinite()
        assert not proven[0].any()
        assert upper[1].isfinite().all() and slack[1].isfinite().all()


def test_dead_and_tied_units_leave_the_bounds_sound() -> None:
    net, x, y = case()
    with torch.no_grad():
        net.weights[0][:, :, 0] = 0  # a unit at its kink everywhere
        net.biases[0][:, 0] = 0
        net.biases[1][:, 1] = -1e3  # a dead one
    logits = net(x)
    corners = torch.cat([torch.eye(5), -torch.eye(5)]).double() * 0.3
    for compute in METHODS.values():
        upper = compute(net, x, y, ball(0.3))[0]
        assert upper.isfinite().all()
        for corner in corners:
            moved = net(x + corner)
            others = other_classes(y, 4).expand(2, -1, -1)
            reached = moved.gather(2, others) - moved.gather(2, y.view(1, -1, 1).expand(2, -1, 1))
            assert (reached <= upper + 1e-9).all()
    assert logits.isfinite().all()
