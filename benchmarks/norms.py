"""How long norms take beside torch's vector_norm, forward and forward with backward.

python -m benchmarks.norms
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import machine
from robust.norms import ORDERS, norm

SHAPES = ((1, 256, 37), (4, 256, 9, 65), (1, 256, 9, 784))  # an attack's, and aRUB's


def main() -> None:
    """Print a table, in microseconds with one thread."""
    torch.set_num_threads(1)
    print(
        f"{'order':<7}{'shape':<18}{'vector_norm':>12}{'ours':>8}{'with backward':>22}{'ours':>8}"
    )
    for order, p in ORDERS.items():
        for shape in SHAPES:
            v = torch.randn(shape, generator=torch.Generator().manual_seed(0))

            def theirs(v: Tensor, p: float = p) -> Tensor:
                length: Tensor = torch.linalg.vector_norm(v, ord=p, dim=-1)
                return length

            def ours(v: Tensor, order: str = order) -> Tensor:
                return norm(v, order)

            runs = [forward(theirs, v), forward(ours, v), backward(theirs, v), backward(ours, v)]
            a, b, c, d = (1e6 * t for t in machine.interleaved(runs, "cpu", at_least=0.05))
            print(f"{order:<7}{shape!s:<18}{a:>12.0f}{b:>8.0f}{c:>22.0f}{d:>8.0f}", flush=True)


def forward(length: Callable[[Tensor], Tensor], v: Tensor) -> Callable[[], object]:
    """Return the length without gradient."""
    return lambda: length(v)


def backward(length: Callable[[Tensor], Tensor], v: Tensor) -> Callable[[], object]:
    """Return the length and its gradient."""
    leaf = v.clone().requires_grad_()
    return lambda: torch.autograd.grad(length(leaf).sum(), leaf)


if __name__ == "__main__":
    main()
