"""Losses and gradients of packs against the plain reference, network by network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from robust import certify, defenses
from tests.robust import reference
from tests.robust.helpers import random_batch, random_pack

SIZES = {
    "one hidden layer": (4, 6, 3),
    "two hidden layers": (3, 6, 5, 4),
    "four hidden layers": (3, 5, 4, 6, 5, 2),
}
Loss = Callable[[list[Tensor], list[Tensor], Tensor, Tensor, float], Tensor]
REFERENCES: dict[str, Loss] = {
    "rub": reference.rub_loss,
    **{
        f"arub-{order}": lambda w, b, x, y, r, order=order: reference.arub_loss(
            w, b, x, y, r, order
        )
        for order in ("l1", "l2", "linf")
    },
    **{
        f"baseline-{order}": lambda w, b, x, y, r, order=order: reference.baseline_loss(
            w, b, x, y, r, order
        )
        for order in ("l1", "l2", "linf")
    },
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("defense", REFERENCES)
def test_loss_and_gradient_equal_the_reference(defense: str, sizes: tuple[int, ...]) -> None:
    net = random_pack(sizes, networks=2, seed=len(sizes))
    x, y = random_batch(3, sizes[0], sizes[-1], seed=len(sizes))
    radii = torch.tensor([0.05, 0.7], dtype=torch.float64)
    ours = defenses.get(defense).loss(net, x, y, radii)
    theirs = torch.stack(
        [
            REFERENCES[defense](*reference.unpack(net, p), x, y, radius)
            for p, radius in enumerate(radii.tolist())
        ]
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(net.parameters())
    got = torch.autograd.grad(ours.sum(), parameters)
    expected = torch.autograd.grad(theirs.sum(), parameters)
    for mine, other in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-11)


def test_worst_case_differences_equal_theorem_11_written_out() -> None:
    net = random_pack((3, 7, 6, 4), networks=2, seed=5)
    x, y = random_batch(3, 3, 4, seed=5)
    bounds = certify.worst_case_differences(net, x, y, 0.4)
    for p in range(2):
        weights, biases = reference.unpack(net, p)
        for n in range(3):
            for k in range(4):
                expected = reference.theorem_11(weights, biases, x[n], int(y[n]), k, 0.4)
                torch.testing.assert_close(bounds[p, n, k], expected, rtol=1e-11, atol=1e-12)


def test_each_network_may_have_its_own_inputs() -> None:
    net = random_pack((3, 6, 2), networks=2)
    (x0, y), (x1, _) = random_batch(4, 3, 2, seed=1), random_batch(4, 3, 2, seed=2)
    for name in defenses.names():
        loss = defenses.get(name).loss
        generators = [torch.Generator().manual_seed(3) for _ in range(3)]
        both = loss(net, torch.stack([x0, x0]), y, 0.2, generators[0])
        torch.testing.assert_close(both, loss(net, x0, y, 0.2, generators[1]))
        mixed = loss(net, torch.stack([x0, x1]), y, 0.0, generators[2])
        alone = [loss(net.subset([p]), x, y, 0.0)[0] for p, x in enumerate((x0, x1))]
        torch.testing.assert_close(mixed, torch.stack(alone))
