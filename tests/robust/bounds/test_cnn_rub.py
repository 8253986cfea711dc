"""RUB on convolutional networks: against its dense form, attacks and finite differences."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
import torch
from torch import Tensor

from robust import attacks, certify, defenses
from robust.bounds import rub
from robust.bounds.first_order import approximate_worst_case_differences
from robust.bounds.rub import cnn, refutation
from robust.bounds.rub.cnn_patches import Patch, Span, patch_matrix, reach
from robust.evaluation.certifier import Certifier
from robust.layers.convolution import convolve
from robust.losses import class_differences
from robust.networks import CNN
from robust.norms import sample_unit_ball
from tests.robust.cnn_helpers import (
    SHAPES,
    dense_form,
    random_cnn,
    reference_bounds,
    vertices,
)
from tests.robust.helpers import random_batch

RADII = [0.05, 0.5, 2.0, 8.0]


def pack_and_batch(shape: tuple, batch: int = 3) -> tuple[CNN, Tensor, Tensor]:
    net = random_cnn(*shape)
    return net, *random_batch(batch, net.num_features, net.num_classes)


def everywhere(radius: float, net: CNN, y: Tensor) -> Tensor:
    return torch.full((net.num_networks, len(y)), radius, dtype=torch.float64)


@pytest.mark.parametrize(("shape", "radius"), list(product(SHAPES, RADII)))
def test_bound_equals_that_of_the_dense_form(shape: tuple, radius: float) -> None:
    net, x, y = pack_and_batch(shape, batch=2)
    bounds = certify.worst_case_differences(net, x, y, radius)
    for p, b in product(range(net.num_networks), range(2)):
        at_vertices = reference_bounds(net, p, x[b], int(y[b]), vertices(x[b], radius))
        torch.testing.assert_close(bounds[p, b], at_vertices.amax(dim=0))


@pytest.mark.parametrize(("shape", "radius"), list(product(SHAPES, RADII)))
def test_patch_search_equals_full_search(shape: tuple, radius: float) -> None:
    net, x, y = pack_and_batch(shape)
    everything = torch.arange(2 * net.num_features).expand(net.num_networks, len(y), -1)
    full = cnn.vertex_bounds(net, x, y, everywhere(radius, net, y), everything)
    for chunk_elements in (None, 1):
        values, found = cnn.worst_vertices(
            net, x, y, everywhere(radius, net, y), chunk_elements=chunk_elements
        )
        torch.testing.assert_close(values, full.amax(dim=2))
        torch.testing.assert_close(full.gather(2, found.unsqueeze(2)).squeeze(2), values)


@pytest.mark.parametrize("shape", SHAPES)
def test_bound_is_exact_at_radius_zero(shape: tuple) -> None:
    net, x, y = pack_and_batch(shape)
    nominal = class_differences(net(x), y)
    bounds = rub.worst_case_differences(net, x, y, everywhere(0.0, net, y))
    torch.testing.assert_close(bounds, nominal)
    torch.testing.assert_close(rub.search(net, x, y, everywhere(0.0, net, y))[0], nominal)


@pytest.mark.parametrize("shape", SHAPES)
def test_bound_lies_above_first_order_bound_and_grows_with_radius(shape: tuple) -> None:
    net, x, y = pack_and_batch(shape, batch=5)
    before = class_differences(net(x), y)
    for radius in RADII:
        radii = everywhere(radius, net, y)
        bounds = rub.search(net, x, y, radii)[0]
        linear = approximate_worst_case_differences(net, x, y, radii, "l1")
        assert (bounds >= linear - 1e-10).all()
        assert (linear >= class_differences(net(x), y) - 1e-10).all()
        assert (bounds >= before - 1e-10).all()
        before = bounds


@pytest.mark.parametrize(("shape", "radius"), list(product(SHAPES, RADII)))
def test_no_point_of_the_ball_exceeds_the_bound(shape: tuple, radius: float) -> None:
    net, x, y = pack_and_batch(shape)
    networks, features = net.num_networks, net.num_features
    bounds = certify.worst_case_differences(net, x, y, radius)
    generator = torch.Generator().manual_seed(7)
    corners = torch.stack([vertices(row, radius) for row in x], dim=1).expand(networks, -1, -1, -1)
    inner = sample_unit_ball((500, len(y), features), "l1", x, generator) * radius + x
    attacked = [
        attacks.get("pgd-l1")(net, x, y, radius, generator=generator) for _ in range(3)
    ] + [attacks.get("vertex-l1")(net, x, y, radius)]
    points = torch.cat([corners, inner.expand(networks, -1, -1, -1)], dim=1)
    points = torch.cat([points, torch.stack(attacked, dim=1)], dim=1)  # [P, points, B, D]
    assert ((points - x).abs().sum(dim=-1) <= radius * (1 + 1e-9)).all()
    logits = net(points.flatten(1, 2)).view(*points.shape[:3], -1)
    own = y.view(1, 1, -1, 1).expand(*points.shape[:3], 1)
    reached = (logits - logits.gather(3, own)).amax(dim=1)
    assert (reached <= bounds + 1e-9).all()


def test_diverged_network_certifies_nothing() -> None:
    net, x, y = pack_and_batch(SHAPES[0])
    net.weights[1].data[1] = float("nan")
    values = rub.search(net, x, y, everywhere(0.5, net, y))[0]
    assert values[0].isfinite().all()
    assert values[1].isnan().all()
    assert not Certifier(net).certified(x, y, everywhere(0.0, net, y))[1].any()
    with pytest.raises(ValueError, match=r"parameters must be finite, .* network\(s\) \[1\]"):
        certify.certified(net, x, y, 0.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_lower_bound_is_below_the_bound(shape: tuple) -> None:
    net, x, y = pack_and_batch(shape, batch=5)
    radius = torch.linspace(0.0, 3.0, 5, dtype=x.dtype).expand(net.num_networks, 5)
    lower = refutation.lower_bounds(net, x, y, radius)
    bounds = rub.search(net, x, y, radius)[0]
    assert (lower <= bounds + 1e-10).all()
    torch.testing.assert_close(rub.below(net, x, y, radius), (bounds < 0).all(dim=2))


@pytest.mark.parametrize("radius", [0.3, 3.0])
def test_loss_gradient_equals_finite_differences(radius: float) -> None:
    net, x, y = pack_and_batch(SHAPES[1])
    method = defenses.get("rub")
    gradients = torch.autograd.grad(method.loss(net, x, y, radius).sum(), list(net.parameters()))
    generator = torch.Generator().manual_seed(2)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        direction = torch.randn(parameter.shape, dtype=x.dtype, generator=generator)
        slopes = []
        with torch.no_grad():
            for step in (1e-6, -2e-6):
                parameter += step * direction
                slopes.append(method.loss(net, x, y, radius).sum())
            parameter += 1e-6 * direction
        numeric = (slopes[0] - slopes[1]) / 2e-6
        torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-8)


def test_certified_radius_is_where_the_bound_reaches_zero() -> None:
    net, x, _ = pack_and_batch(SHAPES[1], batch=4)
    y = net(x)[0].argmax(dim=1)
    radius = certify.certified_radius(net, x, y)
    assert (radius > 0).all()
    for factor, holds in ((0.999, True), (1.001, False)):
        for b in range(4):
            at = float(radius[0, b]) * factor
            assert certify.certified(net, x[b : b + 1], y[b : b + 1], at)[0, 0] == holds


def test_patch_matrix_is_the_convolution_of_a_patch() -> None:
    net = random_cnn(2, (8, 8, 2), (3,), (5,), ())
    source, target = Patch(Span(2, 5), Span(0, 2)), Patch(Span(0, 4), Span(0, 2))
    matrix = patch_matrix(net.weights[0], source, target)
    h = torch.randn(1, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[source.rows.at, source.columns.at] = False
    h[:, :, outside] = 0
    maps = convolve(h, net.weights[0], None).view(2, 3, 8, 8)
    expected = maps[:, :, :8, :4].view(2, 3, 4, 2, 2, 2).permute(0, 3, 5, 2, 4, 1).flatten(1)
    flat = h[0, :, source.rows.at, source.columns.at].permute(1, 2, 0).flatten()
    torch.testing.assert_close(flat @ matrix, expected)


@pytest.mark.parametrize("side", [1, 3, 5])
def test_reach_covers_exactly_what_a_block_can_change(side: int) -> None:
    ones = torch.ones(side, side, 1, 1)
    for start in range(0, 16, 2):
        changed = torch.zeros(16, 16)
        changed[start : start + 2] = 1
        spans = reach(Span(start, start + 2), 16, [side, side])
        for stage, size in ((1, 16), (2, 8)):
            wide = (changed.flatten() @ dense_form(ones, size, size)).view(size, size)
            changed = wide.view(size // 2, 2, size // 2, 2).amax(dim=(1, 3)).clamp(max=1)
            rows = changed.amax(dim=1).nonzero().flatten().tolist()
            assert rows == list(range(*spans[stage]))


MEASURED_STEPS = """
import resource, torch
from robust.networks import build
from robust.train import train

torch.set_num_threads(1)
net = build("cnn", 784, 10, 1, 0, input_shape=(28, 28, 1))
generator = torch.Generator().manual_seed(0)
x, y = torch.randn(32, 784, generator=generator), torch.arange(32) % 10
one = torch.ones(1)
train(net, x, y, defense="rub", radius=2.8 * one, learning_rate=1e-3 * one,
      batch_size=32, steps=2, seed=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_batch_of_mnist_images_trains_within_four_gigabytes() -> None:
    command = [sys.executable, "-W", "error", "-c", MEASURED_STEPS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4e9
