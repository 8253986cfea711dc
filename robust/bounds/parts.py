"""Packs x examples cut into parts, with what bounds by substitution need of them.

How far rounding can move a bound: given the lines, which hold for the numbers they are, the bound
is a sum of products along the paths from a form to the inputs. Their absolute values add up to
at most the form's mass,
    M_1 = |W_1|'|x| + |b_1| + rho ||step||_q,   M_{l+1} = |W_{l+1}|'(M_l + t_l) + |b_{l+1}|,
t_l the chords' intercepts, as all slopes lie in [0, 1]. So the computed bound is off by at most
gamma_N times a small multiple of its mass (`rounding`). The bounds of hidden units are moved
outward by that, and what the next layers build on them is a theorem about the exact network.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), D input features, H hidden
units, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.rounding import HEADROOM, SEARCH_FACTOR, accumulated_roundoff, unit_roundoff
from robust.bounds.rub.output_layer import OutputLayer, output_layer
from robust.networks.mlp import MLP

# Elements of the largest tensor (forms x units, forms x vertices) of a chunk.
CHUNK_ELEMENTS = {"cpu": 2**21, "cuda": 2**26}


@dataclass(frozen=True)
class Part:
    """Some networks at some examples.

    Attributes:
        weights: of all layers but the last, [p, in, out].
        biases: of these, [p, out].
        sizes: absolute values of the weights.
        rows: units of each layer as forms, weights and bias, and these times -1, [p, 2 out, in+1].
        hidden: z_l at x of each hidden layer, [p, b, H].
        mass: M_1, [p, b, H].
        last: the last layer seen from each example.
        ball: around the examples.
        steps: what a step of cost 1 along each feature adds to z_1, [p, D, H].
        gamma: gamma_N with its factor.
        outward: whether bounds of hidden units are moved outward by their slack.
        vanishing: what underflow can take from a unit.
        counted: whether the host may count units, to leave out those that do not matter.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    sizes: Sequence[Tensor]
    rows: Sequence[Tensor]
    hidden: Sequence[Tensor]
    mass: Tensor
    last: OutputLayer
    ball: Ball
    steps: Tensor
    gamma: float
    outward: bool
    vanishing: float
    counted: bool

    def slack(self, mass: Tensor) -> Tensor:
        """Return what rounding may take from bounds of this mass; infinite near overflow."""
        return self.gamma * torch.where((HEADROOM * mass).isfinite(), mass, float("inf"))

    def margin(self, mass: Tensor) -> Tensor | float:
        """Return by how much bounds of hidden units of this mass are moved outward."""
        return self.slack(mass) if self.outward else 0.0

    def next_mass(self, layer: int, mass: Tensor) -> Tensor:
        """Return |W|'M + |b|, and room for underflow, of hidden layer `layer`, [p, b, H].

        Args:
            layer: from 1.
            mass: M of the activations before, [p, b, H].
        """
        size = (self.biases[layer].detach().abs() + self.vanishing).unsqueeze(1)
        return torch.baddbmm(size, mass.detach(), self.sizes[layer].detach())


def parts(
    net: MLP,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    vertices: int = 1,
    outward: bool = True,
    counted: bool = True,
) -> Iterator[tuple[tuple[slice, slice], Part]]:
    """Cut networks x examples into parts whose largest tensor fits a chunk.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        ball: around them.
        vertices: V, of which a form's value is computed at once; 1 where it is not.
        outward: move the bounds of hidden units outward by what rounding may have taken. Without
            it the slack of what follows says too little: for training only.
        counted: let the host count units; a GPU has to wait for that.
    """
    weights, biases = list(net.weights), list(net.biases)
    sizes, rows = [w.abs() for w in weights[:-1]], list(map(_rows, weights[:-1], biases[:-1]))
    hidden = net.pre_activations(x)[:-1]
    last, steps = output_layer(net, y), ball.steps(weights[0])
    vanishing = torch.finfo(x.dtype).tiny / unit_roundoff(net)
    size = torch.baddbmm(
        (biases[0].abs() + vanishing).unsqueeze(1),
        x.abs().expand(net.num_networks, *x.shape[-2:]),
        sizes[0],
    )
    mass = (size + ball.reach(steps.mT.unsqueeze(1))).detach()
    gamma = SEARCH_FACTOR * accumulated_roundoff(net)
    for at in _cut(net, x.shape[-2], vertices, x.device.type):
        networks, _ = at
        yield (
            at,
            Part(
                [w[networks] for w in weights[:-1]],
                [b[networks] for b in biases[:-1]],
                [w[networks] for w in sizes],
                [w[networks] for w in rows],
                [z[at] for z in hidden],
                mass[at],
                last.slice(*at),
                Ball(ball.radius[at], ball.norm, ball.costs),
                steps[networks],
                gamma,
                outward,
                vanishing,
                counted,
            ),
        )


def _rows(weight: Tensor, bias: Tensor) -> Tensor:
    rows = torch.cat([weight.mT, bias.unsqueeze(2)], dim=2)
    return torch.cat([rows, -rows], dim=1)


def _cut(net: MLP, batch: int, vertices: int, device: str) -> Iterator[tuple[slice, slice]]:
    budget = CHUNK_ELEMENTS.get(device, CHUNK_ELEMENTS["cpu"])
    units = [w.shape[2] for w in net.weights]
    forms = max(2 * max(units[1:-1], default=1), net.num_classes - 1)
    widest = forms * max(*units[:-1], net.num_features, vertices)
    per_example = max(widest, vertices * units[0])
    wide = max(1, budget // max(1, batch * per_example))
    tall = batch if wide > 1 else max(1, min(batch, budget // per_example))
    for p in range(0, net.num_networks, wide):
        for b in range(0, batch, tall):
            yield slice(p, min(p + wide, net.num_networks)), slice(b, min(b + tall, batch))
