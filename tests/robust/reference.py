"""The paper's equations written out plainly: one network, loops, no shortcuts.

One network is a list of weights [in, out] and a list of biases [out]; x is one input [D]. All of
it is torch, so that autograd gives the reference gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DUAL_ORDER = {"l1": float("inf"), "l2": 2.0, "linf": 1.0}


def unpack(net: torch.nn.Module, network: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and biases of one network of a pack; gradients flow to the pack."""
    return [w[network] for w in net.weights], [b[network] for b in net.biases]


def pre_activations(
    weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor
) -> list[Tensor]:
    """Return z^1 ... z^L at x."""
    z = [x @ weights[0] + biases[0]]
    for w, b in zip(weights[1:], biases[1:], strict=True):
        z.append(torch.relu(z[-1]) @ w + b)
    return z


def theorem_11(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    y: int,
    k: int,
    radius: float,
    t: Sequence[Tensor] | None = None,
) -> Tensor:
    """Return max over all m and a = +-rho of g^L_{k,m}(x, t, a), a scalar.

    t is [sign(z(x))]^+ unless given.
    """
    if t is None:
        t = [(z > 0).to(z.dtype) for z in pre_activations(weights, biases, x)[:-1]]
    c = torch.zeros(weights[-1].shape[1], dtype=x.dtype)
    c[k] += 1
    c[y] -= 1
    values = []
    for m in range(x.shape[0]):
        for a in (radius, -radius):
            positive = a * weights[0][m] + x @ weights[0] + biases[0]  # r = 1
            negative = -positive  # r = -1
            for w, b, mask in zip(weights[1:-1], biases[1:-1], t[:-1], strict=True):
                active, passive = torch.relu(positive), negative * mask
                positive = active @ torch.relu(w) + passive @ torch.relu(-w) + b
                negative = active @ torch.relu(-w) + passive @ torch.relu(w) - b
            last = weights[-1] @ c
            value = torch.relu(positive) @ torch.relu(last)
            value = value + (negative * t[-1]) @ torch.relu(-last)
            values.append(value + c @ biases[-1])
    return torch.stack(values).max()


def first_order(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    y: int,
    k: int,
    radius: float,
    order: str,
) -> Tensor:
    """Return Eq. 9 for one class: z_k - z_y + rho ||grad_x (z_k - z_y)||_q, by autograd."""
    at = x.clone().requires_grad_()
    logits = pre_activations(weights, biases, at)[-1]
    difference = logits[k] - logits[y]
    (gradient,) = torch.autograd.grad(difference, at, create_graph=True)
    return difference + radius * torch.linalg.vector_norm(gradient, ord=DUAL_ORDER[order])


def upper_bound_loss(bounds: Sequence[Tensor]) -> Tensor:
    """Return log(sum_k exp(bound_k)), the bound of the own class (0) included."""
    return torch.logsumexp(torch.stack(list(bounds)), dim=0)


def rub_loss(
    weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor, y: Tensor, radius: float
) -> Tensor:
    """Return the mean cross-entropy of Theorem 11's bounds over a batch x [B, D] (cf. Eq. 27)."""
    losses = []
    for point, label in zip(x, y.tolist(), strict=True):
        classes = range(weights[-1].shape[1])
        losses.append(
            upper_bound_loss(
                [theorem_11(weights, biases, point, label, k, radius) for k in classes]
            )
        )
    return torch.stack(losses).mean()


def arub_loss(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    radius: float,
    order: str,
) -> Tensor:
    """Return Eq. 11, the mean over a batch x [B, D]."""
    losses = []
    for point, label in zip(x, y.tolist(), strict=True):
        bounds = [
            first_order(weights, biases, point, label, k, radius, order)
            if k != label
            else point.new_zeros(())
            for k in range(weights[-1].shape[1])
        ]
        losses.append(upper_bound_loss(bounds))
    return torch.stack(losses).mean()


def baseline_loss(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    radius: float,
    order: str,
) -> Tensor:
    """Return Eq. 7: L + rho ||grad_x L||_q for each example, the mean over a batch x [B, D]."""
    losses = []
    for point, label in zip(x, y.tolist(), strict=True):
        at = point.clone().requires_grad_()
        logits = pre_activations(weights, biases, at)[-1]
        loss = torch.logsumexp(logits, dim=0) - logits[label]
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)
        losses.append(loss + radius * torch.linalg.vector_norm(gradient, ord=DUAL_ORDER[order]))
    return torch.stack(losses).mean()
