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
from robust.bounds.output_layer import OutputLayer
from robust.bounds.vertex_search import Scratch, Unperturbed, chunks, unperturbed_pass
from robust.losses import class_differences
from robust.networks.mlp import MLP


@torch.no_grad()
def linear_parts(net: MLP, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return c_k'lin_L at x and what a step of +rho along each feature adds to it.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, B].

    Returns:
        [P, B, 1, K-1] and [P, B, D, K-1].
    """
    expansion = net.linearize(x)
    cotangents = difference_cotangents(y, net.num_classes, expansion.logits)
    slope = expansion.pullback(cotangents.unsqueeze(0)).mT * radius[..., None, None]
    return class_differences(expansion.logits, y).unsqueeze(2), slope


def linear_bounds(net: MLP, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Return c_k'lin_L, which RUB's bound is never below, at every vertex, [P, B, V, K-1]."""
    value, slope = linear_parts(net, x, y, radius)
    return torch.cat([value + slope, value - slope], dim=2)


class Screen:
    """One batch's unperturbed pass and gains, ready for the slack of one chunk after another."""

    @torch.no_grad()
    def __init__(self, net: MLP, around: Unperturbed, radius: Tensor) -> None:
        self.weights = list(net.weights)[:-1]
        self.radius = radius[..., None, None]
        self.masks = [twice / 2 for twice in around.twice]
        self.signs = [1 - twice for twice in around.twice]
        self.reaches = [z.abs().unsqueeze(2) for z in around.hidden]
        self.gains = [gain.mT for gain in _gains(self.weights, self.masks, around.last)]
        self.scratch = Scratch(radius)

    @torch.no_grad()
    def slack(self, networks: slice, examples: slice) -> Tensor:
        """Return sum_l q_l'flipped_l, by which the bound exceeds lin at most, [p, b, V, K-1]."""
        at = networks, examples
        first = self.weights[0][networks].unsqueeze(1)  # [p, 1, D, H]
        radius = self.radius[at]
        shape = (*radius.shape[:2], first.shape[2])  # p, b, D
        step = self.scratch.take("step", *shape, first.shape[3])
        torch.mul(radius, first, out=step)  # lin_1 - z_1
        parts = []
        for layer, (sign, reach, gain) in enumerate(
            zip(self.signs, self.reaches, self.gains, strict=True)
        ):
            if layer > 0:
                weight = self.weights[layer][networks]
                rows = step.mul_(self.masks[layer - 1][at]).flatten(1, 2)
                step = self.scratch.take("next", *shape, weight.shape[2])
                torch.bmm(rows, weight, out=step.flatten(1, 2))
                self.scratch.swap("step", "next")
            parts.append(self._flipped(step, sign[at], reach[at], gain[at]))
        towards, away = (sum(halves) for halves in zip(*parts, strict=True))
        return torch.cat([towards, away], dim=2)

    def _flipped(
        self, step: Tensor, sign: Tensor, reach: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q_l'flipped_l of one layer for +step and -step, each [p, b, D, K-1]."""
        # [-lin]^+ of active and [lin]^+ of inactive units are both [+-step - |z|]^+.
        beyond = self.scratch.take("beyond", *step.shape)
        towards = torch.matmul(torch.addcmul(-reach, step, sign, out=beyond).relu_(), gain)
        away = torch.matmul(torch.addcmul(reach, step, sign, out=beyond).clamp_max_(0), gain)
        return towards, away.neg_()


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
        Slices of networks and examples, and the slack there, [p, b, V, K-1].
    """
    screen = Screen(net, unperturbed_pass(net, x, y), radius)
    for at in chunks(net, len(y), 2 * net.num_features, x.device.type, budget):
        yield at, screen.slack(*at)


def _gains(weights: Sequence[Tensor], masks: Sequence[Tensor], last: OutputLayer) -> list[Tensor]:
    """Return q_l of each hidden layer, [P, B, K-1, H]: what a flip there can add at most."""
    to_s, to_m = last.weight.clamp_min(0), (-last.weight).clamp_min(0) * masks[-1]
    gains = [to_s]
    for weight, mask in zip(reversed(weights[1:]), reversed(masks[:-1]), strict=True):
        keep, swap = weight.clamp_min(0).mT, (-weight).clamp_min(0).mT
        rows = (*to_s.shape[:3], weight.shape[1])
        s, m = to_s.flatten(1, 2), to_m.flatten(1, 2)
        to_s = (torch.bmm(s, keep) + torch.bmm(m, swap)).view(rows)
        to_m = (torch.bmm(s, swap) + torch.bmm(m, keep)).view(rows) * mask
        gains.insert(0, to_s)
    return gains
