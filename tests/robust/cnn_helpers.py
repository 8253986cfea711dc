"""Small convolutional packs, and RUB on the dense form of their convolutions.

Legend: P networks in the pack, V vertices, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from robust.networks import CNN

# (P, input shape, maps, kernel sides, hidden dense units): odd corners of every kind.
SHAPES = [
    (2, (8, 12, 2), (3, 4), (3, 5), (7,)),
    (1, (8, 8, 1), (3, 4), (5, 5), (6, 5)),
    (2, (4, 6, 1), (3,), (3,), ()),
    (1, (16, 8, 1), (3, 2, 2), (3, 1, 3), (4,)),
]


def random_cnn(
    networks: int,
    shape: tuple[int, int, int],
    maps: Sequence[int],
    sides: Sequence[int],
    hidden: Sequence[int],
    classes: int = 4,
    seed: int = 0,
) -> CNN:
    """Return float64 networks with normal parameters of variance 2/fan-in."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(networks, *size, generator=generator, dtype=torch.float64)

    height, width, channels = shape
    weights, biases = [], []
    for side, count in zip(sides, maps, strict=True):
        scale = (2.0 / (side**2 * channels)) ** 0.5
        weights.append(scale * normal(side, side, channels, count))
        biases.append(0.2 * normal(count))
        height, width, channels = height // 2, width // 2, count
    units = height * width * channels
    for count in (*hidden, classes):
        weights.append((2.0 / units) ** 0.5 * normal(units, count))
        biases.append(0.2 * normal(count))
        units = count
    return CNN(weights, biases, shape)


def dense_form(weight: Tensor, height: int, width: int) -> Tensor:
    """Return one network's convolution, (k, k, in, out), as a matrix over flat maps."""
    side, _, inputs, outputs = weight.shape
    matrix = weight.new_zeros(height, width, inputs, height, width, outputs)
    for row, column, a, b in product(range(height), range(width), range(side), range(side)):
        i, j = row + a - side // 2, column + b - side // 2
        if 0 <= i < height and 0 <= j < width:
            matrix[i, j, :, row, column] += weight[a, b]
    return matrix.reshape(height * width * inputs, height * width * outputs)


def windows(height: int, width: int, maps: int) -> Tensor:
    """Return the flat indices of the four members of every pooling window, [windows, 4]."""
    index = torch.arange(height * width * maps).view(height, width, maps)
    rows = [
        index[[2 * i, 2 * i, 2 * i + 1, 2 * i + 1], [2 * j, 2 * j + 1] * 2, m]
        for i, j, m in product(range(height // 2), range(width // 2), range(maps))
    ]
    return torch.stack(rows)


def dense_layers(net: CNN, p: int) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Return network p as dense layers: matrix, bias, and windows pooled after it."""
    (height, width, _), layers = net.input_shape, []
    for stage, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        w, b = weight.detach()[p], bias.detach()[p]
        if stage < net.num_stages:
            w, b = dense_form(w, height, width), b.repeat(height * width)
            layers.append((w, b, windows(height, width, weight.shape[-1])))
            height, width = height // 2, width // 2
        else:
            layers.append((w, b, None))
    return layers


def reference_bounds(net: CNN, p: int, x: Tensor, label: int, points: Tensor) -> Tensor:
    """Return RUB's bound of every z_k - z_y at given points, by the proof and nothing else.

    Args:
        net, p: one network of the pack.
        x: one input, [D].
        label: y.
        points: [V, D].

    Returns:
        [V, K].
    """
    *hidden, (last_w, last_b, _) = dense_layers(net, p)
    h = x
    s, m = points, -points  # the inputs themselves: exact from both sides
    for w, b, members in hidden:
        z = h @ w + b
        u = s @ w.clamp(min=0) + m @ (-w).clamp(min=0) + b
        v = s @ (-w).clamp(min=0) + m @ w.clamp(min=0) - b
        groups = torch.arange(len(z)).unsqueeze(1) if members is None else members
        winner = groups.gather(1, z[groups].argmax(dim=1, keepdim=True)).squeeze(1)
        t = (z[winner] > 0).to(z.dtype)
        s = u[:, groups].clamp(min=0).amax(dim=2)
        m = t * v[:, winner]
        h = z[groups].clamp(min=0).amax(dim=1)
    c = last_w - last_w[:, [label]]
    return s @ c.clamp(min=0) + m @ (-c).clamp(min=0) + last_b - last_b[label]


def vertices(x: Tensor, radius: float) -> Tensor:
    """Return x + radius e_m for all m, then x - radius e_m, [2D, D]."""
    unit = torch.eye(len(x), dtype=x.dtype)
    return torch.cat([x + radius * unit, x - radius * unit])
