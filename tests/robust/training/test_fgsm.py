"""FGSM training as Wong, Rice and Kolter (2020) describe it."""

from __future__ import annotations

import torch

from robust.defenses.fgsm import FGSMTraining
from robust.norms import sample_unit_ball
from tests.robust.helpers import random_batch, random_pack


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
    radii = torch.full((1, 6), radius, dtype=torch.float64)
    x_adv = method.adversarial_inputs(net, x, y, radii, torch.Generator().manual_seed(5))
    torch.testing.assert_close(x_adv[0], expected)
