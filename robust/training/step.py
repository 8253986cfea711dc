"""One training step of a pack, and everything that it changes.

The step finds its minibatch and leaves its results in memory that stays where it is, and nothing
of it is decided by the host: it can be recorded and replayed (`robust.numerics.recording`).

Legend: P networks in the pack, N training examples, B batch, D input features.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from robust.checks import for_each_example
from robust.defenses.base import Defense
from robust.networks.linearization import Network
from robust.training.optimizer import PackedAdam


class TrainingStep:
    """Adam on the mean loss of a minibatch, for every network that is healthy.

    Attributes:
        batch: the minibatch's examples, indices into 0..N-1, [B]; filled in before each step.
        alive: whose loss and gradients were finite at every step, [P].
        diverged: the step at which they first were not, [P]; 0: not so far.
    """

    def __init__(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        defense: Defense,
        radius: Tensor,
        learning_rate: Tensor,
        batch_size: int,
        generator: torch.Generator,
        steps: int,
    ) -> None:
        """Start before the first step.

        Args:
            net: P networks; changed in place.
            x: training inputs, [N, D].
            y: labels, [N].
            defense: whose loss is minimised.
            radius: true radius of each network, [P].
            learning_rate: of each network, [P].
            batch_size: B.
            generator: of random starts, on the device of `net`.
            steps: of the whole training, by which schedules go.
        """
        self.net, self.x, self.y = net, x, y
        self.defense, self.generator, self.steps = defense, generator, steps
        self.radius = for_each_example(radius, batch_size)
        self.parameters: list[Tensor] = list(net.parameters())
        self.optimizer = PackedAdam(self.parameters, learning_rate)
        self.batch = torch.zeros(batch_size, dtype=torch.int64, device=x.device)
        self.alive = torch.ones_like(learning_rate, dtype=torch.bool)
        self.diverged = torch.zeros_like(learning_rate, dtype=torch.int64)

    def __call__(self) -> None:
        """Make the step on the minibatch that `batch` names."""
        x, y = self.x[self.batch], self.y[self.batch]
        progress = self.optimizer.count / self.steps  # counted on the device, in checkpoints too
        losses = self.defense.losses_during(
            self.net, x, y, self.radius, self.generator, progress
        ).mean(dim=1)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        self._keep_alive(_finite(losses, gradients), self.optimizer.count + 1)
        self.optimizer.step(gradients, self.alive)

    @torch.no_grad()
    def judge_last_update(self, seed: int) -> None:
        """Mark the networks that the step just made broke: no step follows that would see it.

        Their parameters are not finite, or the loss of the same minibatch no longer is.

        Args:
            seed: of the random starts.
        """
        generator = torch.Generator(self.x.device).manual_seed(seed)
        x, y = self.x[self.batch], self.y[self.batch]
        losses = self.defense.mean_losses(self.net, x, y, self.radius, generator)
        sound = finite_parameters(self.parameters) & torch.isfinite(losses)
        self._keep_alive(sound, self.optimizer.count)

    def _keep_alive(self, finite: Tensor, step: Tensor) -> None:
        """Mark those of the living that are no longer finite at this step."""
        self.diverged.copy_(torch.where(self.alive & ~finite, step.long(), self.diverged))
        self.alive &= finite

    def state_dict(self) -> dict[str, Any]:
        """Return what the next steps depend on; tensors are not copied."""
        return {
            "parameters": [p.detach() for p in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "masks": [self.alive, self.diverged],
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of a step of equal networks."""
        for mine, theirs in zip(
            [*self.parameters, self.alive, self.diverged],
            [*state["parameters"], *state["masks"]],
            strict=True,
        ):
            mine.copy_(theirs)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


@torch.no_grad()
def finite_parameters(parameters: Iterable[Tensor]) -> Tensor:
    """Return which networks' parameters are all finite, [P]; each parameter is [P, ...]."""
    each = [torch.isfinite(p).flatten(1).all(dim=1) for p in parameters]
    return torch.stack(each).all(dim=0)


def _finite(losses: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
    # A network's sum of squares is finite only if all of its entries are; squares that
    # overflow belong to a network that has diverged as well.
    total = losses.detach()
    for g in gradients:
        total = total + torch.linalg.vector_norm(g.flatten(1), dim=1)
    return torch.isfinite(total)
