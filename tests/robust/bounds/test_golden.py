"""Agreement with the numbers that the authors' own code, foolbox and two libraries give."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from robust import attacks, certify, defenses
from tests.robust.helpers import golden_batch, golden_files, golden_network, load_golden

LOSSES = {
    "nominal": "nominal",
    "arub-linf": "arub_linf",
    "arub-l1": "arub_l1",
    "rub": "rub_loss",
}
GRADIENTS = {
    "nominal": "nominal",
    "arub-linf": "arub_linf",
    "arub-l1": "arub_l1",
    "rub": "rub",
}
ATTACKS = {
    "pgd-linf": "linf_pgd",
    "pgd-l2": "l2_pgd",
    "pgd-l1": "l1_pgd",
    "fgsm-linf": "linf_fgm",
    "fgm-l2": "l2_fgm",
    "fgm-l1": "l1_fgm",
}


def losses_at_all_radii(name: str, defense: str, dtype: torch.dtype) -> Tensor:
    """One copy of the network for each radius: [R]."""
    case = load_golden(name)
    radii = torch.as_tensor(case["rhos"], dtype=dtype)
    net = golden_network(case, dtype, copies=len(radii))
    with torch.no_grad():
        return defenses.get(defense).loss(net, *golden_batch(case, dtype), radii).double()


@pytest.mark.parametrize("defense", LOSSES)
@pytest.mark.parametrize("name", golden_files("loss"))
def test_losses_agree_with_the_authors_code_in_float64(name: str, defense: str) -> None:
    case = load_golden(name)
    ours = losses_at_all_radii(name, defense, torch.float64).numpy()
    np.testing.assert_allclose(ours, case[f"tf64_{LOSSES[defense]}"], rtol=1e-8)
    formula = case[f"np_{LOSSES[defense]}_ps"].mean(axis=-1)
    np.testing.assert_allclose(ours, np.broadcast_to(formula, ours.shape), rtol=1e-8)


@pytest.mark.parametrize("defense", LOSSES)
@pytest.mark.parametrize("name", golden_files("loss"))
def test_losses_agree_in_float32_and_stay_finite(name: str, defense: str) -> None:
    expected = load_golden(name)[f"tf64_{LOSSES[defense]}"]
    ours = losses_at_all_radii(name, defense, torch.float32).numpy()
    assert np.isfinite(ours).all()
    large = expected > 0.01
    np.testing.assert_allclose(ours[large], expected[large], rtol=1e-4)
    np.testing.assert_allclose(ours, expected, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("defense", GRADIENTS)
@pytest.mark.parametrize("name", golden_files("loss"))
def test_gradients_agree_with_the_authors_tape(name: str, defense: str) -> None:
    case = load_golden(name)
    net = golden_network(case, torch.float64)
    loss = defenses.get(defense).loss(net, *golden_batch(case, torch.float64), 0.1)
    parameters = {f"W{i}": w for i, w in enumerate(net.weights, start=1)}
    parameters |= {f"b{i}": b for i, b in enumerate(net.biases, start=1)}
    gradients = torch.autograd.grad(loss.sum(), list(parameters.values()))
    prefix = f"grad0.1_{GRADIENTS[defense]}"
    for key, gradient in zip(parameters, gradients, strict=True):
        ours = gradient[0].numpy()
        np.testing.assert_allclose(
            np.linalg.norm(ours), case[f"{prefix}_norm_{key}"], rtol=1e-8, atol=1e-14
        )
        if f"{prefix}_{key}" in case:
            expected = case[f"{prefix}_{key}"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9 * scale)


@functools.cache
def certificates(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [R, B, K] and certificates [R, B] of a golden file in float64."""
    case = load_golden(name)
    x, y = golden_batch(case, torch.float64)
    radii = torch.as_tensor(case["rhos"])
    net = golden_network(case, torch.float64, copies=len(radii))
    with torch.no_grad():
        bounds = certify.worst_case_differences(net, x, y, radii)
    return bounds.numpy(), certify.certified(net, x, y, radii).numpy()


@pytest.mark.parametrize("name", golden_files("loss"))
class TestCertificates:
    """Theorem 11's bounds and what they prove; grouped so that each file is computed once."""

    def test_bounds_agree_with_theorem_11(self, name: str) -> None:
        expected = load_golden(name)["np_rub_gmax"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(certificates(name)[0], expected, rtol=1e-8, atol=1e-12 * scale)

    def test_certified_points_are_those_of_theorem_11(self, name: str) -> None:
        assert (certificates(name)[1] == load_golden(name)["np_rub_cert_ps"]).all()

    def test_certified_points_survive_every_recorded_attack(self, name: str) -> None:
        case = load_golden(name)
        bounds, certified = certificates(name)
        if "sound_attack_robust_ps" not in case:  # untrained networks were not attacked
            assert name.endswith("_init")
            return
        assert not (certified & ~case["sound_attack_robust_ps"]).any()
        assert (bounds >= case["sound_attack_max_diff"] - 1e-9).all()

    def test_float32_certifies_the_same_points(self, name: str) -> None:
        case = load_golden(name)
        radii = torch.as_tensor(case["rhos"])
        net = golden_network(case, torch.float32, copies=len(radii))
        certified = certify.certified(net, *golden_batch(case, torch.float32), radii)
        assert (certified.numpy() == case["np_rub_cert_ps"]).all()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", golden_files("attack"))
def test_attacks_move_points_as_foolbox_does(name: str, attack: str) -> None:
    case = load_golden(name)
    key = ATTACKS[attack]
    method = attacks.get(attack)
    radii = torch.as_tensor(case[f"radii_{method.norm}"])
    net = golden_network(case, torch.float64, copies=len(radii))
    expected = case[f"{key}_norandom_adv"]
    saved = expected.shape[1]
    x, y = golden_batch(case, torch.float64)
    x, y = x[:saved], y[:saved]
    x_adv = method(net, x, y, radii, bounds=(-1e10, 1e10), random_start=False)
    np.testing.assert_allclose(x_adv.numpy(), expected, rtol=0, atol=1e-6)
    fooled = (net(x_adv).argmax(dim=2) != y).numpy()
    assert (fooled == case[f"{key}_norandom_success"][:, :saved]).all()
