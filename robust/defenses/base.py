"""What a defense is: a training loss for packs.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import torch
from torch import Tensor

from robust.checks import (
    Numbers,
    Radius,
    check_batch,
    check_bounds,
    check_costs,
    check_generator,
    for_each_example,
    pack_radius,
)
from robust.losses import Loss, cross_entropy
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import Norm
from robust.registry import COSTS, UNIFORM, CostKinds, Registry, refuse_costs, unknown

UNBOUNDED = (-float("inf"), float("inf"))


Value = bool | int | float | str  # of a hyperparameter


@dataclass(frozen=True)
class StepCost:
    """What one training step takes of one example.

    Attributes:
        products: multiply-adds, forward and backward. A forward and backward pass is three
            forward passes, less the first layer's gradient at the inputs; without the
            parameters' gradient (an attack) it is two.
        floats: numbers kept in addition to the parameters' own, for the backward pass.
        block: bytes at once, at most, of work cut into blocks whatever the pack's size, and how
            often what a network keeps; (0, 0) where there is none.
    """

    products: float
    floats: float
    block: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Defense(ABC):
    """A training method. A new one is one file in this folder.

    Further fields of a subclass are its hyperparameters: `beta: float = 6.0` makes
    `name(beta=1)` a defense of its own, and `{name: ..., beta: [1, 6]}` two points of a grid.

    Attributes:
        label: the method's name in print, without the norm.
        network_kinds: of networks that it trains; None for every kind.
        layer_rule: of `robust.layers.base.RULES` that every layer of such a network must own;
            None where a gradient is enough.
        cost_kinds: of networks that it trains in L1 balls in which features have costs; None for
            every kind, () for none.
        name: as in the registry.
        norm: of the training ball; None where there is no ball.
        loss_function: of class differences; must satisfy Assumptions 3.1 and 3.2.
        bounds: of the inputs; attacks made for training are clipped to them.
        costs: whose costs the ball sum_m c_m |delta_m| <= radius has: `uniform`, 1 for every
            feature, or `catalog`, those of the data set's entry. `name(costs=catalog)` trains so.
        feature_costs: > 0, [D], infinite where a feature stays; None is 1 for all.
    """

    label: ClassVar[str]
    network_kinds: ClassVar[tuple[str, ...] | None] = None
    layer_rule: ClassVar[str | None] = None
    cost_kinds: ClassVar[CostKinds] = ()

    name: str
    norm: Norm | None
    loss_function: Loss = field(default=cross_entropy, kw_only=True)
    bounds: tuple[float, float] = field(default=UNBOUNDED, kw_only=True)
    costs: str = field(default=UNIFORM, kw_only=True)
    feature_costs: Tensor | None = field(default=None, kw_only=True, compare=False, repr=False)

    @property
    def parameters(self) -> dict[str, Value]:
        """The hyperparameters and their values."""
        own = [f.name for f in fields(self) if f.name not in _COMMON]
        return {name: getattr(self, name) for name in own}

    def with_costs(self, costs: Tensor | None) -> Defense:
        """Return the same defense in a ball with costs, [D]; None is 1 for every feature.

        Raises:
            ValueError: it knows no such balls, or is one of `catalog` costs and there are none.
        """
        if costs is None and self.costs != UNIFORM:
            raise ValueError(f"defense {self.name!r} needs the {self.costs}'s costs; give costs")
        if costs is None:
            return self
        refuse_costs(f"defense {self.name!r}", self.norm, self.cost_kinds)
        return replace(self, feature_costs=costs)

    @abstractmethod
    def step_cost(self, size: NetworkSize) -> StepCost:
        """Return what a training step on a network of this size takes of one example."""

    @abstractmethod
    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example, [P, B]; arguments are not checked.

        Args:
            net: P networks.
            x: [B, D] or [P, B, D].
            y: labels, [B].
            radius: true radius of each example's ball, [P, B].
            generator: source of randomness, for defenses that need one.
        """

    def losses_during(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        progress: Tensor,
    ) -> Tensor:
        """Return the loss of each example at a moment of training, [P, B].

        The same throughout, unless a defense has a schedule (`robust.defenses.schedule`).

        Args:
            net, x, y, radius, generator: as for `example_losses`, which is the loss at the end.
            progress: the share of the steps that are done, in [0, 1], a scalar on the device:
                the host never reads it, so that a step can be recorded.
        """
        return self.example_losses(net, x, y, radius, generator)

    def loss(
        self,
        net: Network,
        x: Numbers,
        y: Numbers,
        radius: Radius,
        generator: torch.Generator | None = None,
        costs: Numbers | None = None,
    ) -> Tensor:
        """Return the mean loss of each network over the batch, differentiable.

        Args:
            net: P networks.
            x: inputs, [B, D] or [P, B, D], B >= 1, in scaled input units, of any real type; taken
                to the network's.
            y: labels in 0..K-1, [B], of any integer type.
            radius: true radius of the ball, a number or [P], finite and >= 0.
            generator: source of randomness, for defenses that need one.
            costs: > 0, [D], for the L1 ball sum_m c_m |delta_m| <= radius; infinite where a
                feature cannot be moved. None is 1 for all.

        Returns:
            [P], in the network's type.

        Raises:
            ValueError: no inputs; inputs that are not finite or lie outside the bounds; shapes,
                types or devices that do not fit; labels, radii, bounds or costs out of range;
                costs where the defense takes none.
        """
        method = self.with_costs(None if costs is None else check_costs(costs, net))
        inputs, labels = check_batch(net, x, y)
        check_bounds(self.bounds, inputs)
        check_generator(generator, inputs)
        radii = pack_radius(radius, net.num_networks, inputs)
        each = for_each_example(radii, len(labels))
        return method.mean_losses(net, inputs, labels, each, generator)

    def mean_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the mean of `example_losses`, [P], also where gradients are switched off.

        A loss may take gradients of its own, at the inputs for example.
        """
        with torch.enable_grad():
            losses = self.example_losses(net, x, y, radius, generator).mean(dim=1)
        return losses if torch.is_grad_enabled() else losses.detach()


_COMMON = tuple(f.name for f in fields(Defense))

DEFENSES: Registry[Defense] = Registry("defense")

_VARIANT = re.compile(r"([^()]+)\((.*)\)")


def register(defense: Defense) -> Defense:
    """Add a defense to the registry, and so to the grid and the contract tests.

    Raises:
        ValueError: the name is taken; the class declares no label.
    """
    if not getattr(type(defense), "label", ""):
        raise ValueError(f"defense {defense.name!r} declares no label")
    return DEFENSES.add(defense.name, defense)


def get(name: str) -> Defense:
    """Return the defense of that name, such as `rub` or `trades-linf(beta=1)`.

    Raises:
        ValueError: an unknown name or hyperparameter, or a value of another type.
    """
    match = _VARIANT.fullmatch(name)
    if match is None:
        return DEFENSES.get(name)
    values: dict[str, str] = {}
    for part in filter(None, (text.strip() for text in match[2].split(","))):
        key, given, value = part.partition("=")
        if not given:
            raise ValueError(f"defense {name!r}: write name(parameter=value), got {part!r}")
        values[key.strip()] = value.strip()
    return variant(match[1].strip(), values)


def variant(name: str, values: Mapping[str, object]) -> Defense:
    """Return a defense with some of its hyperparameters changed, under a name that says so.

    The name lists what differs from the registered defense, in the order of the fields, so that
    equal defenses have equal names.

    Args:
        name: of a registered defense.
        values: by hyperparameter; text is read as the parameter's type.

    Raises:
        ValueError: as for `get`.
    """
    base = DEFENSES.get(name)
    known = base.parameters
    if base.norm == "l1" and base.cost_kinds != ():
        known["costs"] = base.costs
    for key in values:
        if key not in known:
            own = ", ".join(base.parameters) or "none"
            raise ValueError(f"defense {name!r} has no parameter {key!r}; it has: {own}")
    if (costs := values.get("costs", UNIFORM)) not in COSTS:
        raise ValueError(f"defense {name!r}: {unknown('costs', str(costs), COSTS)}")
    read = {key: _read(name, key, values[key], known[key]) for key in known if key in values}
    changed = {key: value for key, value in read.items() if value != known[key]}
    if not changed:
        return base
    given = ",".join(f"{key}={_written(value)}" for key, value in changed.items())
    return replace(base, name=f"{name}({given})", **changed)  # type: ignore[arg-type]


def _read(name: str, key: str, value: object, default: Value) -> Value:
    """Return a value in its hyperparameter's type, which is that of the default."""
    text = str(value)
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(value, bool):
            raise ValueError
        if isinstance(default, int):
            return int(text)
        return float(text) if isinstance(default, float) else text
    except (KeyError, ValueError):
        kind = type(default).__name__
        raise ValueError(f"defense {name!r}: {key}={value!r} must be of type {kind}") from None


def _written(value: Value) -> str:
    """Return a value as text that reads back as the same value, as short as can be."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
