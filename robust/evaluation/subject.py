"""What a certificate speaks of: the weights in exact arithmetic, or the network as it runs.

A network that rounds may change its class where the function of its weights does not: float32
takes z_0 = [x + 1e8]^+ - 1e8 to multiples of 8. A certificate of the network as it runs asks more:
that the bound stays below 0 by what rounding may take from the forward pass at any point of the
ball, whatever the order of its sums, and in a ball that is larger by what an attack in that
precision rounds. No such attack refutes it then, whatever is measured with it or later.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.forward_rounding import ForwardRounding, furthest
from robust.norms import Norm


class Subject(Protocol):
    """What is certified of a pack; its parameters must not change afterwards."""

    def furthest(self, x: Tensor, radius: Tensor) -> Tensor:
        """Return the radii for which bounds are asked, [P, B], in the type of `radius`."""

    def margin(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor | float:
        """Return by how much bounds must be below 0, for the classes k != y, [P, B, K-1].

        Args:
            x: [B, D] or [P, B, D], float64.
            y: labels, [B].
            radius: from `furthest`, [P, B], float64.
        """


class Exact:
    """The function that the weights define in exact arithmetic."""

    def furthest(self, x: Tensor, radius: Tensor) -> Tensor:
        """Return the radii."""
        return radius

    def margin(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor | float:
        """Return 0."""
        return 0.0


class AsRun:
    """The network in its own precision."""

    def __init__(self, net: Any, order: Norm, costs: Tensor | None = None) -> None:
        """Prepare margins.

        Args:
            net: P networks.
            order: norm of the balls.
            costs: of the weighted L1 ball, > 0, [D]; None is 1 for all.
        """
        self.rounding, self.order = ForwardRounding(net), order
        self.costs = None if costs is None else costs.double()
        self.dtype: torch.dtype = net.weights[0].dtype

    def furthest(self, x: Tensor, radius: Tensor) -> Tensor:
        """Return the radii and what attacks may go beyond them by rounding, in float64."""
        return furthest(x, radius, self.order, self.costs, self.dtype)

    def margin(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor | float:
        """Return what the forward pass may be off by, [P, B, K-1], float64."""
        return self.rounding(x, y, Ball(radius, self.order, self.costs))


Make = Callable[[Any, Norm, Tensor | None], Subject]

EXACT: Final = "exact"
AS_RUN: Final = "as run"
SUBJECTS: Final[dict[str, Make]] = {
    EXACT: lambda net, order, costs: Exact(),
    AS_RUN: AsRun,
}


def subject(precision: str, net: Any, order: Norm, costs: Tensor | None = None) -> Subject:
    """Return what certificates of a precision speak of.

    Raises:
        ValueError: the precision is unknown.
    """
    if precision not in SUBJECTS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(SUBJECTS)}")
    return SUBJECTS[precision](net, order, costs)
