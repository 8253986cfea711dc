"""What a method of certification is: proven upper bounds of the class differences over a ball.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.rounding import proves
from robust.bounds.widened import Widened, narrowed
from robust.layers.graph import View
from robust.losses import with_own_class
from robust.networks.base import rules_of
from robust.networks.graph import GraphNetwork
from robust.networks.linearization import Network
from robust.norms import Norm
from robust.registry import Registry


class Bounds(NamedTuple):
    """Upper bounds of z_k - z_y, and what rounding may have taken from them.

    Attributes:
        upper: classes k != y in increasing order, [P, B, K-1]; differentiable where the method is.
        slack: >= 0, broadcastable to it; infinite or NaN where the computation may overflow.
    """

    upper: Tensor
    slack: Tensor

    @property
    def below_zero(self) -> Tensor:
        """Where no rounding explains that the difference is negative, [P, B, K-1]."""
        return proves(self.upper, -self.slack)


# (net, x, y, radius [P, B], norm, costs [D] or None) -> bounds
Compute = Callable[[Any, Tensor, Tensor, Tensor, Norm, Tensor | None], Bounds]
C = TypeVar("C", bound=Compute)


class ForNetworks:
    """What computes a method's bounds, for each class of packs that it knows.

    A new kind of network comes to an old method by `register`.

    Attributes:
        rule: of `robust.layers.base.RULES`, which every layer of a graph must own.
    """

    def __init__(self, rule: str | None = None) -> None:
        self._known: dict[type, Compute] = {}
        self.rule = rule

    def register(self, *kinds: type) -> Callable[[C], C]:
        """Return a decorator that adds a function for packs of these classes."""

        def add(compute: C) -> C:
            self._known |= dict.fromkeys(kinds, compute)
            return compute

        return add

    def find(self, net: object) -> Compute | None:
        """Return what is made for a pack, or for a class of packs; None where nothing is."""
        kind = net if isinstance(net, type) else type(net)
        own = rules_of(net.graph.kinds) if isinstance(net, GraphNetwork) else None
        if self.rule is not None and own is not None and self.rule not in own:
            return None
        return next((self._known[base] for base in kind.__mro__ if base in self._known), None)


def type_name(net: object) -> str:
    """Return the name of a pack's class, or of a class of packs."""
    return net.__name__ if isinstance(net, type) else type(net).__name__


def in_float64(compute: Callable[[Any, Tensor, Tensor, Ball], tuple[Tensor, Tensor]]) -> Compute:
    """Return the bounds of multi-layer perceptrons that are computed in float64.

    Args:
        compute: gives bounds and their slack, of a network, inputs, labels and balls.
    """

    def bounds(
        net: Any, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
    ) -> Bounds:
        wide = None if costs is None else costs.double()
        ball = Ball(radius.double(), norm, wide)
        return Bounds(*narrowed(*compute(Widened.of(net), x.double(), y, ball), x.dtype))

    return bounds


def on_graph(compute: Callable[..., tuple[Tensor, Tensor]]) -> Compute:
    """Return the bounds of any graph of layers that are computed in float64.

    Args:
        compute: gives bounds and their slack, of a network, inputs, labels and balls.
    """

    def bounds(
        net: Any, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
    ) -> Bounds:
        ball = Ball(radius.double(), norm, None if costs is None else costs.double())
        found = compute(View.in_float64(net), x.double(), y, ball)
        return Bounds(*narrowed(*found, x.dtype))

    return bounds


@dataclass(frozen=True)
class Method:
    """A way to bound z_k - z_y over a ball. A new one is one file in this folder.

    Attributes:
        name: as in the registry.
        label: in print.
        norms: of the balls over which it is a proof.
        compute: the bounds, by class of packs.
        effort: cheaper methods, tried first, have smaller numbers.
        with_costs: whether it holds over weighted L1 balls.
    """

    name: str
    label: str
    norms: tuple[Norm, ...]
    compute: ForNetworks
    effort: int
    with_costs: bool = False

    def supports(self, net: object) -> bool:
        """Return whether there is a bound for a pack, or for a class of packs."""
        return self.compute.find(net) is not None

    def parts_for(self, net: object, norm: str, with_costs: bool = False) -> tuple[Method, ...]:
        """Return the methods that make up this one, the cheapest first: itself alone."""
        return (self,)

    def why_not(self, net: object, norm: str, with_costs: bool = False) -> str | None:
        """Return why the method is not made for something, as the end of a sentence, or None."""
        if norm not in self.norms:
            return f"is no proof for norm {norm!r}; for: {', '.join(self.norms)}"
        if with_costs and not (norm == "l1" and self.with_costs):
            return f"takes no costs in norm {norm!r}"
        if not self.supports(net):
            return f"has no bound for a network of type {type_name(net)}"
        return None

    def check(self, net: object, norm: str, with_costs: bool = False) -> None:
        """Refuse what the method is not made for.

        Raises:
            ValueError: the network, the norm, or costs where it knows none.
        """
        reason = self.why_not(net, norm, with_costs)
        if reason is not None:
            raise ValueError(f"method {self.name!r} {reason}")

    def bounds(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        norm: Norm = "l1",
        costs: Tensor | None = None,
    ) -> Bounds:
        """Return the bounds and their slack; arguments are not checked.

        Args:
            net: P networks.
            x: [B, D] or [P, B, D], in scaled input units.
            y: labels, [B].
            radius: true radius >= 0, [P, B].
            norm: of the ball.
            costs: > 0, [D], of the ball sum_m c_m |delta_m| <= radius; infinite where a feature
                cannot be moved. None is 1 for all.
        """
        compute = self.compute.find(net)
        assert compute is not None, f"{self.name} does not support {type(net).__name__}"
        return compute(net, x, y, radius, norm, costs)

    def differences(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        norm: Norm = "l1",
        costs: Tensor | None = None,
    ) -> Tensor:
        """Return the bounds without their slack, 0 at k = y, [P, B, K]; as for `bounds`."""
        return with_own_class(self.bounds(net, x, y, radius, norm, costs).upper, y)


METHODS: Registry[Method] = Registry("method")


def register(method: Method) -> Method:
    """Add a method to the registry, and so to `certify` and the contract tests.

    Raises:
        ValueError: the name is taken.
    """
    return METHODS.add(method.name, method)
