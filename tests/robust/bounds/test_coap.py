"""COAP's dual bounds against the authors' library, attack and block size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robust import attacks, defenses
from robust.bounds import coap, coap_excess
from robust.checks import for_each_example
from robust.losses import class_differences, with_own_class
from tests.robust.helpers import (
    golden_batch,
    golden_files,
    golden_network,
    load_golden,
    random_batch,
    random_pack,
)

COAP = defenses.get("coap-linf")


@pytest.mark.parametrize("name", golden_files("coap"))
def test_bounds_and_loss_agree_with_the_authors_library(name: str) -> None:
    case = load_golden(name)
    x, y = golden_batch(case, torch.float64)
    radii = torch.as_tensor(case["eps"])
    net = golden_network(case, torch.float64, copies=len(radii))
    with torch.no_grad():
        bounds = with_own_class(
            coap.worst_case_differences(net, x, y, for_each_example(radii, len(y))), y
        ).numpy()
        losses = COAP.loss(net, x, y, radii).numpy()
    scale = np.abs(case["J"]).max(axis=(1, 2), keepdims=True)
    assert (np.abs(bounds + case["J"]) <= 1e-8 * np.abs(case["J"]) + 1e-12 * scale).all()
    assert (np.abs(bounds + case["J_numpy"]) <= 1e-8 * np.abs(case["J"]) + 1e-12 * scale).all()
    np.testing.assert_allclose(losses, case["robust_loss"], rtol=1e-8)
    wrong = (bounds.argmax(axis=2) != case["y"]).mean(axis=1)
    np.testing.assert_allclose(wrong, case["robust_err"])


@pytest.mark.parametrize("name", golden_files("coap"))
def test_loss_agrees_in_float32(name: str) -> None:
    case = load_golden(name)
    radii = torch.as_tensor(case["eps"], dtype=torch.float32)
    net = golden_network(case, torch.float32, copies=len(radii))
    with torch.no_grad():
        losses = COAP.loss(net, *golden_batch(case, torch.float32), radii).numpy()
    large = case["robust_loss"] > 0.01
    np.testing.assert_allclose(losses[large], case["robust_loss"][large], rtol=1e-4)


@pytest.mark.parametrize("name", golden_files("coap"))
def test_hidden_bounds_and_gradient_agree_with_the_authors_library(name: str) -> None:
    case = load_golden(name)
    x, y = golden_batch(case, torch.float64)
    net = golden_network(case, torch.float64)
    radius = torch.full((1, len(y)), 0.1, dtype=torch.float64)
    weights, biases = list(net.weights), list(net.biases)
    layers, _ = coap.relaxed_layers(weights[:-1], biases[:-1], x.unsqueeze(0), radius)
    for layer, relaxed in enumerate(layers, start=1):
        for ours, key in ((relaxed.low, "zl"), (relaxed.high, "zu")):
            expected = case[f"{key}{layer}_eps0.1"]
            scale = np.abs(expected).max()
            rows = len(expected)  # a committed file holds the first
            np.testing.assert_allclose(
                ours[0, :rows].detach().numpy(), expected, rtol=1e-8, atol=1e-12 * scale
            )
    gradients = torch.autograd.grad(COAP.loss(net, x, y, 0.1).sum(), [*weights, *biases])
    keys = [f"{kind}{i}" for kind in "Wb" for i in range(1, len(weights) + 1)]
    for key, gradient in zip(keys, gradients, strict=True):
        expected = case[f"grad_eps0.1_{key}"]
        np.testing.assert_allclose(
            gradient[0, : len(expected)].numpy(),
            expected,
            rtol=1e-8,
            atol=1e-10 * np.abs(expected).max(),
        )


@pytest.mark.parametrize("order", ["l1", "l2", "linf"])
def test_bound_holds_at_attacked_and_random_points(order: str) -> None:
    net = random_pack((6, 20, 20, 4), networks=2, seed=9)
    x, y = random_batch(8, 6, 4, seed=9)
    for radius in (0.01, 0.2, 1.0):
        radii = torch.full((2, 8), radius, dtype=torch.float64)
        bounds = coap.worst_case_differences(net, x, y, radii, order)
        for name in attacks.names():
            attack = attacks.get(name)
            if attack.norm == order:
                x_adv = attack(net, x, y, radius, generator=torch.Generator().manual_seed(0))
                assert (class_differences(net(x_adv), y) <= bounds + 1e-10).all()


@pytest.mark.parametrize("order", ["l1", "l2", "linf"])
@pytest.mark.parametrize("budget", [None, 300])
def test_each_example_has_the_bound_of_its_own_radius(
    monkeypatch: pytest.MonkeyPatch, order: str, budget: int | None
) -> None:
    if budget is not None:
        monkeypatch.setitem(coap_excess.BLOCK_ELEMENTS, "cpu", budget)
    net = random_pack((5, 12, 10, 3), networks=2, seed=6)
    x, y = random_batch(4, 5, 3, seed=6)
    radii = torch.tensor([[0.0, 0.1, 0.2, 0.3], [0.3, 0.0, 0.1, 0.2]], dtype=torch.float64)
    bounds = coap.worst_case_differences(net, x, y, radii, order)
    for value in (0.0, 0.1, 0.2, 0.3):
        at = radii == value
        alone = coap.worst_case_differences(net, x, y, torch.full_like(radii, value), order)
        torch.testing.assert_close(bounds[at], alone[at], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("budget", [300, 3000])
def test_block_size_changes_neither_loss_nor_gradient(
    monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    net = random_pack((5, 12, 10, 3), networks=3, seed=6)
    x, y = random_batch(7, 5, 3, seed=6)
    parameters = list(net.parameters())
    whole = COAP.loss(net, x, y, 0.3)
    expected = torch.autograd.grad(whole.sum(), parameters)
    monkeypatch.setitem(coap_excess.BLOCK_ELEMENTS, "cpu", budget)
    cut = COAP.loss(net, x, y, 0.3)
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(cut.sum(), parameters), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_network_of_another_type_is_refused() -> None:
    class Other(torch.nn.Module):
        num_networks, num_features, num_classes = 1, 3, 2

    with pytest.raises(ValueError, match="no COAP bound for a network of type Other; known: MLP"):
        COAP.loss(Other(), *random_batch(2, 3, 2), 0.1)
