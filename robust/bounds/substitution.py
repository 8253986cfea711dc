"""Backward substitution through relaxed layers, for packs of multi-layer perceptrons.

An upper bound of a linear form of the units of a layer is carried back: a coefficient a > 0 takes
the upper line of its unit and a < 0 the lower one, then the affine layer is put in for z. CROWN
(Zhang et al. 2018) does so down to the input; vertex-CROWN stops at the first hidden layer. The
two differ in this last step alone, the `Finish`.

How far rounding can move a bound: given the lines, which hold for the numbers they are, the bound
is a sum of products along the paths from a form to the inputs. Their absolute values add up to
at most the form's mass,
    M_1 = |W_1|'|x| + |b_1| + rho ||step||_q,   M_{l+1} = |W_{l+1}|'(M_l + t_l) + |b_{l+1}|,
t_l the chords' intercepts, as all slopes lie in [0, 1]. So the computed bound is off by at most
gamma_N times a small multiple of its mass (`rounding`). The bounds of hidden units are moved
outward by that, and what the next layers build on them is a theorem about the exact network.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), U linear forms, D input
features, H hidden units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.lines import Lines, lines
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
        hidden: z_l at x of each hidden layer, [p, b, H].
        mass: M_1, [p, b, H].
        last: the last layer seen from each example.
        ball: around the examples.
        steps: what a step of cost 1 along each feature adds to z_1, [p, D, H].
        gamma: gamma_N with its factor.
        outward: whether bounds of hidden units are moved outward by their slack.
        vanishing: what underflow can take from a unit.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    hidden: Sequence[Tensor]
    mass: Tensor
    last: OutputLayer
    ball: Ball
    steps: Tensor
    gamma: float
    outward: bool
    vanishing: float

    def slack(self, mass: Tensor) -> Tensor:
        """Return what rounding may take from bounds of this mass; infinite near overflow."""
        return self.gamma * torch.where((HEADROOM * mass).isfinite(), mass, float("inf"))

    def margin(self, mass: Tensor) -> Tensor | float:
        """Return by how much bounds of hidden units of this mass are moved outward."""
        return self.slack(mass) if self.outward else 0.0


# (part, lines of the first layer, forms of its activations [p, b, U, H]) -> their bounds [p, b, U]
Finish = Callable[[Part, Lines, Tensor], Tensor]


@dataclass(frozen=True)
class Relaxed:
    """Hidden layers between lines, and the mass of what follows them.

    Attributes:
        lines: of each hidden layer.
        mass: M_l + t_l of the last of them, [p, b, H].
    """

    lines: Sequence[Lines]
    mass: Tensor


def parts(
    net: MLP, x: Tensor, y: Tensor, ball: Ball, vertices: int = 1, outward: bool = True
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
    """
    weights, biases = list(net.weights), list(net.biases)
    hidden = net.pre_activations(x)[:-1]
    last, steps = output_layer(net, y), ball.steps(weights[0])
    vanishing = torch.finfo(x.dtype).tiny / unit_roundoff(net)
    size = torch.baddbmm(
        (biases[0].abs() + vanishing).unsqueeze(1),
        x.abs().expand(net.num_networks, *x.shape[-2:]),
        weights[0].abs(),
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
                [z[at] for z in hidden],
                mass[at],
                last.slice(*at),
                Ball(ball.radius[at], ball.norm, ball.costs),
                steps[networks],
                gamma,
                outward,
                vanishing,
            ),
        )


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


def relaxed(part: Part, finish: Finish, rule: str = "adaptive") -> Relaxed:
    """Bound the units of the hidden layers one layer after the other, and draw their lines.

    Those of the first layer are exact: z_1 is affine. Those of layer l are bounds of plus and
    minus the rows of W_l as forms of the activations before.

    Args:
        part: some networks at some examples.
        finish: what bounds forms of the first layer's activations.
        rule: for lower slopes.
    """
    reach = part.ball.reach(part.steps.mT.unsqueeze(1))
    mass, slack = part.mass, part.margin(part.mass)
    z = part.hidden[0]
    found = [lines(z - reach - slack, z + reach + slack, z, rule)]
    for weight, bias, z in zip(part.weights[1:], part.biases[1:], part.hidden[1:], strict=True):
        mass = _next_mass(part, mass, found[-1], weight, bias)
        slack = part.margin(mass)
        rows = weight.mT.unsqueeze(1)  # [p, 1, H, H]
        above = substitute(part, found, torch.cat([rows, -rows], dim=2), finish)
        high, low = above.chunk(2, dim=2)
        high, low = high + bias.unsqueeze(1) + slack, bias.unsqueeze(1) - low - slack
        found.append(lines(low, high, z, rule))
    return Relaxed(found, mass + found[-1].intercept.detach())


