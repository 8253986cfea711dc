"""FGSM training as Wong, Rice and Kolter (2020) describe it, and their check."""

from __future__ import annotations

import pytest
import torch

from robust.defenses.fgsm import FGSMTraining, OverfittingCheck
from robust.norms import sample_unit_ball
from robust.train import train
from tests.robust.helpers import random_batch, random_pack

FGSM = FGSMTraining(name="fgsm-linf", norm="linf")


def test_inputs_follow_the_published_rule() -> None:
    net = random_pack((4, 8, 3), networks=1, seed=3)
    x, y = random_batch(6, 4, 3, seed=3)
    radius, bounds = 0.5, (-1.0, 1.2)
    noise = sample_unit_ball((6, 4), "linf", x, torch.Generator().manual_seed(5))
    delta = ((x + radius * noise).clamp(*bounds) - x).requires_grad_()
    loss = torch.nn.functional.cross_entropy(net(x + delta)[0], y)
    (gradient,) = torch.autograd.grad(loss, delta)
    delta = (delta + 1.25 * radius * gradient.sign()).detach().clamp(-radius, radius)
    expected = (x + delta).clamp(*bounds)
    method = FGSMTraining(name="fgsm-linf", norm="linf", bounds=bounds)
    radii = torch.tensor([radius], dtype=torch.float64)
    x_adv = method.adversarial_inputs(net, x, y, radii, torch.Generator().manual_seed(5))
    torch.testing.assert_close(x_adv[0], expected)


def test_check_stops_and_restores_only_the_network_that_collapses() -> None:
    net = random_pack((4, 16, 2), networks=2, seed=1)
    x, _ = random_batch(32, 4, 2, seed=1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter[1] = parameter[0]
    y = net(x)[0].argmax(dim=1)  # both start perfect
    check = OverfittingCheck(net, x, y, 1e-6, every=2)
    assert check(1).tolist() == [True, True]
    assert check(2).tolist() == [True, True]
    good = [p.detach().clone() for p in net.parameters()]
    with torch.no_grad():
        net.weights[-1][1].neg_()
    assert check(3).tolist() == [True, True]  # not a step at which it looks
    assert check(4).tolist() == [True, False]
    assert all(torch.equal(p, g) for p, g in zip(net.parameters(), good, strict=True))
    with torch.no_grad():
        net.weights[-1][0].mul_(2)
    assert check(6).tolist() == [True, False]
    assert torch.equal(net.weights[-1][0], 2 * good[1][0])


def test_network_stopped_while_training_keeps_its_parameters() -> None:
    x, y = random_batch(16, 4, 2, seed=2)
    nets = [random_pack((4, 8, 2), networks=2, seed=2) for _ in range(2)]
    settings = {
        "defense": "fgsm-linf",
        "radius": torch.tensor([0.1, 0.1], dtype=torch.float64),
        "learning_rate": torch.tensor([0.01, 0.01], dtype=torch.float64),
        "batch_size": 8,
        "seed": 0,
    }

    def second_stops_after_three(step: int) -> torch.Tensor:
        return torch.tensor([True, step < 3])

    train(nets[0], x, y, steps=9, keep_training=second_stops_after_three, **settings)
    stopped_at = [p[1].clone() for p in nets[0].parameters()]
    train(nets[1], x, y, steps=9, **settings)
    continued = [p[0] for p in nets[1].parameters()]
    assert all(torch.equal(p[0], c) for p, c in zip(nets[0].parameters(), continued, strict=True))
    three = random_pack((4, 8, 2), networks=2, seed=2)
    train(three, x, y, steps=3, **settings)
    assert all(torch.equal(p[1], s) for p, s in zip(three.parameters(), stopped_at, strict=True))


def test_check_every_zero_steps_is_refused() -> None:
    net = random_pack((4, 8, 2))
    with pytest.raises(ValueError, match="every must be at least 1 step, got 0"):
        OverfittingCheck(net, *random_batch(4, 4, 2), 0.1, every=0)
