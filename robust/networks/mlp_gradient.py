"""The input gradient of the cross-entropy for packs of multi-layer perceptrons.

Attacks spend their time here. Examples lie side by side in memory, [P, H, N]: every product then
ends in a long row, where one of the last layer, [N, K], would leave most of a vector unit idle.

Legend: P networks in the pack, N inputs, D input features, H hidden units, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.networks.linearization import (
    LossGradient,
    cross_entropy_residual,
    loss_gradient,
    one_hot,
)
from robust.networks.mlp import MLP, homogeneous


@loss_gradient.register
@torch.no_grad()
def _mlp_loss_gradient(net: MLP, y: Tensor) -> LossGradient:
    count, examples = net.num_networks, y.shape[-1]
    product = torch.mm if count == 1 else torch.bmm  # mm starts sooner
    layers = [homogeneous(w, b) for w, b in zip(net.weights, net.biases, strict=True)]
    layers[-1] = layers[-1][..., : net.num_classes].contiguous()
    inputs = layers[0].new_zeros(count, layers[0].shape[1], examples)
    inputs[:, net.num_features] = 1
    features = inputs[:, : net.num_features]
    # From here on [., .] for one network, [P, ., .] for several.
    inputs, targets = inputs.squeeze(0), one_hot(y, net).mT.contiguous().squeeze(0)
    layers = [matrix.squeeze(0) for matrix in layers]
    forward, entry = [m.mT.contiguous() for m in layers], layers[0][..., : net.num_features, :]
    # Memory that all calls share: fresh pages for every product would cost as much as a pass.
    hidden = [inputs.new_empty(*m.shape[:-1], examples) for m in forward[:-1]]
    ahead = list(zip(forward, hidden, strict=False))
    behind = [
        (m, h, torch.empty_like(h)) for m, h in zip(layers[:0:-1], hidden[::-1], strict=True)
    ]

    def in_pack(rows: Tensor) -> Tensor:
        return rows.view(count, rows.shape[-2], examples).mT

    def gradient(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features.copy_(x.detach().mT)
        h = inputs
        for matrix, out in ahead:
            h = product(matrix, h, out=out).relu_()
        logits = product(forward[-1], h)
        v, scale = cross_entropy_residual(logits, targets)
        for matrix, h, out in behind:
            v = _relu_backward(product(matrix, v, out=out), h)
        return in_pack(logits), in_pack(product(entry, v)), in_pack(scale)

    return gradient


def _relu_backward(v: Tensor, activation: Tensor) -> Tensor:
    """Return v where the unit is active, 0 elsewhere, in place."""
    kept: Tensor = torch.ops.aten.threshold_backward.grad_input(v, activation, 0, grad_input=v)
    return kept
