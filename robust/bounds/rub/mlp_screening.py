"""Screening for RUB: cheap bounds of the bound at every vertex, for MLPs.

With lin_l the pre-activations of the network linearised at x, RUB's streams exceed them by
e_s = s - t lin >= 0 and e_m = m + t lin >= 0. As [a + b]^+ <= [a]^+ + b for b >= 0,
    e_s <= e_u + flipped_l,   e_m = t e_v,   flipped_l = [-lin_l]^+ where t = 1, [lin_l]^+ else,
and e_u, e_v follow from e_s, e_m by the non-negative matrices of `streams`. This is linear, so one
backward pass per class gives weights q_l >= 0 with
    c_k'lin_L <= bound <= c_k'lin_L + sum_l q_l'flipped_l,
which costs products on D rows (the two signs of a step share them) where the bound itself needs
four times as many on 2D rows. Where nothing flips both sides are equal: RUB is aRUB-L1.

Legend: P networks in the pack, B batch, V vertices, D input features, H hidden units, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from robust.bounds.rub.mlp_search import Scratch, Unperturbed, chunks, unperturbed_pass
from robust.bounds.rub.output_layer import OutputLayer
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
    every = slice(None), slice(None)
    return Screen(net, unperturbed_pass(net, x, y), radius).linear(*every)


class Screen:
    """One batch's unperturbed pass, ready for one chunk of its examples after another."""

    @torch.no_grad()
    def __init__(self, net: MLP, around: Unperturbed, radius: Tensor) -> None:
        self.weights = list(net.weights)[:-1]
        self.last, self.top = around.last, around.hidden[-1].relu().unsqueeze(2)
        self.radius = radius[..., None, None]
        self.masks = [twice / 2 for twice in around.twice]
        self.signs = [1 - twice for twice in around.twice]
        self.reaches = [z.abs().unsqueeze(2) for z in around.hidden]
        self.scratch = Scratch(radius)

    @cached_property
    def gains(self) -> list[Tensor]:
        """q_l of each hidden layer, [P, B, H, K-1]."""
        return [gain.mT for gain in _gains(self.weights, self.masks, self.last)]

    @torch.no_grad()
    def linear(self, networks: slice, examples: slice) -> Tensor:
        """Return c_k'lin_L, the bound from below, [p, b, V, K-1]."""
        at = networks, examples
        last = self.last.slice(*at)
        rows = last.weight  # c_k'W_L, [p, b, K-1, H], and on to the input
        for weight, mask in zip(reversed(self.weights), reversed(self.masks), strict=True):
            shape = (*rows.shape[:3], weight.shape[1])
            rows = torch.bmm((rows * mask[at]).flatten(1, 2), weight[networks].mT).view(shape)
        value = torch.matmul(self.top[at], last.weight.mT) + last.bias.unsqueeze(2)
        slope = rows.mT * self.radius[at]  # [p, b, D, K-1]
        return torch.cat([value + slope, value - slope], dim=2)

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
