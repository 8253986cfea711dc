"""What every network offers, and its first-order expansion at a batch of inputs.

Legend: P networks in the pack, B batch, C cotangents per example, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Linearization:
    """Logits at x and the product of cotangents with the input Jacobian there.

    A ReLU network is piecewise linear, so its Jacobian is a product of masked matrices. The
    pullback multiplies them out; it is differentiable in the parameters with the masks held
    constant, which is the exact derivative almost everywhere, without double backward.

    Attributes:
        logits: [P, B, K].
        pullback: cotangents [P or 1, B, C, K] -> [P, B, C, D].
    """

    logits: Tensor
    pullback: Callable[[Tensor], Tensor]


class Network(Protocol):
    """A pack of P networks of one shape."""

    @property
    def num_networks(self) -> int:
        """P."""

    @property
    def num_features(self) -> int:
        """D."""

    @property
    def num_classes(self) -> int:
        """K."""

    def __call__(self, x: Tensor) -> Any:
        """Logits [P, B, K] at x, [B, D] or [P, B, D]."""

    def linearize(self, x: Tensor) -> Linearization:
        """First-order expansion at x, [B, D] or [P, B, D]."""

    def subset(self, networks: Sequence[int] | Tensor) -> Self:
        """A pack of copies of some of the networks, by index."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Parameters, each with leading dimension P."""


@singledispatch
def loss_gradient(net: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and each input's gradient of the cross-entropy, without autograd.

    grad_x CE = J'(softmax(z) - e_y). A network class may register a faster form.

    Args:
        net: P networks.
        x: [N, D] or [P, N, D].
        y: labels, [N] or [P, N].

    Returns:
        [P, N, K] and [P, N, D], without gradient.
    """
    with torch.no_grad():
        expansion = net.linearize(x)
        residual = cross_entropy_residual(expansion.logits, y)
        return expansion.logits, expansion.pullback(residual.unsqueeze(2)).squeeze(2)


def cross_entropy_residual(logits: Tensor, y: Tensor) -> Tensor:
    """Return softmax(z) - e_y, the gradient of the cross-entropy in the logits, [P, N, K]."""
    residual = torch.softmax(logits, dim=-1)
    own = y.expand(residual.shape[:2]).unsqueeze(2)
    return residual.scatter_add_(2, own, -torch.ones_like(own, dtype=residual.dtype))
