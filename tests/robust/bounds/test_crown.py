"""An independent oracle: CROWN's bounds are sound too, and so lie above what attacks find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from robust import attacks, certify
from robust.bounds import coap
from robust.losses import class_differences, other_classes
from robust.networks import MLP, build
from robust.train import train
from tests.robust import reference
from tests.robust.crown import upper_bounds
from tests.robust.helpers import golden_files, load_golden, random_batch, random_pack


def crown(net: MLP, network: int, x: Tensor, y: Tensor, radius: float, slope: str) -> Tensor:
    """Bounds of z_k - z_y over the L1 ball for the classes k != y, [B, K-1]."""
    weights, biases = reference.unpack(net, network)
    arrays = (
        [w.detach().double().numpy() for w in weights],
        [b.detach().double().numpy() for b in biases],
    )
    unit = np.eye(net.num_classes)
    rows = []
    for point, label, others in zip(x, y, other_classes(y, net.num_classes), strict=True):
        forms = unit[others.numpy()] - unit[int(label)]
        rows.append(upper_bounds(*arrays, point.double().numpy(), forms, radius, "l1", slope))
    return torch.as_tensor(np.stack(rows))


@pytest.mark.parametrize("slope", ["same-slope", "adaptive"])
@pytest.mark.parametrize("name", golden_files("coap"))
def test_reference_agrees_with_auto_lirpa(name: str, slope: str) -> None:
    case = load_golden(name)
    layers = range(1, int(case["n_layers"]) + 1)
    weights, biases = [case[f"W{i}"] for i in layers], [case[f"b{i}"] for i in layers]
    key = "J_lirpa_adaptive" if slope == "adaptive" else "J_lirpa_sameslope"
    for e, radius in enumerate(case["eps"][::3]):
        for n in range(0, len(case["x"]), 5):
            forms = (
                np.eye(int(case["num_classes"])) - np.eye(int(case["num_classes"]))[case["y"][n]]
            )
            bounds = upper_bounds(
                weights, biases, case["x"][n], forms, float(radius), "linf", slope
            )
            expected = -case[key][3 * e, n]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(bounds, expected, rtol=1e-6, atol=1e-8 * scale)


def test_coap_in_l1_is_crown_with_equal_slopes() -> None:
    net = random_pack((5, 12, 11, 3), networks=2, seed=8)
    x, y = random_batch(4, 5, 3, seed=8)
    for radius in (0.05, 0.5):
        radii = torch.full((2, 4), radius, dtype=torch.float64)
        ours = coap.worst_case_differences(net, x, y, radii, "l1").detach()
        for p in range(2):
            expected = crown(net, p, x, y, radius, "same-slope")
            torch.testing.assert_close(ours[p], expected, rtol=1e-10, atol=1e-10)


def test_no_bound_lies_below_what_an_attack_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    x = (torch.eye(3, 6)[y] * 2 + torch.randn(120, 6, generator=generator)).float()
    net = build("mlp-2x30", 6, 3, 2, seed=0)
    train(
        net,
        x,
        y,
        defense="rub",
        radius=torch.tensor([0.0, 0.3]),
        learning_rate=torch.tensor([0.01, 0.01]),
        batch_size=32,
        steps=80,
        seed=0,
    )
    wide = MLP.from_arrays([w.double() for w in net.weights], [b.double() for b in net.biases])
    x, y = x[:12].double(), y[:12]
    for radius in (0.1, 0.6, 2.0):
        found = torch.stack(
            [
                class_differences(wide(attacks.get(name)(wide, x, y, radius)), y)
                for name in ("vertex-l1", "pgd-l1-best")
            ]
        ).amax(dim=0)
        paper = class_differences(certify.worst_case_differences(wide, x, y, radius), y)
        tight = class_differences(certify.worst_case_differences_tight(wide, x, y, radius), y)
        for p in range(2):
            for slope in ("adaptive", "same-slope"):
                assert (crown(wide, p, x, y, radius, slope) >= found[p] - 1e-9).all()
            assert (paper[p] >= found[p] - 1e-9).all()
            assert (tight[p] >= found[p] - 1e-9).all()
