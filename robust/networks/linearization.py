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
from torch.nn import functional


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


LossGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


@singledispatch
def loss_gradient(net: Network, y: Tensor) -> LossGradient:
    """Return a function of x: the logits and each input's gradient of the cross-entropy.

    grad_x CE = J'(softmax(z) - e_y). A network class may register a faster form; what depends
    on the parameters alone is then computed once, so they must not change before the last call.

    Args:
        net: P networks.
        y: labels, [N] or [P, N].

    Returns:
        A function of x, [N, D] or [P, N, D], to [P, N, K] and [P, N, D], without autograd.
    """
    targets = one_hot(y, net)

    @torch.no_grad()
    def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
        expansion = net.linearize(x)
        residual = cross_entropy_residual(expansion.logits, targets)
        return expansion.logits, expansion.pullback(residual.unsqueeze(2)).squeeze(2)

    return gradient


def one_hot(y: Tensor, net: Network) -> Tensor:
    """Return e_y, [1, N, K] or [P, N, K], in the network's dtype; y is [N] or [P, N]."""
    targets = functional.one_hot(y, net.num_classes).to(next(iter(net.parameters())).dtype)
    return targets if y.dim() == 2 else targets.unsqueeze(0)


def cross_entropy_residual(logits: Tensor, targets: Tensor) -> Tensor:
    """Return softmax(z) - e_y, the gradient of the cross-entropy in the logits, [P, N, K].

    Args:
        logits: [P, N, K].
        targets: e_y, [1, N, K] or [P, N, K].
    """
    # Over many examples at once: several times faster than along a short last dimension.
    return torch.softmax(logits.mT.contiguous(), dim=1).mT - targets
