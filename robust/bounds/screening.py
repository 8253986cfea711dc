"""Screening for RUB: a cheap interval around the bound at every vertex, for MLPs.

With lin_l the pre-activations of the network linearised at x, RUB's streams exceed them by
e_s = s - t lin >= 0 and e_m = m + t lin >= 0. As [a + b]^+ <= [a]^+ + b for b >= 0,
    e_s <= e_u + flipped_l,   e_m = t e_v,   flipped_l = [-lin_l]^+ where t = 1, [lin_l]^+ else,
and e_u, e_v follow from e_s, e_m by the non-negative matrices of rub_mlp. This is linear, so one
backward pass per class gives weights q_l >= 0 with
    c_k'lin_L <= bound <= c_k'lin_L + sum_l q_l'flipped_l,
which costs products on D rows (the two signs of a step share them) where the bound itself needs
four times as many on 2D rows. Where nothing flips both sides are equal: RUB is aRUB-L1.

Legend: P networks in the pack, B batch, V vertices, D input features, H hidden units, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.bounds.output_layer import OutputLayer, output_layer
from robust.bounds.vertex_search import chunks
from robust.networks.mlp import MLP


@torch.no_grad()
def bound_interval(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, budget: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return a lower and an upper bound of RUB's bound of each class difference.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, 1] or [P, B].
        budget: activations of one layer held at once; None chooses by device.

    Returns:
        The maximum over vertices of either side, each [P, B, K-1]. The lower side is aRUB-L1.
    """
    hidden = net.pre_activations(x)[:-1]
    last = output_layer(net, y)
    radius = radius.expand(hidden[0].shape[:2])
    lower, upper = torch.empty_like(last.bias), torch.empty_like(last.bias)
    for at in chunks(net, hidden[0].shape[1], x.device.type, budget):
        sides = _vertex_interval(
            [z[at] for z in hidden],
            [w[at[0]] for w in list(net.weights)[:-1]],
            last.slice(*at),
            radius[at],
        )
        lower[at], upper[at] = (side.amax(dim=2) for side in sides)
    return lower, upper


def _vertex_interval(
    hidden: Sequence[Tensor], weights: Sequence[Tensor], last: OutputLayer, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Return both sides at every vertex, each [P, B, V, K-1]."""
    masks = [(z > 0).to(z.dtype).unsqueeze(2) for z in hidden]  # [P, B, 1, H]
    gains = _gains(weights, masks, last)
    slack: Tensor | None = None
    step = radius[:, :, None, None] * weights[0].unsqueeze(1)  # [P, B, D, H]: lin_1 - z_1
    for layer, (z, mask) in enumerate(zip(hidden, masks, strict=True)):
        if layer > 0:
            rows = (*step.shape[:3], -1)
            step = torch.bmm((step * masks[layer - 1]).flatten(1, 2), weights[layer]).view(rows)
        # [-lin]^+ of active and [lin]^+ of inactive units are both [+-step - |z|]^+.
        towards = step * (1 - 2 * mask)
        flipped = torch.cat([towards, -towards], dim=2).sub_(z.abs().unsqueeze(2)).relu_()
        added = torch.matmul(flipped, gains[layer].mT)
        slack = added if slack is None else slack + added
    assert slack is not None
    slope = torch.matmul(step * masks[-1], last.weight.mT)
    active = torch.relu(hidden[-1]).unsqueeze(2)
    value = torch.matmul(active, last.weight.mT) + last.bias.unsqueeze(2)
    lower = torch.cat([value + slope, value - slope], dim=2)
    return lower, lower + slack


def _gains(weights: Sequence[Tensor], masks: Sequence[Tensor], last: OutputLayer) -> list[Tensor]:
    """Return q_l of each hidden layer, [P, B, K-1, H]: what a flip there can add at most."""
    to_s, to_m = last.weight.clamp_min(0), (-last.weight).clamp_min(0) * masks[-1]
    gains = [to_s]
    for weight, mask in zip(reversed(weights[1:]), reversed(masks[:-1]), strict=True):
        keep, swap = weight.clamp_min(0).mT, (-weight).clamp_min(0).mT
        rows = (*to_s.shape[:3], -1)
        s, m = to_s.flatten(1, 2), to_m.flatten(1, 2)
        to_s = (torch.bmm(s, keep) + torch.bmm(m, swap)).view(rows)
        to_m = (torch.bmm(s, swap) + torch.bmm(m, keep)).view(rows) * mask
        gains.insert(0, to_s)
    return gains