def _next_mass(part: Part, mass: Tensor, before: Lines, weight: Tensor, bias: Tensor) -> Tensor:
    size = (bias.detach().abs() + part.vanishing).unsqueeze(1)
    return torch.baddbmm(size, mass + before.intercept.detach(), weight.detach().abs())


def substitute(part: Part, layers: Sequence[Lines], forms: Tensor, finish: Finish) -> Tensor:
    """Return upper bounds of linear forms of a hidden layer's activations.

    Args:
        part: some networks at some examples.
        layers: lines of the hidden layers up to that one.
        forms: a, [p, b, U, H], or [p, 1, U, H] where all examples share them.
        finish: what bounds the forms of the first layer's activations.

    Returns:
        [p, b, U].
    """
    constant: Tensor | float = 0.0
    depth = len(layers)
    for own, weight, bias in zip(
        reversed(layers[1:]),
        reversed(part.weights[1:depth]),
        reversed(part.biases[1:depth]),
        strict=True,
    ):
        forms, above = through_lines(own, forms)
        constant = constant + above + torch.matmul(forms, bias[:, None, :, None]).squeeze(3)
        flat = torch.bmm(forms.flatten(1, 2), weight.mT)
        forms = flat.view(*forms.shape[:3], flat.shape[2])
    return finish(part, layers[0], forms) + constant


def through_lines(own: Lines, forms: Tensor) -> tuple[Tensor, Tensor]:
    """Put lines in for activations: [a]^+ (s z + t) - [-a]^+ lower z.

    Args:
        own: lines of a layer.
        forms: a, [p, b, U, H] or [p, 1, U, H].

    Returns:
        Coefficients of z, [p, b, U, H], and [a]^+'t, [p, b, U].
    """
    towards = torch.relu(forms)
    above = torch.matmul(towards, own.intercept.unsqueeze(3)).squeeze(3)
    flat = own.lower.unsqueeze(2), (own.upper - own.lower).unsqueeze(2)
    return forms * flat[0] + towards * flat[1], above


def class_bounds(part: Part, layers: Relaxed, finish: Finish) -> tuple[Tensor, Tensor]:
    """Return bounds of z_k - z_y, k != y, and what rounding may have taken, [p, b, K-1] each."""
    upper = substitute(part, layers.lines, part.last.weight, finish) + part.last.bias
    rows = part.last.weight.detach().abs()
    size = torch.matmul(rows, layers.mass.unsqueeze(3)).squeeze(3)
    size = size + part.last.bias.detach().abs() + part.vanishing
    # c_k W and c_k b are rounded differences: twice their roundoff at most, as for `rounding`.
    return upper, part.slack(size)


def bounds_of(
    net: MLP,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    finish: Finish,
    rule: str = "adaptive",
    vertices: int = 1,
) -> tuple[Tensor, Tensor]:
    """Return bounds of max z_k - z_y over the ball, and what rounding may have taken from them.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs.
        finish: what bounds forms of the first layer's activations.
        rule: for lower slopes, one of `lines.SLOPES`.
        vertices: as for `parts`.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; the first differentiable in
        the parameters.
    """
    upper = x.new_empty(*ball.radius.shape, net.num_classes - 1)
    slack = torch.empty_like(upper)
    for at, part in parts(net, x, y, ball, vertices):
        upper[at], slack[at] = class_bounds(part, relaxed(part, finish, rule), finish)
    return upper, slack


def first_reach(part: Part, forms: Tensor) -> Tensor:
    """Return the largest change of forms of z_1 over the ball, [p, b, U, H] -> [p, b, U]."""
    at_input = torch.bmm(forms.flatten(1, 2), part.steps.mT)
    return part.ball.reach(at_input.view(*forms.shape[:3], at_input.shape[2]))
