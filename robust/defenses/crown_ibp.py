"""CROWN-IBP: CROWN's last step over interval boxes (Zhang et al. 2020, "Towards Stable and
Efficient Training of Verifiably Robust Neural Networks", Eq. 11).

Minimises kappa L(y, z(x)) + (1 - kappa) L(y, (1 - beta) d_IBP + beta d_CROWN-IBP). The boxes of
all hidden units are interval bounds; only the class differences are carried back to the inputs
along CROWN's lines. beta and kappa fall from 1 to their final values while the radius grows:
training begins with the tighter bound and ends with the one that it makes tight.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.first_order import difference_cotangents
from robust.bounds.interval_walk import boxes_of, highest, last_differences
from robust.defenses.base import StepCost, register
from robust.defenses.ibp import interval_products, with_layers
from robust.defenses.schedule import ScheduledDefense
from robust.layers import walk
from robust.layers.graph import Layered, owned
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class CROWNIBP(ScheduledDefense):
    """The loss of interval and CROWN-IBP bounds, mixed with that of the inputs.

    Attributes:
        kappa: final weight of the loss at the inputs, in [0, 1].
        beta: final weight of the CROWN-IBP bounds beside the interval bounds, in [0, 1]. The
            defaults are the authors' for MNIST: both fall from 1 to 0; 10 and 50 of 200 epochs.
    """

    label: ClassVar[str] = "CROWN-IBP"
    layer_rule: ClassVar[str | None] = "crown"

    warmup: float = 0.05
    ramp: float = 0.25
    kappa: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares and weights outside [0, 1].

        Raises:
            ValueError: the message names the field.
        """
        super().__post_init__()
        self.check_share("kappa")
        self.check_share("beta")

    def step_cost(self, size: NetworkSize) -> StepCost:
        """The network, its interval bounds, and K - 1 forms carried back, forward and backward."""
        clean = 3 * size.products - size.first_layer
        carried = 3 * (size.num_classes - 1) * size.products
        kept = 20 * size.units + 4 * size.num_classes * (size.units + size.num_features)
        return StepCost(clean + interval_products(size) + carried, kept)

    def ramped_losses(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        ramped: Tensor,
    ) -> Tensor:
        """Return the mixed loss of each example, [P, B]."""
        clean = self.loss_function(class_differences(net(x), y))
        interval, crown = both_bounds(with_layers(net, "crown"), x, y, Ball(radius, "linf"))
        beta = 1 - ramped * (1 - self.beta)
        bounds = self.loss_function((1 - beta) * interval + beta * crown)
        kappa = 1 - ramped * (1 - self.kappa)
        return kappa * clean + (1 - kappa) * bounds


def both_bounds(net: Layered, x: Tensor, y: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return the interval and the CROWN-IBP bounds of max z_k - z_y over the ball.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; differentiable in the
        parameters, also through the boxes.
    """
    graph, boxes = net.graph, boxes_of(net, x, ball)
    lines = [
        node.layer.relaxed("adaptive", *(boxes[at] for at in node.inputs)) for node in graph.nodes
    ]
    forms = difference_cotangents(y, graph.shapes[-1][0], x).unsqueeze(0)
    forms = forms.expand(net.num_networks, -1, -1, -1)
    back, constant = walk.carried_back(graph, owned(net), lines, len(graph.nodes), forms)
    interval = last_differences(net, x, y, ball, boxes[graph.nodes[-1].inputs[0]])
    return interval, highest(back, constant, x, ball)


register(CROWNIBP(name="crown-ibp-linf", norm="linf"))
