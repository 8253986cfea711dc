"""What rounding may take from a network as it runs, at any point of a ball.

A proof is about the function that the weights define in exact arithmetic. The network computes
its own forward pass, and whatever the order of its sums, a layer W h + b that reads h' with
|h' - h| <= e is off by at most
    |W| e + gamma_n (|W| |h'| + |b|),    gamma_n = n u / (1 - n u),
with n the roundings of one output and u the unit roundoff (Higham 2002, section 3.1). ReLU and
maximum round nothing and do not increase a difference; and where exact and computed inputs lie in
one box, exact and computed outputs lie in the box of its outputs: a unit that is off in all of it
passes no error on. Interval bounds give |h'| <= |h| + e over the whole ball. A layer that reads
the input itself has |W| |x + delta| <= |W| |x| + rho ||row||_q. A class difference is off by at
most |c_k W| e and the last layer's own roundings of both classes.

So a network whose class differences are proven below minus that keeps its class at every point of
the ball in its own precision. Numbers that may vanish or overflow are met as in `rounding`.

An attack also rounds the points that it makes: `furthest` says how far they may lie.

Legend: P networks in the pack, B batch, D input features, H units before the last layer,
K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.interval_walk import block_elements, boxes_of
from robust.bounds.rounding import unit_roundoff
from robust.bounds.rub.output_layer import output_layer
from robust.layers.base import Box, Layer, LinearLayer, Own
from robust.layers.graph import Layered, View, owned
from robust.losses import other_classes
from robust.norms import Norm, norm

WIDE = 2.0**-53  # unit roundoff of float64, in which the margin is computed
HEADROOM = 4.0  # no partial sum exceeds that of the absolute products as many times


class ForwardRounding:
    """Margins for one pack; its parameters must not change afterwards."""

    def __init__(self, net: Layered) -> None:
        """Take the network's precision, and its parameters to float64.

        Args:
            net: P networks, in the precision that they run in.
        """
        limits = torch.finfo(net.weights[0].dtype)
        self.net = View.in_float64(net)
        # Boxes and errors are computed in float64, with as many roundings along every path.
        self.roundoff = unit_roundoff(net) + 4 * WIDE
        self.largest = limits.max / HEADROOM
        self.vanishing = limits.tiny / self.roundoff

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
        """Return what the forward pass may add to z_k - z_y at any point of the ball.

        Args:
            x: [B, D] or [P, B, D].
            y: labels, [B].
            ball: around the inputs, in any norm.

        Returns:
            >= 0, for the classes k != y in increasing order, [P, B, K-1], float64; infinite or
            NaN where the network may overflow.
        """
        x, radius = x.double(), ball.radius.double()
        rows = self.net.num_networks * self.net.weights[-1][0].numel()
        size = max(1, block_elements(x.device) // rows)
        parts = []
        for at in (slice(i, i + size) for i in range(0, len(y), size)):
            some = Ball(radius[:, at], ball.norm, ball.costs)
            parts.append(self._of_differences(x[..., at, :], y[at], some))
        return torch.cat(parts, dim=1)

    def _of_differences(self, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
        boxes = boxes_of(self.net, x, ball)
        return self.of_differences(y, boxes, self.errors(x, boxes))

    def errors(self, x: Tensor, boxes: list[Box]) -> list[Tensor]:
        """Return what each value but the logits may be off by, [P, B, *shape].

        It is also room for the rounding of the boxes themselves, in float64.

        Args:
            x: [B, D] or [P, B, D], float64.
            boxes: of the same values over the ball.
        """
        net, graph, own = self.net, self.net.graph, owned(self.net)
        points = x.expand(net.num_networks, *x.shape[-2:])
        errors, plain = [torch.zeros_like(points)], {0: points}
        for number, node in enumerate(graph.nodes[:-1]):
            layer, box = node.layer, boxes[number + 1]
            before = [(boxes[at], errors[at]) for at in node.inputs]
            if isinstance(layer, LinearLayer):
                unmoved = plain.get(node.inputs[0]) if len(node.inputs) == 1 else None
                errors.append(self._linear(layer, own[number], before, unmoved, box))
                if unmoved is not None and not layer.roundings(own[number]):
                    plain[number + 1] = layer.forward(None, unmoved)
            else:
                errors.append(self._selected(layer, own[number], before))
        return errors

    def of_differences(self, y: Tensor, boxes: list[Box], errors: list[Tensor]) -> Tensor:
        """Return the margin from boxes and errors of all values but the logits."""
        net, graph, own = self.net, self.net.graph, owned(self.net)
        last, at = graph.nodes[-1].layer, graph.nodes[-1].inputs[0]
        assert isinstance(last, LinearLayer)
        local = self._local(last, own[-1], [_size(boxes[at], errors[at])])
        others = other_classes(y, local.shape[2]).expand(len(local), -1, -1)
        mine = y.view(1, -1, 1).expand_as(others[..., :1])
        passed = torch.matmul(output_layer(net, y).weight.abs(), errors[at].unsqueeze(3))
        return passed.squeeze(3) + local.gather(2, others) + local.gather(2, mine)

    def _linear(
        self,
        layer: LinearLayer,
        own: Own | None,
        before: list[tuple[Box, Tensor]],
        unmoved: Tensor | None,
        box: Box,
    ) -> Tensor:
        """Return the errors of an affine layer's outputs.

        Args:
            layer: it.
            own: its parameters.
            before: boxes and errors of its inputs.
            unmoved: the input at x where the layer reads nothing else, in whatever order.
            box: of its outputs.
        """
        weight = None if own is None else own.weight.abs()
        passed = layer.product(weight, *(error for _, error in before))
        if unmoved is None:
            return passed + self._local(layer, own, [_size(*each) for each in before])
        spread = box.high / 2 - box.low / 2
        return passed + self._local(layer, own, [unmoved.abs()], spread)

    def _local(
        self, layer: LinearLayer, own: Own | None, sizes: list[Tensor], more: Tensor | float = 0.0
    ) -> Tensor:
        """Return gamma_n (|W| |h| + |b| + more), infinite where a sum may overflow."""
        lost = layer.roundings(own) * self.roundoff
        gamma = lost / (1 - lost) if lost < 1 else float("inf")
        if own is None:
            mass = layer.product(None, *sizes) + more
        else:  # what vanishes of a product or a factor is less than so much
            size = Own(own.weight.abs() + self.vanishing, own.bias.abs() + self.vanishing)
            mass = layer.forward(size, *(each + self.vanishing for each in sizes)) + more
        return (gamma * mass).masked_fill(~(mass < self.largest), float("inf"))

    def _selected(self, layer: Layer, own: Own | None, before: list[tuple[Box, Tensor]]) -> Tensor:
        """Return the errors of the outputs of a layer that selects: ReLU, maximum."""
        passed = layer.forward(own, *(error for _, error in before))
        low, high = layer.interval(own, *(Box(b.low - e, b.high + e) for b, e in before))
        error = torch.minimum(passed, high - low)
        lost = layer.roundings(own) * self.roundoff
        return error + 2 * lost * torch.maximum(low.abs(), high.abs()) if lost else error


def _size(box: Box, error: Tensor) -> Tensor:
    """Return the most that a computed value may be in magnitude."""
    return torch.maximum(box.low.abs(), box.high.abs()) + error


def furthest(
    x: Tensor, radius: Tensor, order: Norm, costs: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Return how far from x a point may lie that was meant for a ball and rounded in a precision.

    Every coordinate of x + delta is rounded a few times, and delta's length is a sum of D terms:
        (rho + 2 eps ||x||_p) / (1 - (D + 32) eps);  at rho = 0 nothing moves.

    Args:
        x: [B, D] or [P, B, D].
        radius: true radius rho >= 0, [P, B].
        order: norm of the ball.
        costs: of the weighted L1 ball, [D]; None is 1 for all.
        dtype: the attack's precision.

    Returns:
        [P, B], float64; infinite where D eps is no small number.
    """
    eps = torch.finfo(dtype).eps
    share = (x.shape[-1] + 32) * eps
    moving = x.double()
    if costs is not None:  # what cannot be moved is not rounded
        moving = moving * costs.masked_fill(costs.isinf(), 0.0)
    reach = radius.double() + 2 * eps * norm(moving, order)
    reach = reach / (1 - share) if share < 1 else torch.full_like(reach, float("inf"))
    return torch.where(radius > 0, reach, radius.double())
