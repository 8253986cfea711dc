"""Floating-point operations of one training step, counted from its matrix products.

The floor that measured times are compared with: what each defense must multiply, by the
algorithms of robust/, element-wise work left out.

Legend: B batch, D input features, H hidden units, L hidden layers, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

from robust import attacks
from robust.attacks.gradient import GradientAttack


def forward(d: int, k: int, hidden: int, width: int) -> int:
    """One input through the network."""
    return 2 * (d * width + (hidden - 1) * width * width + width * k)


def _trained(d: int, k: int, hidden: int, width: int) -> int:
    # Forward, and two products per layer backward but for the first layer's input.
    return 3 * forward(d, k, hidden, width) - 2 * d * width


def _nominal(d: int, k: int, hidden: int, width: int) -> int:
    return _trained(d, k, hidden, width)


def _baseline(d: int, k: int, hidden: int, width: int) -> int:
    # A forward pass and one cotangent pulled back, both differentiated.
    return _trained(d, k, hidden, width) + 3 * forward(d, k, hidden, width)


def _arub(d: int, k: int, hidden: int, width: int) -> int:
    return _trained(d, k, hidden, width) + 3 * (k - 1) * forward(d, k, hidden, width)


def _rub(d: int, k: int, hidden: int, width: int) -> int:
    # Two products per hidden layer and per output, at 2D vertices without gradient and at
    # K - 1 winners with it.
    row = 2 * 2 * ((hidden - 1) * width * width + width * (k - 1))
    return forward(d, k, hidden, width) * 4 + 2 * d * row + 3 * (k - 1) * row


def _pgd(d: int, k: int, hidden: int, width: int) -> int:
    attack = attacks.get("pgd-linf")
    assert isinstance(attack, GradientAttack)
    return _trained(d, k, hidden, width) + attack.num_steps * 2 * forward(d, k, hidden, width)


def _fgsm(d: int, k: int, hidden: int, width: int) -> int:
    return _trained(d, k, hidden, width) + 2 * forward(d, k, hidden, width)


PER_EXAMPLE: dict[str, Callable[[int, int, int, int], int]] = {
    "nominal": _nominal,
    "baseline-linf": _baseline,
    "arub-l1": _arub,
    "arub-linf": _arub,
    "rub": _rub,
    "pgd-linf": _pgd,
    "fgsm-linf": _fgsm,
}


def step(defense: str, d: int, k: int, batch: int, hidden: int = 3, width: int = 200) -> int:
    """Return the operations of one network's training step."""
    return batch * PER_EXAMPLE[defense](d, k, hidden, width)
