"""COAP's linear forms carried back through relaxed layers, block by block.

These are the only large tensors of the bound: every unit of a layer has a coefficient at every
unit of the layers before, for each example. Blocks of them are computed again for the gradient.

Legend: P networks in the pack, B batch, U linear forms per example, D input features, H hidden
units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from robust.norms import dual_norm

# Coefficients (forms x units of one layer) held at once; beyond it a batch is cut into blocks
# that are computed again in the backward pass, so that memory does not grow with P x B.
BLOCK_ELEMENTS = {"cpu": 2**21, "cuda": 2**26}


@dataclass(frozen=True)
class Relaxation:
    """The relaxed ReLUs of one hidden layer.

    Attributes:
        low: l, [P, B, H].
        high: u, [P, B, H].
        slope: d, [P, B, H].
        intercept: -d l where l < 0 < u, else 0: [P, B, H].
    """

    low: Tensor
    high: Tensor
    slope: Tensor
    intercept: Tensor


def excess_over_lower_lines(
    forms: Tensor,
    weights: Sequence[Tensor],
    layers: Sequence[Relaxation],
    radius: Tensor,
    order: str,
) -> Tensor:
    """Return sum [a]^+ (-d l) + rho ||nu||_q: how far forms can rise above their lower lines.

    Args:
        forms: a, of the last layer's activations, [P, B, U, H], or [P, 1, U, H] where all
            examples share them.
        weights: of the layers, [P, in, out].
        layers: the layers' relaxations.
        radius: true radius, [P, B].
        order: norm of the ball.

    Returns:
        [P, B, U]; [P, 1, U] without layers where the examples share radius and forms.
    """
    if not layers:
        # One product and one sum for the gradient where a network's examples share its radius.
        shared = radius.stride(1) == 0
        return (radius[:, :1] if shared else radius).unsqueeze(2) * dual_norm(forms, order)
    lines = [layer.slope for layer in layers], [layer.intercept for layer in layers]
    networks, examples = lines[0][0].shape[:2]
    widest = forms.shape[2] * max(forms.shape[3], *(w.shape[1] for w in weights))
    wide, tall = _block(networks, examples, widest, forms.device.type)
    rows = []
    again = torch.is_grad_enabled() and (wide < networks or tall < examples)
    for own, *of_networks in _cut((forms, *weights, radius, *lines[0], *lines[1]), wide, 0):
        maps, parts = of_networks[: len(weights)], of_networks[len(weights) :]
        each = torch.split(own, tall, 1) if own.shape[1] > 1 else repeat(own)
        row = [
            _recomputed(again, form, order, maps, *part)
            for form, part in zip(each, _cut(parts, tall, 1), strict=False)
        ]
        rows.append(torch.cat(row, dim=1))
    return torch.cat(rows)


def _cut(tensors: Sequence[Tensor], size: int, dim: int) -> Iterator[tuple[Tensor, ...]]:
    """Cut all tensors alike; by `split`, whose gradient is joined in one piece."""
    return zip(*(torch.split(tensor, size, dim) for tensor in tensors), strict=True)


def _recomputed(again: bool, *block: Any) -> Tensor:
    if not again:
        return _block_excess(*block)
    excess: Tensor = checkpoint(
        _block_excess,
        *block,
        use_reentrant=False,
        preserve_rng_state=False,
        determinism_check="none",
    )
    return excess


def _block_excess(
    forms: Tensor, order: str, weights: Sequence[Tensor], radius: Tensor, *lines: Tensor
) -> Tensor:
    """Return the excess of some networks and examples; lines are slopes, then intercepts."""
    relaxed: Tensor | float = 0.0
    slopes, intercepts = lines[: len(weights)], lines[len(weights) :]
    for weight, slope, intercept in reversed(list(zip(weights, slopes, intercepts, strict=True))):
        if forms.shape[1] == 1:
            above = torch.bmm(intercept, torch.relu(forms).squeeze(1).mT)
            forms = forms * slope.unsqueeze(2)
        else:
            above, forms = _through_relu(forms, slope, intercept)
        relaxed = relaxed + above
        forms = torch.bmm(forms.flatten(1, 2), weight.mT).view(*above.shape, -1)
    return relaxed + radius.unsqueeze(2) * dual_norm(forms, order)


def _through_relu(forms: Tensor, slope: Tensor, intercept: Tensor) -> tuple[Tensor, Tensor]:
    """Carry every example's own forms back through a relaxed layer.

    Args:
        forms: a, [P, B, U, H].
        slope: d, [P, B, H].
        intercept: c, [P, B, H].

    Returns:
        [a]^+'c, [P, B, U], and a d, [P, B, U, H].
    """
    both: tuple[Tensor, Tensor] = _ThroughReLU.apply(  # type: ignore[no-untyped-call]
        forms, slope, intercept
    )
    return both


class _ThroughReLU(Function):
    """Its gradient is written out because autograd's takes twice as many passes over memory."""

    @staticmethod
    def forward(ctx: Any, forms: Tensor, slope: Tensor, intercept: Tensor) -> Any:
        ctx.save_for_backward(forms, slope, intercept)
        part = torch.relu(forms)
        above = torch.matmul(part, intercept.unsqueeze(3)).squeeze(3)
        return above, torch.mul(forms, slope.unsqueeze(2), out=part)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_above: Tensor, of_sloped: Tensor) -> Any:
        forms, slope, intercept = ctx.saved_tensors
        part = torch.relu(forms)
        of_intercept = torch.matmul(of_above.unsqueeze(2), part).squeeze(2)
        of_slope = torch.mul(forms, of_sloped, out=part).sum(dim=2)
        part = torch.mul(of_above.unsqueeze(3), intercept.unsqueeze(2), out=part)
        part = torch.ops.aten.threshold_backward.grad_input(part, forms, 0, grad_input=part)
        return part.addcmul_(of_sloped, slope.unsqueeze(2)), of_slope, of_intercept


def _block(networks: int, examples: int, per_example: int, device: str) -> tuple[int, int]:
    """Return how many networks and examples have at most that many elements together."""
    budget = BLOCK_ELEMENTS.get(device, BLOCK_ELEMENTS["cpu"])
    wide = max(1, min(networks, budget // max(1, examples * per_example)))
    return wide, max(1, min(examples, budget // per_example))
