"""Screening for RUB: cheap bounds of the bound at every vertex, for MLPs.

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

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from robust.bounds.first_order import difference_cotangents
from robust.bounds.output_layer import OutputLayer, output_layer
from robust.bounds.vertex_search import chunks
from robust.losses import class_differences
from robust.networks.mlp import MLP


@torch.no_grad()
def linear_bounds(net: MLP, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Return c_k'lin_L, which RUB's bound is never below, at every vertex.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, B].

    Returns:
        [P, B, V, K-1].
    """
    expansion = net.linearize(x)
    cotangents = difference_cotangents(y, net.num_classes, expansion.logits)
    slope = expansion.pullback(cotangents.unsqueeze(0)).mT * radius[..., None, None]
    value = class_differences(expansion.logits, y).unsqueeze(2)
    return torch.cat([value + slope, value - slope], dim=2)


@torch.no_grad()
def slacks(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, budget: int | None = None
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Yield by how much RUB's bound exceeds the linear one at most, for a few examples at once.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, B].
        budget: activations of one layer held at once; None chooses by device.

    Yields:
        Slices of networks and examples, and sum_l q_l'flipped_l there, [p, b, V, K-1].
    """
    hidden = net.pre_activations(x)[:-1]
    last = output_layer(net, y)
    weights = list(net.weights)[:-1]
    for at in chunks(net, len(y), 2 * net.num_features, x.device.type, budget):
        layers = [z[at].unsqueeze(2) for z in hidden], [w[at[0]] for w in weights]
        yield at, _slack(*layers, last.slice(*at), radius[at])


def _slack(
    hidden: Sequence[Tensor], weights: Sequence[Tensor], last: OutputLayer, radius: Tensor
) -> Tensor:
    """Return sum_l q_l'flipped_l at every vertex, [P, B, V, K-1]; hidden is z_l, [P, B, 1, H]."""
    masks = [(z > 0).to(z.dtype) for z in hidden]
    step = radius[:, :, None, None] * weights[0].unsqueeze(1)  # [P, B, D, H]: lin_1 - z_1
    both = step.new_zeros(2, *step.shape[:3], last.weight.shape[2])  # of the two signs
    for layer, gain in enumerate(_gains(weights, masks, last)):
        if layer > 0:
            rows = (*step.shape[:3], -1)
            step = torch.bmm((step * masks[layer - 1]).flatten(1, 2), weights[layer]).view(rows)
        # [-lin]^+ of active and [lin]^+ of inactive units are both [+-step - |z|]^+.
        towards, reach = step * (1 - 2 * masks[layer]), hidden[layer].abs()
        both[0] += torch.matmul((towards - reach).relu_(), gain.mT)
        both[1] += torch.matmul(towards.add_(reach).neg_().relu_(), gain.mT)
    return torch.cat([both[0], both[1]], dim=2)


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
