"""Packs by torch's own means: vmap over stacked parameters and torch.optim.

What anyone can write with torch.func, as the second baseline of `benchmarks.throughput`.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from benchmarks import plain

Parameters = dict[str, Tensor]
# Loss of one network: its parameters, x, y, radius and a random number per input feature.
Loss = Callable[[Parameters, Tensor, Tensor, float, Tensor], Tensor]

PGD_STEPS, PGD_STEP_SIZE = 40, 0.01 / 0.3


def losses(net: nn.Sequential) -> dict[str, Loss]:
    """Return the losses that vmap can be taken of, by defense."""

    def cross_entropy(p: Parameters, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = functional_call(net, p, (x,))
        return functional.cross_entropy(logits, y)

    def nominal(p: Parameters, x: Tensor, y: Tensor, radius: float, noise: Tensor) -> Tensor:
        return cross_entropy(p, x, y)

    def baseline(p: Parameters, x: Tensor, y: Tensor, radius: float, noise: Tensor) -> Tensor:
        gradient: Tensor = grad(cross_entropy, argnums=1)(p, x, y)  # of the mean over B inputs
        return cross_entropy(p, x, y) + radius * gradient.abs().sum()

    def pgd(p: Parameters, x: Tensor, y: Tensor, radius: float, noise: Tensor) -> Tensor:
        fixed = {name: value.detach() for name, value in p.items()}
        delta = (2 * noise - 1) * radius
        for _ in range(PGD_STEPS):
            ascent = grad(cross_entropy, argnums=1)(fixed, x + delta, y).sign()
            delta = (delta + radius * PGD_STEP_SIZE * ascent).clamp(-radius, radius)
        return cross_entropy(p, x + delta.detach(), y)

    return {"nominal": nominal, "baseline-linf": baseline, "pgd-linf": pgd}


def step(
    defense: str, x: Tensor, y: Tensor, classes: int, pack: int, radius: float
) -> Callable[[], object] | None:
    """Return one training step of P networks, or None for a defense that has no such form.

    Args:
        defense: its name.
        x: [B, D].
        y: labels, [B].
        classes: K.
        pack: P.
        radius: in input units.
    """
    nets = [plain.make_network(x.shape[1], classes).to(x.device) for _ in range(pack)]
    loss = losses(copy.deepcopy(nets[0]).to("meta")).get(defense)
    if loss is None:
        return None
    parameters, _ = stack_module_state(nets)
    optimizer = torch.optim.Adam(list(parameters.values()), 1e-4, eps=1e-7)
    gradients = vmap(grad(loss), in_dims=(0, None, None, None, 0))

    def run() -> None:
        noise = torch.rand(pack, *x.shape, device=x.device)
        found = gradients(parameters, x, y, radius, noise)
        for name, value in parameters.items():
            value.grad = found[name]
        optimizer.step()

    return run
