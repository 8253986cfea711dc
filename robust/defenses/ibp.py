"""IBP: training on interval bounds (Gowal et al. 2018, "On the Effectiveness of Interval Bound
Propagation for Training Verifiably Robust Models", Eqs. 12 and 13).

Minimises kappa L(y, z(x)) + (1 - kappa) L(y, d), d the interval bounds of the class differences
over the Linf ball. kappa falls from 1 to its final value while the radius grows. The authors elide
the last layer: bounds are of c_k'z, not of z.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.interval_walk import worst_case_differences
from robust.defenses.base import StepCost, register
from robust.defenses.schedule import ScheduledDefense
from robust.layers.graph import Layered
from robust.losses import class_differences
from robust.networks.base import rules_of_network
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


def interval_products(size: NetworkSize) -> float:
    """Return the multiply-adds of interval bounds of one example, forward and backward.

    Centre and half-width go through every layer; the first layer's need no gradient at the inputs.
    """
    return 6 * size.products - 2 * size.first_layer


def with_layers(net: Network, rule: str) -> Layered:
    """Return the network as the graph of layers that a bound walks.

    Args:
        net: P networks.
        rule: of `robust.layers.base.RULES`, which the bound asks of every layer.

    Raises:
        ValueError: it is no such graph, or a layer does not own the rule.
    """
    if rule not in rules_of_network(net):
        raise ValueError(f"no {rule} bounds for a network of type {type(net).__name__}")
    return cast(Layered, net)


@dataclass(frozen=True)
class IBP(ScheduledDefense):
    """The loss of interval bounds, mixed with that of the inputs.

    Attributes:
        kappa: final weight of the loss at the inputs, in [0, 1]. The defaults are the authors'
            for MNIST: 0.5, 2,000 and 10,000 of 60,000 steps.
    """

    label: ClassVar[str] = "IBP"
    layer_rule: ClassVar[str | None] = "interval"

    warmup: float = 1 / 30
    ramp: float = 1 / 6
    kappa: float = 0.5

    def __post_init__(self) -> None:
        """Refuse shares and weights outside [0, 1].

        Raises:
            ValueError: the message names the field.
        """
        super().__post_init__()
        self.check_share("kappa")

    def step_cost(self, size: NetworkSize) -> StepCost:
        """The network and its interval bounds, forward and backward."""
        clean = 3 * size.products - size.first_layer
        return StepCost(clean + interval_products(size), 16 * size.units + 6 * size.num_features)

    def ramped_losses(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        ramped: Tensor,
    ) -> Tensor:
        """Return kappa L(y, z(x)) + (1 - kappa) L(y, d) for each example, [P, B]."""
        clean = self.loss_function(class_differences(net(x), y))
        bounds = worst_case_differences(with_layers(net, "interval"), x, y, Ball(radius, "linf"))
        kappa = 1 - ramped * (1 - self.kappa)
        return kappa * clean + (1 - kappa) * self.loss_function(bounds)


register(IBP(name="ibp-linf", norm="linf"))
