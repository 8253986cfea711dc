"""Backward substitution through relaxed layers, for packs of multi-layer perceptrons.

An upper bound of a linear form of the units of a layer is carried back: a coefficient a > 0 takes
the upper line of its unit and a < 0 the lower one, then the affine layer is put in for z. CROWN
(Zhang et al. 2018) does so down to the input; vertex-CROWN stops at the first hidden layer. The
two differ in this last step alone, the `Finish`.

What does not matter is left out, exactly. The lines of a unit that interval bounds of its layer,
from the bounds of the layer before, show to be linear in the ball do not depend on how tight its
bounds are: it keeps those, and only the others are forms to be carried back. A unit that is 0 in
the ball has no part in any form. Where examples of a part differ in the number of such units, it
is filled up with others of which the result makes no use.

Margins for rounding are in `parts`.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), U linear forms, D input
features, H hidden units, N of them that are not left out, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.interval import next_range
from robust.bounds.lines import Lines, lines
from robust.bounds.parts import Part, parts
from robust.networks.mlp import MLP

# The share of units of a layer from which on none is left out: taking the others would cost more.
TAKEN = 0.9


@dataclass(frozen=True)
class Layer:
    """A hidden layer between lines: those of its units that are not 0 in the ball.

    With a form a of its activations, lower slopes l, chords u z + t and z = W'x + b, the bound is
    the form (a l) W' + ([a]^+ (u - l)) W' of x, plus (a l)'b + [a]^+'((u - l) b + t). Only units
    that are not linear have u - l and t other than 0.

    Attributes:
        lines: of all units, [p, b, H].
        units: the index of each that is kept, those that are not linear first, [p, b, N]; None
            where all are.
        bent: the first so many of them hold all that are not linear.
        own: lines of those, [p, b, bent].
        step: W' and b of those, as a form of the units kept of the layer before; of steps of the
            inputs, and z_1 at x, for the first layer, [p, b or 1, bent, n+1].
        line: l W' and l b of each unit that is kept, [p, b, N, n+1].
        sides: the units that were bounded by substitution, on one side and on the other, as
            `units`; none in the first layer.
    """

    lines: Lines
    units: Tensor | None
    bent: int
    own: Lines
    step: Tensor
    line: Tensor
    sides: Sequence[Tensor | None] = ()


# (part, first layer, forms of its units that are kept [p, b, U, N]) -> their bounds [p, b, U]
Finish = Callable[[Part, Layer, Tensor], Tensor]


@dataclass(frozen=True)
class Relaxed:
    """Hidden layers between lines, and the mass of what follows them.

    Attributes:
        layers: each hidden layer.
        mass: M_l + t_l of the last of them, [p, b, H].
    """

    layers: Sequence[Layer]
    mass: Tensor


def relaxed(part: Part, finish: Finish, rule: str = "adaptive") -> Relaxed:
    """Bound the units of the hidden layers one layer after the other, and draw their lines.

    Those of the first layer are exact: z_1 is affine. Those of layer l are bounds of plus and
    minus the rows of W_l as forms of the activations before.

    Args:
        part: some networks at some examples.
        finish: what bounds forms of the first layer's activations.
        rule: for lower slopes.
    """
    layers = [layer_of(part, first_lines(part, rule))]
    mass = part.mass
    for depth in range(1, len(part.hidden)):
        mass = part.next_mass(depth, mass + layers[-1].lines.intercept)
        layers.append(_bounded(part, layers, mass, finish, rule))
    return Relaxed(layers, mass + layers[-1].lines.intercept.detach())


def _bounded(
    part: Part, before: Sequence[Layer], mass: Tensor, finish: Finish, rule: str
) -> Layer:
    """Return the next hidden layer, of which units of mass M are bounded, [p, b, H]."""
    depth = len(before)
    z, margin = part.hidden[depth], part.slack(mass)
    low, high = next_range(part, depth, before[-1].lines.low, before[-1].lines.high)
    open_ = ~((low >= 0) | (high <= 0))  # what is no number stays open
    against = torch.where(z >= 0, -1.0, 1.0).to(z.dtype)
    sides = []
    for sign in (against, -against):
        units = chosen(part, open_)
        forms = unit_forms(part, depth, units, sign < 0, before[-1])
        above = substitute(part, before, forms[..., :-1], finish) + forms[..., -1]
        above = above + taken(margin, units) if part.outward else above
        low = replaced(low, units, open_ & (sign < 0), -above)
        high = replaced(high, units, open_ & (sign > 0), above)
        open_ = open_ & ~((low >= 0) | (high <= 0))
        sides.append(units)
    return layer_of(part, lines(low, high, z, rule), before, sides)


def first_lines(part: Part, rule: str = "adaptive") -> Lines:
    """Return the lines of the first layer, whose bounds are exact."""
    reach = part.ball.reach(part.steps.mT.unsqueeze(1))
    slack, z = part.margin(part.mass), part.hidden[0]
    return lines(z - reach - slack, z + reach + slack, z, rule)


def layer_of(
    part: Part, own: Lines, before: Sequence[Layer] = (), sides: Sequence[Tensor | None] = ()
) -> Layer:
    """Return a hidden layer with these lines.

    Args:
        part: some networks at some examples.
        own: its lines.
        before: the hidden layers before it.
        sides: the units that were bounded by substitution.
    """
    depth = len(before)
    bends, used = own.intercept != 0, own.lower != 0  # a bound that is no number is both
    units = chosen(part, bends | used, bends)
    bent = int(bends.sum(dim=2).max()) if part.counted else bends.shape[2]
    if units is None:
        bent = bends.shape[2]
    few = own if units is None else own.at(units)
    step = unit_forms(part, depth, units, None, before[-1]) if depth else _first_step(part, units)
    line = step * few.lower.unsqueeze(3)
    return Layer(own, units, bent, few.first(bent), step[:, :, :bent], line, sides)


def _first_step(part: Part, units: Tensor | None) -> Tensor:
    """Return what steps of the inputs add to units of the first layer, and z_1 at x."""
    rows = part.steps.mT.unsqueeze(1)  # [p, 1, H, D]
    rows = picked(rows, units) if units is not None else rows
    rows = rows.expand(-1, part.hidden[0].shape[1], -1, -1)
    return torch.cat([rows, taken(part.hidden[0], units).unsqueeze(3)], dim=3)


def chosen(part: Part, wanted: Tensor, first: Tensor | None = None) -> Tensor | None:
    """Return the index of the units that are wanted, as many for each example; None for all.

    Args:
        part: some networks at some examples.
        wanted: which, [p, b, H], boolean.
        first: those of them that come first.

    Returns:
        [p, b, N]: N of the example that wants most; others are filled up with units not wanted.
    """
    count = max(1, int(wanted.sum(dim=2).max())) if part.counted else wanted.shape[2]
    if count > TAKEN * wanted.shape[2]:
        return None
    rank = wanted.to(torch.int8)
    rank = rank if first is None else rank + first
    return rank.argsort(dim=2, descending=True, stable=True)[..., :count]


def taken(values: Tensor, units: Tensor | None) -> Tensor:
    """Return the values of some units, [p, b, H] or [p, 1, H] -> [p, b, N]; all where None."""
    if units is None:
        return values
    return values.expand(-1, units.shape[1], -1).gather(2, units)


def replaced(values: Tensor, units: Tensor | None, where: Tensor, new: Tensor) -> Tensor:
    """Return values with new ones of some units, [p, b, N], in those places that are asked for."""
    full = new if units is None else values.scatter(2, units, new)
    return torch.where(where, full, values)


def picked(rows: Tensor, units: Tensor) -> Tensor:
    """Return some rows of each network for each example, [p, 1, R, n] -> [p, b, N, n]."""
    networks, _, count, _ = rows.shape
    offset = torch.arange(networks, device=rows.device).view(-1, 1, 1) * count
    found = rows.flatten(0, 2).index_select(0, (units + offset).flatten())
    return found.view(*units.shape, rows.shape[3])


def unit_forms(
    part: Part, depth: int, units: Tensor | None, minus: Tensor | None, before: Layer
) -> Tensor:
    """Return units of a layer, from the second on, as forms of the layer before.

    Args:
        part: some networks at some examples.
        depth: of the layer, from 1.
        units: which, [p, b, N]; None for all.
        minus: units of which the form is taken times -1, [p, b, H]; None for none.
        before: the layer before.

    Returns:
        Coefficients of the units kept of that layer, and the constant, [p, b, N, n+1]; where all
        examples have the same [p, 1, H, H+1].
    """
    every = part.hidden[depth].shape[2]
    rows = part.rows[depth].unsqueeze(1)  # [p, 1, 2H, h+1]
    if minus is not None:
        index = torch.arange(every, device=rows.device).expand_as(minus)
        rows = picked(rows, taken(index + every * minus, units))
    else:
        rows = rows[:, :, :every] if units is None else picked(rows, units)
    if before.units is None:
        return rows
    constant = torch.full_like(before.units[..., :1], rows.shape[3] - 1)
    ins = torch.cat([before.units, constant], dim=2).unsqueeze(2)
    rows = rows.expand(-1, ins.shape[1], -1, -1)
    return rows.gather(3, ins.expand(-1, -1, rows.shape[2], -1))


def substitute(part: Part, layers: Sequence[Layer], forms: Tensor, finish: Finish) -> Tensor:
    """Return upper bounds of linear forms of a hidden layer's activations.

    Args:
        part: some networks at some examples.
        layers: the hidden layers up to that one.
        forms: a, of the units of it that are kept, [p, b, U, N], or [p, 1, U, N] where all
            examples share them.
        finish: what bounds the forms of the first layer's activations.

    Returns:
        [p, b, U].
    """
    constant: Tensor | float = 0.0
    for layer in reversed(layers[1:]):
        forms, above = through(layer, forms)
        constant = constant + above
    return finish(part, layers[0], forms) + constant


def through(layer: Layer, forms: Tensor) -> tuple[Tensor, Tensor]:
    """Put lines in for a layer's activations and the affine layer in for z.

    Args:
        layer: a hidden layer.
        forms: a, of its activations, [p, b, U, N] or [p, 1, U, N].

    Returns:
        Forms of what is before it, [p, b, U, n], and what is added to them, [p, b, U].
    """
    bend = layer.step * (layer.own.upper - layer.own.lower).unsqueeze(3)
    raised = bend[..., -1:] + layer.own.intercept.unsqueeze(3)
    bend = torch.cat([bend[..., :-1], raised], dim=3)
    towards = torch.relu(forms[..., : layer.bent])
    found = torch.matmul(forms, layer.line) + torch.matmul(towards, bend)
    return found[..., :-1], found[..., -1]


def class_forms(part: Part, last: Layer) -> Tensor:
    """Return c_k W_L, k != y, as forms of the last hidden layer's activations, [p, b, K-1, N]."""
    rows = part.last.weight
    if last.units is None:
        return rows
    return rows.gather(3, last.units.unsqueeze(2).expand(-1, -1, rows.shape[2], -1))


def class_bounds(part: Part, found: Relaxed, finish: Finish) -> tuple[Tensor, Tensor]:
    """Return bounds of z_k - z_y, k != y, and what rounding may have taken, [p, b, K-1] each."""
    forms = class_forms(part, found.layers[-1])
    upper = substitute(part, found.layers, forms, finish) + part.last.bias
    rows = part.last.weight.detach().abs()
    size = torch.matmul(rows, found.mass.unsqueeze(3)).squeeze(3)
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
