"""Networks as bounds see them: in float64, and from balls in which features have costs.

Bounds that are built on bounds of hidden units lose to rounding layer by layer: in float32 the
margin for it would cost much of their tightness, in float64, where the parameters of float32
networks are exact, it costs nothing.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.layers.affine import affine
from robust.layers.graph import Graph
from robust.networks.mlp import MLP, dense_graph


@dataclass(frozen=True)
class Widened:
    """A pack of multi-layer perceptrons seen in float64, differentiable in its parameters.

    Attributes:
        weights: [P, in, out] of every layer.
        biases: [P, out].
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    @classmethod
    def of(cls, net: MLP) -> Widened:
        """Return the float64 view of a pack."""
        return cls([w.double() for w in net.weights], [b.double() for b in net.biases])

    @property
    def graph(self) -> Graph:
        """The architecture, for walks over layers."""
        return dense_graph(self.weights)

    @property
    def num_networks(self) -> int:
        """P."""
        return int(self.weights[0].shape[0])

    @property
    def num_features(self) -> int:
        """D."""
        return int(self.weights[0].shape[1])

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.weights[-1].shape[2])

    def pre_activations(self, x: Tensor) -> list[Tensor]:
        """Return z_1 ... z_L at x, as `MLP.pre_activations` does."""
        z = [affine(x, self.weights[0], self.biases[0])]
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            z.append(affine(torch.relu(z[-1]), weight, bias))
        return z


@dataclass(frozen=True)
class Stepped(Widened):
    """A pack whose first weights are what a step of cost 1 along each feature adds to z_1.

    A search over the vertices of a plain ball so searches those of a weighted one (`bounds.ball`).

    Attributes:
        first: the first layer's weights as the network has them, [P, D, H].
    """

    first: Tensor

    @classmethod
    def around(cls, net: MLP, costs: Tensor) -> Stepped:
        """Return the view of a pack from balls with costs, > 0, [D]."""
        first, *others = net.weights
        return cls([first / costs.unsqueeze(1), *others], list(net.biases), first)

    def pre_activations(self, x: Tensor) -> list[Tensor]:
        """Return z_1 ... z_L of the network itself at x."""
        return Widened([self.first, *self.weights[1:]], self.biases).pre_activations(x)


def narrowed(upper: Tensor, slack: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return float64 bounds and their slack in a narrower type, the slack raised by what it cost.

    Args:
        upper: [P, B, K-1].
        slack: the same shape.
        dtype: float32 or float64.
    """
    if upper.dtype == dtype:
        return upper, slack
    lost = 2 * torch.finfo(dtype).eps * (upper.detach().abs() + slack) + torch.finfo(dtype).tiny
    return upper.to(dtype), (slack + lost).to(dtype)
