"""Where the minibatches of a training come from: arrays, or a DataLoader.

A source owns memory that stays where it is, x and y, and names a step's minibatch by indices into
it, so that a step can be recorded and replayed (`robust.numerics.recording`).

Legend: N training examples, B batch, D input features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from robust.checks import Numbers, check_batch, check_bounds, check_count
from robust.loaders import Loader, batches
from robust.networks.linearization import Network
from robust.seeds import derived_seed


class Source(Protocol):
    """The minibatches of a training."""

    @property
    def x(self) -> Tensor:
        """Inputs, [N, D]."""

    @property
    def y(self) -> Tensor:
        """Labels, [N]."""

    @property
    def batch_size(self) -> int:
        """B."""

    @property
    def bounds(self) -> tuple[float, float]:
        """In which all inputs lie, in the inputs' type."""

    def fill(self, step: int, batch: Tensor) -> None:
        """Let `batch`, [B] int64, name the minibatch of a step, counted from 1."""


class Drawn:
    """Minibatches of arrays: one fresh permutation after another, cut up."""

    def __init__(
        self,
        net: Network,
        x: Numbers,
        y: Numbers,
        bounds: tuple[float, float],
        batch_size: int,
        steps: int,
        seed: int,
    ) -> None:
        self.x, self.y = check_batch(net, x, y, shared=True)
        self.bounds = check_bounds(bounds, self.x)
        self.order = minibatches(self.x.shape[0], batch_size, steps, seed).to(self.x.device)
        self.batch_size = self.order.shape[1]

    def fill(self, step: int, batch: Tensor) -> None:
        """Name the step's examples."""
        batch.copy_(self.order[step - 1])


class Streamed:
    """Minibatches of a loader: its examples in its order, epoch after epoch, cut up.

    Its last, smaller batch is filled up with the first examples of the next epoch.
    """

    def __init__(
        self, net: Network, loader: Loader, bounds: tuple[float, float], batch_size: int | None
    ) -> None:
        self._stream = _endless(net, loader)
        first = next(self._stream)
        own = len(first[1]) if loader.batch_size is None else loader.batch_size
        self.batch_size = check_count("batch_size", own if batch_size is None else batch_size)
        self.bounds = check_bounds(bounds, first[0])
        self._left: list[tuple[Tensor, Tensor]] = [first]
        self.x = first[0].new_zeros(self.batch_size, first[0].shape[1])
        self.y = first[1].new_zeros(self.batch_size)
        self._places = torch.arange(self.batch_size, device=self.x.device)

    def fill(self, step: int, batch: Tensor) -> None:
        """Read the step's examples into the memory, and name them all."""
        count = 0
        while count < self.batch_size:
            x, y = self._left.pop() if self._left else next(self._stream)
            room = self.batch_size - count
            if len(y) > room:
                self._left.append((x[room:], y[room:]))
                x, y = x[:room], y[:room]
            check_bounds(self.bounds, x)
            self.x[count : count + len(y)] = x
            self.y[count : count + len(y)] = y
            count += len(y)
        batch.copy_(self._places)


def source_of(
    net: Network,
    x: Numbers | Loader,
    y: Numbers | None,
    bounds: tuple[float, float],
    batch_size: int | None,
    steps: int,
    seed: int,
) -> Source:
    """Return the source of a training's minibatches; arguments and errors as for `train`."""
    if isinstance(x, DataLoader):
        if y is not None:
            raise ValueError("y must be left out: a DataLoader yields the labels")
        return Streamed(net, x, bounds, batch_size)
    if y is None:
        raise ValueError("y is missing: labels are needed beside inputs")
    if batch_size is None:
        raise ValueError("batch_size must be given, got None; only a DataLoader has its own")
    return Drawn(net, x, y, bounds, batch_size, steps, seed)


def minibatches(num_examples: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return the examples of every minibatch: one fresh permutation after another, cut up.

    Args:
        num_examples: N >= 1.
        batch_size: B >= 1, capped at N.
        steps: how many minibatches, at least 1.
        seed: of the permutations.

    Returns:
        [steps, B], int64; a prefix of the result for more steps.

    Raises:
        ValueError: a count below 1, or no whole number.
    """
    num_examples = check_count("num_examples", num_examples)
    steps = check_count("steps", steps)
    size = min(check_count("batch_size", batch_size), num_examples)
    generator = torch.Generator().manual_seed(derived_seed(seed, "minibatches"))
    epochs = -(-steps * size // num_examples)
    stream = [torch.randperm(num_examples, generator=generator) for _ in range(epochs)]
    return torch.cat(stream)[: steps * size].view(steps, size)


def _endless(net: Network, loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a loader's batches, epoch after epoch."""
    while True:
        empty = True
        for pair in batches(net, loader):
            empty = False
            yield pair
        if empty:
            raise ValueError("the DataLoader yields nothing")
