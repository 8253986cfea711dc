"""Adam for packs against torch's own."""

from __future__ import annotations

import torch

from robust.training.optimizer import PackedAdam


def test_each_network_moves_as_under_torch_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    rates = [1.0, 1e-2, 1e-5]
    shapes = [(3, 4, 5), (3, 5)]
    start = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    gradients = [
        [
            torch.randn(s, generator=generator, dtype=torch.float64) * 10.0 ** (2 - i)
            for s in shapes
        ]
        for i in range(5)
    ]
    ours = [p.clone() for p in start]
    packed = PackedAdam(ours, torch.tensor(rates, dtype=torch.float64))
    for step in gradients:
        packed.step(step, torch.ones(3, dtype=torch.bool))
    for p, rate in enumerate(rates):
        theirs = [q[p].clone().requires_grad_() for q in start]
        adam = torch.optim.Adam(theirs, lr=rate, betas=(0.9, 0.999), eps=1e-7)
        for step in gradients:
            for parameter, gradient in zip(theirs, step, strict=True):
                parameter.grad = gradient[p].clone()
            adam.step()
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine[p], other.detach(), rtol=1e-12, atol=1e-14)


def test_dead_network_stays_and_leaves_the_others_alone() -> None:
    start = torch.ones(2, 3, dtype=torch.float64)
    both, alone = start.clone(), start[:1].clone()
    rates = torch.tensor([0.1, 0.1], dtype=torch.float64)
    pack, single = PackedAdam([both], rates), PackedAdam([alone], rates[:1])
    for value in (1.0, float("nan"), float("inf")):
        gradient = torch.ones(2, 3, dtype=torch.float64)
        gradient[1] = value
        alive = torch.tensor([True, bool(torch.isfinite(torch.tensor(value)))])
        before = both[1].clone()
        pack.step([gradient], alive)
        single.step([gradient[:1]], alive[:1])
        assert torch.equal(both[0], alone[0])
        assert torch.equal(both[1], before) != bool(alive[1])


def test_update_of_the_pack_equals_that_of_each_network() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, 40, 5), (3, 5)]
    start = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    rates = torch.tensor([1.0, 1e-2, 1e-5], dtype=torch.float64)
    one, other = (PackedAdam([p.clone() for p in start], rates) for _ in range(2))
    alive = torch.tensor([True, False, True])
    for _ in range(4):
        gradients = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        gradients[0] = gradients[0].mT.contiguous().mT  # as autograd may hand it over
        one.count += 1
        other.count += 1
        one._step_each(gradients, alive)
        other._step_pack(gradients, alive)
    for mine, theirs, first in zip(one.parameters, other.parameters, start, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)
        assert torch.equal(mine[1], first[1])
