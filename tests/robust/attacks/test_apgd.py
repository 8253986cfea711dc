"""APGD-L1: its projection, its steps, and the whole attack against a plain one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robust import attacks, certify, defenses
from robust.attacks.apgd import APGD_L1, sparse_sign
from robust.attacks.apgd_projection import moved_within, nearest_in_ball_and_bounds
from robust.attacks.margins import error_gap
from robust.defenses.apgd import APGDTraining
from robust.norms import sample_unit_ball
from tests.robust.helpers import random_batch, random_pack

Array = NDArray[np.float64]
WIDE = (-float("inf"), float("inf"))


def nearest(delta: Array, x: Array, radius: float, bounds: tuple[float, float]) -> Array:
    """The projection by bisection on the threshold, one vector."""
    room = np.where(delta > 0, bounds[1] - x, x - bounds[0])

    def shrunk(threshold: float) -> Array:
        return np.minimum(np.maximum(np.abs(delta) - threshold, 0), room)

    low, high = 0.0, float(np.abs(delta).max())
    if shrunk(0.0).sum() <= radius:
        return np.sign(delta) * shrunk(0.0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if shrunk(middle).sum() > radius else (low, middle)
    return np.sign(delta) * shrunk(high)


def torch_nearest(delta: Array, x: Array, radius: float, bounds: tuple[float, float]) -> Array:
    found = nearest_in_ball_and_bounds(
        torch.as_tensor(delta),
        torch.as_tensor(x),
        torch.tensor(radius, dtype=torch.float64),
        bounds,
    )
    return np.asarray(found)


numbers = st.floats(-3, 3, allow_subnormal=False)


@given(
    st.lists(st.tuples(numbers, st.floats(0, 1)), min_size=1, max_size=7),
    st.floats(0, 4, allow_subnormal=False),
    st.booleans(),
)
def test_projection_is_that_by_bisection(
    pairs: list[tuple[float, float]], radius: float, bounded: bool
) -> None:
    delta, x = (np.array(column) for column in zip(*pairs, strict=True))
    bounds = (0.0, 1.0) if bounded else WIDE
    found = torch_nearest(delta, x, radius, bounds)
    np.testing.assert_allclose(found, nearest(delta, x, radius, bounds), atol=1e-12)


def test_no_other_point_of_ball_and_bounds_is_nearer() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        x, delta = rng.uniform(0, 1, 6), rng.normal(size=6)
        found = torch_nearest(delta, x, 0.8, (0.0, 1.0))
        assert np.abs(found).sum() <= 0.8 + 1e-12
        others = rng.dirichlet(np.ones(7), 500)[:, :6] * rng.choice([-0.8, 0.8], (500, 6))
        others = np.clip(x + others, 0, 1) - x
        apart = np.linalg.norm(others - delta, axis=1)
        assert np.linalg.norm(found - delta) <= apart.min() + 1e-12


def test_projection_with_ties_and_without_room() -> None:
    """Equal entries share the ball; where they have no room the others take it."""
    ties = torch_nearest(np.array([2.0, -2.0, 2.0]), np.zeros(3), 1.5, WIDE)
    np.testing.assert_allclose(ties, [0.5, -0.5, 0.5])
    stuck = torch_nearest(np.array([2.0, -2.0, 2.0]), np.array([0, 0, 0.0]), 1.5, (0.0, 1.0))
    np.testing.assert_allclose(stuck, [0.75, 0.0, 0.75])
    inside = torch_nearest(np.array([0.1, -0.2, 0.0]), np.zeros(3), 1.5, WIDE)
    np.testing.assert_array_equal(inside, [0.1, -0.2, 0.0])
    np.testing.assert_array_equal(torch_nearest(np.ones(3), np.zeros(3), 0.0, WIDE), np.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e3])
def test_points_lie_in_ball_and_bounds_exactly(dtype: torch.dtype, scale: float) -> None:
    """As sums of the numbers themselves, in float64: no tolerance."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(40, 784, generator=generator, dtype=dtype)
    delta = scale * torch.randn(40, 784, generator=generator, dtype=dtype)
    radius = torch.rand(40, generator=generator, dtype=dtype) * scale
    near = nearest_in_ball_and_bounds(delta, x, radius, (0.0, 1.0))
    at = moved_within(x, near, radius, (0.0, 1.0))
    assert at.min() >= 0
    assert at.max() <= 1
    assert ((at.double() - x.double()).abs().sum(dim=1) <= radius.double()).all()
    if scale >= 1e-3:  # below, steps of float32 around x are as large as the ball
        reached = (at.double() - x.double()).abs().sum(dim=1)
        assert (reached >= near.double().abs().sum(dim=1) * (1 - 0.02)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attack_stays_in_ball_and_bounds_exactly(dtype: torch.dtype) -> None:
    net = random_pack((30, 20, 3), networks=2, seed=1, dtype=dtype)
    x, y = random_batch(20, 30, 3, seed=1, dtype=dtype)
    x = x.clamp(-0.5, 0.8)
    for radius in (1e-6, 0.3, 4.0, 1e4):
        at = attacks.get("apgd-l1")(net, x, y, radius, bounds=(-0.5, 0.8))
        limit = float(torch.tensor(radius, dtype=dtype))
        assert at.min() >= torch.tensor(-0.5, dtype=dtype)
        assert at.max() <= torch.tensor(0.8, dtype=dtype)
        assert ((at.double() - x.double()).abs().sum(dim=2) <= limit).all()


def test_sparse_sign_takes_the_largest_entries() -> None:
    gradient = torch.tensor([[[0.1, -3.0, 2.0, 0.0, -1.0]]])
    two = sparse_sign(gradient, torch.tensor([[0.4]]))
    torch.testing.assert_close(two, torch.tensor([[[0, -0.5, 0.5, 0, 0]]]))
    one = sparse_sign(gradient, torch.tensor([[0.0]]))
    torch.testing.assert_close(one, torch.tensor([[[0.0, -1, 0, 0, 0]]]))
    everything = sparse_sign(gradient, torch.tensor([[1.0]]))
    torch.testing.assert_close(everything, torch.tensor([[[0.25, -0.25, 0.25, 0, -0.25]]]))
    assert not sparse_sign(torch.zeros(1, 1, 5), torch.tensor([[0.4]])).any()


class Plain(NamedTuple):
    """What the plain attack found: the points with the largest loss and the largest gap."""

    by_loss: Array
    by_gap: Array


def plain_apgd(
    weights: list[Array],
    biases: list[Array],
    x: Array,
    y: int,
    first: Array,
    radius: float,
    bounds: tuple[float, float],
    steps: int,
    sparsity: float,
) -> Plain:
    """Algorithm 1 for one network and one input, with autograd and bisection."""

    def at(point: Array) -> tuple[float, float, Array]:
        v = torch.tensor(point, requires_grad=True)
        h = v
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            h = h @ torch.tensor(w) + torch.tensor(b)
            h = h.relu() if layer < len(weights) - 1 else h
        loss = torch.nn.functional.cross_entropy(h.unsqueeze(0), torch.tensor([y]))
        (gradient,) = torch.autograd.grad(loss, v)
        logits = h.tolist()
        gap = max(z - logits[y] for k, z in enumerate(logits) if k != y)
        return float(loss.detach()), gap, np.asarray(gradient)

    features = len(x)
    point = x + nearest(first - x, x, radius, bounds)
    loss, gap, gradient = at(point)
    best, best_loss, best_gradient = point, loss, gradient
    strongest, best_gap = point, gap
    step, share, used = radius, sparsity, float(features)
    for number in range(1, steps + 1):
        place = min(max(int((1 - share) * features), 0), features - 1)
        chosen = np.abs(gradient) >= np.sort(np.abs(gradient))[place]
        signs = np.where(chosen, np.sign(gradient), 0)
        moved = point + step * signs / max(np.abs(signs).sum(), 1)
        point = x + nearest(moved - x, x, radius, bounds)
        loss, gap, gradient = at(point)
        if loss > best_loss:
            best, best_loss, best_gradient = point, loss, gradient
        if gap > best_gap:
            strongest, best_gap = point, gap
        if number % max(1, steps // 25) == 0:
            now = float((best != x).sum())
            if now < 0.95 * used:
                step, point, gradient = radius, best, best_gradient
            else:
                step = max(step / 1.5, radius / 10)
            share, used = now / 1.5 / features, now
    return Plain(best, strongest)


@pytest.mark.parametrize("steps", [10, 60])
def test_attack_equals_the_plain_one(steps: int) -> None:
    net = random_pack((12, 9, 8, 3), networks=2, seed=7)
    x, y = random_batch(5, 12, 3, seed=7)
    x, bounds = x.clamp(-1, 1), (-1.0, 1.0)
    radii = torch.tensor([0.4, 3.0], dtype=torch.float64)
    start = sample_unit_ball((5, 12), "l1", x, torch.Generator().manual_seed(2))
    kept = replace(APGD_L1, num_steps=steps)
    by_gap, by_loss = (
        method(net, x, y, radii, bounds, torch.Generator().manual_seed(2))
        for method in (kept, replace(kept, keep_best=False))
    )
    for p, radius in enumerate(radii.tolist()):
        weights = [np.asarray(w.detach()[p]) for w in net.weights]
        biases = [np.asarray(b.detach()[p]) for b in net.biases]
        for n in range(5):
            own = np.asarray(x[n])
            first = np.clip(own + radius * np.asarray(start[n]), *bounds)
            found = plain_apgd(weights, biases, own, int(y[n]), first, radius, bounds, steps, 0.2)
            np.testing.assert_allclose(by_loss[p, n].detach(), found.by_loss, atol=1e-9)
            inputs = torch.tensor(np.stack([found.by_gap, own])).expand(2, 2, 12)
            gaps = error_gap(net(inputs), y[n].expand(2))[p]  # the attack also keeps x itself
            ours = error_gap(net(by_gap), y)[p, n]
            torch.testing.assert_close(ours, gaps.max(), rtol=1e-9, atol=1e-9)


def test_attack_is_stronger_than_pgd_and_never_breaks_a_certificate() -> None:
    net = random_pack((20, 24, 16, 4), networks=3, seed=4)
    x, _ = random_batch(60, 20, 4, seed=4)
    y = net(x)[0].argmax(dim=1)
    radius, some = 0.6, torch.Generator().manual_seed(0)
    gaps = {
        name: error_gap(net(attacks.get(name)(net, x, y, radius, generator=some)), y)
        for name in ("apgd-l1", "pgd-l1")
    }
    assert (gaps["apgd-l1"][0] > 0).sum() > (gaps["pgd-l1"][0] > 0).sum()
    assert gaps["apgd-l1"][0].mean() > gaps["pgd-l1"][0].mean()
    proven = certify.certified(net, x, y, radius, method="best")
    assert proven.any()
    assert (gaps["apgd-l1"][proven] <= 0).all()


def test_hyperparameters_of_training_reach_its_attack() -> None:
    method = defenses.get("apgd-l1(num_steps=3,sparsity=0.5)")
    assert isinstance(method, APGDTraining)
    assert (method.attack.num_steps, method.attack.sparsity) == (3, 0.5)
    assert defenses.get("apgd-l1").parameters == {"num_steps": 10, "sparsity": 0.05}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("apgd-l1(num_steps=0)", "num_steps=0 must be at least 1"),
        ("apgd-l1(sparsity=0)", r"sparsity=0.0 must be in \(0, 1\]"),
        ("apgd-l1(sparsity=1.5)", r"sparsity=1.5 must be in \(0, 1\]"),
    ],
)
def test_wrong_hyperparameter_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        defenses.get(name)
