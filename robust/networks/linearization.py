"""What every network offers, and its first-order expansion at a batch of inputs.

Legend: P networks in the pack, B batch, C cotangents per example, D input features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

# What the gradients of saturated examples are multiplied by, where denormal numbers are slow.
LIFT = {"cpu": 2.0**64}


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


LossGradient = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


@singledispatch
def loss_gradient(net: Network, y: Tensor) -> LossGradient:
    """Return a function of x: the logits and each input's gradient of the cross-entropy.

    grad_x CE = J'(softmax(z) - e_y). A network class may register a faster form; what depends
    on the parameters alone is then computed once, so they must not change before the last call.

    Args:
        net: P networks.
        y: labels, [N] or [P, N].

    Returns:
        A function of x, [N, D] or [P, N, D], to the logits [P, N, K], the gradient times a power
        of two, [P, N, D], and that power, [P, N, 1], all without autograd.
    """
    targets = one_hot(y, net).mT

    @torch.no_grad()
    def gradient(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        expansion = net.linearize(x)
        # Over many examples at once: several times faster than along a short last dimension.
        residual, scale = cross_entropy_residual(expansion.logits.mT.contiguous(), targets)
        found = expansion.pullback(residual.mT.unsqueeze(2)).squeeze(2)
        return expansion.logits, found, scale.mT

    return gradient


def one_hot(y: Tensor, net: Network) -> Tensor:
    """Return e_y, [1, N, K] or [P, N, K], in the network's dtype; y is [N] or [P, N]."""
    targets = functional.one_hot(y, net.num_classes).to(next(iter(net.parameters())).dtype)
    return targets if y.dim() == 2 else targets.unsqueeze(0)


def cross_entropy_residual(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return s (softmax(z) - e_y), the gradient of the cross-entropy in the logits, and s.

    s is 1 but for an example whose softmax is saturated, p_k < 2^-64 for all k != y. There the
    products that follow would fall below the smallest normal number, which a CPU is slow with
    or takes for 0. So s = 2^64, with log p_k = z_k - z_y, as p_y rounds to 1. As without s,
    p_y - 1 is then 0, and so is a p_k below the smallest number that there is: the attacks are
    those of foolbox, which are blind there. Elsewhere than on a CPU s is always 1.

    Args:
        logits: [..., K, N].
        targets: e_y, [1, K, N] or [..., K, N].

    Returns:
        [..., K, N] and [..., 1, N].
    """
    residual = torch.softmax(logits, dim=-2).sub_(targets)
    scale = torch.ones_like(residual[..., :1, :])
    lift = LIFT.get(logits.device.type)
    if lift is None:
        return residual, scale
    faint = residual.abs().amax(dim=-2, keepdim=True) < 1 / lift
    if not bool(faint.any()):
        return residual, scale
    behind = logits - logits.amax(dim=-2, keepdim=True)  # of z_y, the largest
    lifted = torch.exp(behind + math.log(lift)).mul_(behind >= _log_smallest(logits.dtype))
    residual = torch.where(faint, lifted.mul_(1 - targets), residual)
    return residual, scale.masked_fill_(faint, lift)


def _log_smallest(dtype: torch.dtype) -> float:
    """Return the logarithm of the smallest positive number, denormal ones included."""
    return math.log(torch.finfo(dtype).tiny) + math.log(torch.finfo(dtype).eps)
