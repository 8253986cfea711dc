"""The packed input gradient of the cross-entropy against autograd, network by network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robust import networks
from robust.networks.linearization import Network, loss_gradient
from robust.numerics.precision import flushed_denormals

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
    found = loss_gradient(net, y)(x)[:2]
    for ours, theirs in zip(found, by_autograd(net, x, y), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("count", [1, 3])
def test_loss_gradient_of_earlier_inputs_stays(count: int) -> None:
    net, (x, y) = pack(count, "mlp-3x200"), given(count, own=True)
    gradient = loss_gradient(net, y)
    before = gradient(x)
    kept = [t.clone() for t in before[:2]]
    gradient(-x)
    for now, then in zip(before[:2], kept, strict=True):
        assert torch.equal(now, then)


def saturated(count: int, gap: float, dtype: torch.dtype) -> tuple[Network, Tensor, Tensor]:
    """Networks that are sure of every example's class by about so much, half of them by little."""
    net, (x, _) = pack(count, "mlp-2x7"), given(count, own=True)
    with torch.no_grad():
        logits = net(x)
        ordered = logits.sort(dim=2).values
        lead = (ordered[..., -1] - ordered[..., -2]).median(dim=1).values
        for tensor in (net.weights[-1], net.biases[-1]):  # type: ignore[attr-defined]
            tensor.mul_((gap / lead).view(-1, *[1] * (tensor.dim() - 1)))
    return net.to(dtype), x.to(dtype), logits.argmax(dim=2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("gap", [50.0, 75.0, 95.0])
@pytest.mark.parametrize("name", ["packed", "any network"])
def test_loss_gradient_of_saturated_examples_keeps_its_digits(name: str, gap: float) -> None:
    net, x, y = saturated(3, gap, torch.float32)
    form = loss_gradient if name == "packed" else loss_gradient.dispatch(object)
    with flushed_denormals():
        _, gradient, scale = form(net, y)(x)
    assert (scale > 1).any()
    found = gradient.double() / scale.double()
    inputs = x.double().requires_grad_()
    logits = net.double()(inputs)  # type: ignore[attr-defined]
    others = torch.softmax(logits.detach(), dim=2).scatter(2, y.unsqueeze(2), 0)
    # 1 - p_y is 0 in float32, and larger than its smallest number.
    certain = (others.amax(dim=2) > 1e-43) & (others.sum(dim=2) < 1e-9)
    assert certain.any()
    (expected,) = torch.autograd.grad(logits, inputs, others)
    largest = expected.abs().amax(dim=2, keepdim=True)
    # exp turns the logits' absolute errors, units in their last places, into relative ones.
    tolerance = 8 * torch.finfo(torch.float32).eps * float(logits.detach().abs().max())
    assert ((found - expected).abs() / largest)[certain].max() < tolerance


def test_loss_gradient_is_zero_where_the_softmax_is() -> None:
    net, x, y = saturated(2, 400.0, torch.float32)
    ordered = net(x).sort(dim=2).values
    hopeless = ordered[..., -1] - ordered[..., -2] > 105
    gradient = loss_gradient(net, y)(x)[1]
    assert hopeless.any()
    assert not gradient[hopeless].any()


def test_loss_gradient_of_others_is_unmoved_by_a_saturated_example() -> None:
    net, x, y = saturated(1, 60.0, torch.float32)
    _, gradient, scale = loss_gradient(net, y)(x)
    assert (scale > 1).any()
    plain = (scale == 1).flatten()
    assert plain.any()
    assert not plain.all()
    alone = loss_gradient(net, y[:, plain])(x[:, plain])[1]
    torch.testing.assert_close(alone, gradient[:, plain])
