"""Packs of convolutional networks against torch, one network at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robust import attacks, defenses
from robust.networks import CNN, MLP, build
from tests.robust.cnn_helpers import SHAPES, random_cnn
from tests.robust.helpers import random_batch


def plain_logits(net: CNN, p: int, x: Tensor) -> Tensor:
    """Return network p's logits with torch's layers, [B, K]."""
    height, width, channels = net.input_shape
    h = x.view(-1, height, width, channels).permute(0, 3, 1, 2)
    for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        w, b = weight[p], bias[p]
        if layer < net.num_stages:
            z = functional.conv2d(h, w.permute(3, 2, 0, 1), b, padding="same")
            h = functional.max_pool2d(functional.relu(z), 2)
        else:
            if layer == net.num_stages:
                h = h.permute(0, 2, 3, 1).flatten(1)
            h = functional.linear(h, w.T, b)
            h = functional.relu(h) if layer < len(net.weights) - 1 else h
    return h


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_equals_torch_layers_per_network(shape: tuple) -> None:
    net = random_cnn(*shape)
    x, _ = random_batch(3, net.num_features, 4)
    own = torch.stack([x + p for p in range(net.num_networks)])
    for p in range(net.num_networks):
        torch.testing.assert_close(net(x)[p], plain_logits(net, p, x))
        torch.testing.assert_close(net(own)[p], plain_logits(net, p, own[p]))


@pytest.mark.parametrize("shape", SHAPES)
def test_pullback_equals_autograd_in_inputs_and_parameters(shape: tuple) -> None:
    net = random_cnn(*shape)
    x, _ = random_batch(3, net.num_features, 4)
    cotangents = torch.randn(1, 3, 2, 4, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    expansion = net.linearize(x)
    pulled = expansion.pullback(cotangents)
    x.requires_grad_()
    rows = []
    for p in range(net.num_networks):
        logits = plain_logits(net, p, x)
        torch.testing.assert_close(expansion.logits[p], logits)
        rows += [
            torch.autograd.grad((logits * cotangents[0, :, c]).sum(), x, create_graph=True)[0]
            for c in range(2)
        ]
    expected = torch.stack(rows).view(net.num_networks, 2, 3, -1).transpose(1, 2)
    torch.testing.assert_close(pulled, expected)
    # The last bias and those of linear pieces do not enter the Jacobian.
    ours = torch.autograd.grad(pulled.square().sum(), list(net.weights))
    theirs = torch.autograd.grad(expected.square().sum(), list(net.weights))
    torch.testing.assert_close(ours, theirs)


def test_ties_within_a_window_have_one_winner() -> None:
    net = random_cnn(1, (4, 4, 1), (2,), (1,), (3,))
    x = torch.full((1, 16), 0.7, dtype=torch.float64)  # every window is a four-fold tie
    pulled = net.linearize(x).pullback(torch.eye(4, dtype=x.dtype).view(1, 1, 4, 4))
    touched = pulled.view(4, 2, 2, 2, 2).transpose(2, 3).flatten(3).ne(0)
    assert touched.any()
    assert touched.sum(dim=3).max() == 1


@pytest.mark.parametrize("defense", ["nominal", "baseline-l2", "arub-l1", "rub", "pgd-linf"])
def test_loss_does_not_depend_on_the_pack(defense: str) -> None:
    net = random_cnn(3, (8, 8, 1), (3, 4), (5, 3), (6,))
    x, y = random_batch(4, 64, 4)
    radius = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)

    def losses(pack: CNN, radii: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        return defenses.get(defense).loss(pack, x, y, radii, generator)

    packed = losses(net, radius)
    alone = [losses(net.subset([p]), radius[p : p + 1])[0] for p in range(3)]
    torch.testing.assert_close(packed, torch.stack(alone))


def test_attack_lowers_the_margin() -> None:
    net = random_cnn(2, (8, 8, 1), (3, 4), (5, 3), (6,))
    x, y = random_batch(6, 64, 4)
    at = attacks.get("pgd-linf")(net, x, y, 0.3, generator=torch.Generator().manual_seed(0))
    loss = defenses.get("nominal")
    for p in range(2):
        alone = net.subset([p])
        assert loss.loss(alone, at[p], y, 0.0) > loss.loss(alone, x, y, 0.0)


def test_build_makes_madrys_network_with_glorot_weights() -> None:
    net = build("cnn", 784, 10, 2, seed=5, input_shape=(28, 28, 1))
    assert isinstance(net, CNN)
    assert [tuple(w.shape[1:]) for w in net.weights] == [
        (5, 5, 1, 32),
        (5, 5, 32, 64),
        (3136, 1024),
        (1024, 10),
    ]
    fans = [25 * 1 + 25 * 32, 25 * 32 + 25 * 64, 3136 + 1024, 1024 + 10]
    for weight, bias, fan in zip(net.weights, net.biases, fans, strict=True):
        limit = (6 / fan) ** 0.5
        assert 0.95 * limit < weight.abs().max() <= limit
        torch.testing.assert_close(weight[0], weight[1], rtol=0, atol=0)
        assert (bias == 0.1).all()
    again = build("cnn", 784, 10, 1, seed=5, input_shape=(28, 28, 1))
    torch.testing.assert_close(again.weights[1][0], net.weights[1][0], rtol=0, atol=0)


def test_build_of_cnn_asks_for_images() -> None:
    with pytest.raises(ValueError, match=r"'cnn' needs images.*30 features, got \(30,\)"):
        build("cnn", 30, 2, 1, 0, input_shape=(30,))
    with pytest.raises(ValueError, match="needs images"):
        build("cnn", 784, 10, 1, 0)
    assert isinstance(build("mlp-1x200", 784, 10, 1, 0, input_shape=(28, 28, 1)), MLP)


def test_arrays_that_do_not_fit_are_named() -> None:
    def make(kernel: tuple[int, ...], rows: int, shape: tuple[int, ...] = (4, 4, 1)) -> CNN:
        weights = [torch.zeros(kernel), torch.zeros(rows, 2)]
        return CNN.from_arrays(weights, [torch.zeros(kernel[-1]), torch.zeros(2)], shape)

    assert make((3, 3, 1, 5), 20).num_features == 16
    with pytest.raises(ValueError, match=r"layer 1: weight \(1, 2, 2, 1, 5\).*k odd"):
        make((2, 2, 1, 5), 20)
    with pytest.raises(ValueError, match=r"layer 1: .*in = 1"):
        make((3, 3, 2, 5), 20)
    with pytest.raises(ValueError, match=r"layer 2: .*in = 20"):
        make((3, 3, 1, 5), 21)
    with pytest.raises(ValueError, match="divisible by 2, got 5 x 4"):
        make((3, 3, 1, 5), 20, (5, 4, 1))
    with pytest.raises(ValueError, match="height, width, channels"):
        make((3, 3, 1, 5), 20, (16,))
    with pytest.raises(ValueError, match="at least one convolution"):
        CNN.from_arrays([torch.zeros(16, 2)], [torch.zeros(2)], (4, 4, 1))
