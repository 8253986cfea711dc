"""The packed input gradient of the cross-entropy against autograd, network by network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robust import networks
from robust.networks.linearization import Network, loss_gradient

FEATURES, CLASSES, EXAMPLES = 9, 4, 11


def pack(count: int, name: str) -> Network:
    net = networks.build(name, FEATURES, CLASSES, count, seed=1).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=0.3)  # networks of a pack start equal
    return net


def given(count: int, own: bool) -> tuple[Tensor, Tensor]:
    """Inputs and labels, of each network or shared."""
    generator = torch.Generator().manual_seed(5)
    shape = (count, EXAMPLES) if own else (EXAMPLES,)
    x = torch.randn(*shape, FEATURES, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, shape, generator=generator)


def by_autograd(net: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    count = net.num_networks
    inputs = x.expand(count, EXAMPLES, FEATURES).clone().requires_grad_()
    logits = net(inputs)
    labels = y.expand(count, EXAMPLES)
    loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return logits.detach(), torch.autograd.grad(loss, inputs)[0]


@pytest.mark.parametrize("name", ["mlp-3x200", "mlp-1x200", "mlp-2x7"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_loss_gradient_equals_autograd(count: int, own: bool, name: str) -> None:
    net, (x, y) = pack(count, name), given(count, own)
    found = loss_gradient(net, y)(x)
    for ours, theirs in zip(found, by_autograd(net, x, y), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("count", [1, 3])
def test_loss_gradient_of_earlier_inputs_stays(count: int) -> None:
    net, (x, y) = pack(count, "mlp-3x200"), given(count, own=True)
    gradient = loss_gradient(net, y)
    before = gradient(x)
    kept = [t.clone() for t in before]
    gradient(-x)
    for now, then in zip(before, kept, strict=True):
        assert torch.equal(now, then)
