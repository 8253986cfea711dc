"""What a kind of layer knows of itself. A new kind is one file in this folder.

    forward    the layer's own function
    interval   a box of its outputs from boxes of its inputs
    tangent    its linear expansion at a point; backward walks of it are the input Jacobian (aRUB)
    relaxed    a line above and one below it on a box; backward walks of them are CROWN and COAP
    streams    RUB's two convex functions
    roundings  the roundings of one output, which bounds that are computed leave room for
    products   multiply-adds of one input, and so what it costs

A linear layer needs its product, the transposed product and the shift by its bias for all of them.

Legend: P networks in the pack, B batch, V vertices, U linear forms per example; `shape` is what
the layer's values have behind these, (units,) or (maps, rows, columns).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor

from robust.layers.streams import Streams
from robust.registry import Registry

Shape = tuple[int, ...]
RULES = frozenset({"pullback", "interval", "rub", "crown", "coap"})


class Own(NamedTuple):
    """A layer's parameters for P networks: weight [P, ..., in, out] and bias [P, out]."""

    weight: Tensor
    bias: Tensor


class Box(NamedTuple):
    """Every value lies between `low` and `high`, both [P, B, *shape]."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Lines:
    """Lines that bound a layer's outputs: lower z <= output <= upper z + intercept.

    Attributes:
        lower: slope of the line below, [P, B, *outputs].
        upper: slope of the line above; the same tensor where both are one slope.
        intercept: of the line above; None where it is 0.
        lower_member, upper_member: which of a window's members z is, for layers that have
            windows, int64, [P, B, *outputs].
    """

    lower: Tensor
    upper: Tensor
    intercept: Tensor | None = None
    lower_member: Tensor | None = None
    upper_member: Tensor | None = None


class Layer(ABC):
    """One kind of layer with its settings, the same for all networks of a pack.

    Attributes:
        kind: as in the registry and in the header of a file.
        rules: what bounds may ask of it (of `RULES`).
        has_parameters: whether it has a weight and a bias.
        is_linear: whether it is affine in its inputs.
        keeps_outputs: whether training keeps its outputs for the backward pass.
    """

    kind: ClassVar[str]
    rules: ClassVar[frozenset[str]] = RULES
    has_parameters: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    keeps_outputs: ClassVar[bool] = True

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that make this layer again."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the outputs for inputs of these shapes.

        Raises:
            ValueError: they do not fit.
        """

    @abstractmethod
    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return the outputs, [P, N, *outputs], for inputs [P, N, *shape]."""

    @abstractmethod
    def interval(self, own: Own | None, *inputs: Box) -> Box:
        """Return a box of the outputs."""

    @abstractmethod
    def streams(self, own: Own | None, at: Sequence[Tensor], *inputs: Streams) -> Streams:
        """Return RUB's streams of the outputs (`robust.layers.streams`), [P, B, V, *outputs].

        Args:
            own: its parameters.
            at: the inputs' values at the unperturbed x, [P, B, 1, *shape].
            inputs: their streams, [P, B, V, *shape].
        """

    @abstractmethod
    def tangent(self, *inputs: Tensor) -> Lines | None:
        """Return the layer's linear expansion at a point; None where it is linear."""

    @abstractmethod
    def relaxed(self, slope: str, *inputs: Box) -> Lines | None:
        """Return lines that hold on a box; None where the layer is linear.

        Args:
            slope: of the lines below, a name in `robust.layers.relu.SLOPES`.
            inputs: boxes, [P, B, *shape].
        """

    @abstractmethod
    def back(
        self, own: Own | None, lines: Lines | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Carry linear forms of the outputs back to the inputs, along the lines.

        Args:
            own: its parameters.
            lines: from `tangent` or `relaxed`.
            inputs: the shapes of the inputs.
            forms: coefficients, [P, B, U, *outputs]; a B of 1 where all examples share them.

        Returns:
            Coefficients at each input, [P, B, U, *shape], and what is added, [P, B, U].
        """

    def num_parameters(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return how many numbers of one network are trained here."""
        return 0

    def products(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return the multiply-adds of one input of one network."""
        return 0

    def roundings(self, own: Own | None) -> int:
        """Return how many roundings lie between an input and an output at most."""
        return 0


class LinearLayer(Layer):
    """A layer W h + b: everything follows from its product and the transposed product."""

    is_linear = True

    @abstractmethod
    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return W h, [P, ..., *outputs], for h [P, ..., *shape]."""

    @abstractmethod
    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return W'a for each input, [P, B, U, *shape], of forms a, [P, B, U, *outputs]."""

    def shifted(self, outputs: Tensor, bias: Tensor | None) -> Tensor:
        """Return outputs + b, [P, ..., *outputs]."""
        return outputs

    def shift(self, bias: Tensor | None, forms: Tensor) -> Tensor | float:
        """Return a'b of forms a, [P, B, U]."""
        return 0.0

    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return W h + b."""
        if own is None:
            return self.product(None, *inputs)
        return self.shifted(self.product(own.weight, *inputs), own.bias)

    def interval(self, own: Own | None, *inputs: Box) -> Box:
        """Return W c + b -+ |W| r of the boxes' centres c and half widths r."""
        centre = self.forward(own, *(box.low / 2 + box.high / 2 for box in inputs))
        size = None if own is None else own.weight.abs()
        spread = self.product(size, *(box.high / 2 - box.low / 2 for box in inputs))
        return Box(centre - spread, centre + spread)

    def streams(self, own: Own | None, at: Sequence[Tensor], *inputs: Streams) -> Streams:
        """Return W centre + b and |W| excess: u' = [W]+ u + [-W]+ v + b, v' likewise."""
        centre = self.forward(own, *(each.centre for each in inputs))
        if all(each.excess is None for each in inputs):
            return Streams(centre, None)
        size = None if own is None else own.weight.abs()
        wide = (torch.zeros_like(c) if e is None else e for c, e in inputs)
        return Streams(centre, self.product(size, *wide))

    def tangent(self, *inputs: Tensor) -> Lines | None:
        """Return None: the layer is its own expansion."""
        return None

    def relaxed(self, slope: str, *inputs: Box) -> Lines | None:
        """Return None: the layer is linear."""
        return None

    def back(
        self, own: Own | None, lines: Lines | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Return W'a and a'b: a'(W h + b) = (W'a)'h + a'b."""
        if own is None:
            return self.transposed(None, inputs, forms), 0.0
        return self.transposed(own.weight, inputs, forms), self.shift(own.bias, forms)


def on_rows(function: Callable[[Tensor], Tensor], h: Tensor, dims: int) -> Tensor:
    """Apply a function of [P, N, *shape] to [P, ..., *shape] with `dims` dimensions in shape."""
    lead = h.shape[1:-dims]
    out = function(h.reshape(h.shape[0], -1, *h.shape[-dims:]))
    return out.view(h.shape[0], *lead, *out.shape[2:])


def paired(forms: Tensor, values: Tensor) -> Tensor:
    """Return a'v of forms [P, B, U, *shape] and one vector per example [P, B, *shape].

    Forms with a B of 1 are shared by all examples: one product for all of them.
    """
    rows, columns = forms.flatten(3), values.flatten(2)
    if rows.shape[1] == 1:
        return torch.bmm(columns, rows.squeeze(1).mT)
    return torch.matmul(rows, columns.unsqueeze(3)).squeeze(3)


L = TypeVar("L", bound=type[Layer])

LAYERS: Registry[type[Layer]] = Registry("kind of layer")


def register(layer: L) -> L:
    """Add a kind of layer to the registry, and so to the contract tests; a class decorator.

    Raises:
        ValueError: the name is taken, or it claims a rule that there is not.
    """
    if unknown := layer.rules - RULES:
        raise ValueError(
            f"layer {layer.kind!r} has unknown rules {sorted(unknown)}; known: {sorted(RULES)}"
        )
    LAYERS.add(layer.kind, layer)
    return layer
