"""FGSM training with a random start (Wong, Rice, Kolter 2020, "Fast is better than free").

Minimises L(y, z(x + delta)), delta = clip(eta + 1.25 rho sign(grad_x L(y, z(x + eta)))) to the
Linf ball, eta uniform in it.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from robust.attacks.base import UNBOUNDED
from robust.attacks.gradient import GradientAttack
from robust.checks import Radius, check_inputs, check_labels, pack_radius
from robust.defenses.adversarial import AdversarialTraining
from robust.defenses.base import register
from robust.networks.linearization import Network
from robust.seeds import derived_seed

# Neither is in the registry of attacks: one trains, the other watches the training.
FAST_STEP: Final = GradientAttack(
    "fgsm-linf with a random start", "linf", random=True, num_steps=1, relative_step_size=1.25
)
WATCH: Final = GradientAttack(
    "five steps of pgd-linf",
    "linf",
    random=True,
    num_steps=5,
    relative_step_size=0.25,
    keep_best=True,
)


@dataclass(frozen=True)
class FGSMTraining(AdversarialTraining):
    """The loss at one large step from a random point of the ball."""

    label: ClassVar[str] = "FGSM"

    @property
    def gradients(self) -> int:
        """One: the step's."""
        return FAST_STEP.gradients

    def adversarial_inputs(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return x + delta, [P, B, D]."""
        start = FAST_STEP.random_starts(x, generator)
        return FAST_STEP.perturb(net, x, y, radius.unsqueeze(1), self.bounds, start)


class OverfittingCheck:
    """Stop the networks that begin to overfit to one-step attacks, catastrophically.

    Wong et al. measure the accuracy under five steps of PGD (step rho / 4) on one minibatch of
    training data after every epoch; where it falls by more than 0.2 from one check to the next,
    training stops and the parameters of the check before are restored. Here it is done for each
    network of a pack: pass it to `train` as `keep_training`.
    """

    def __init__(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Radius,
        *,
        every: int,
        drop: float = 0.2,
        bounds: tuple[float, float] = UNBOUNDED,
        seed: int = 0,
    ) -> None:
        """Remember what to watch.

        Args:
            net: the pack that will be trained.
            x: one minibatch of training inputs, [B, D].
            y: its labels, [B].
            radius: true training radius, a number or [P].
            every: steps between checks, at least 1; Wong et al. check once an epoch.
            drop: fall of the accuracy, in [0, 1], that stops a network.
            bounds: (lo, hi) of the inputs.
            seed: of the attack's random start, the same at every check.

        Raises:
            ValueError: inputs, labels, radii or `every` out of range.
        """
        check_inputs(x, net.num_networks, net.num_features)
        check_labels(y, x.shape[-2], net.num_classes)
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        self.net, self.x, self.y = net, x, y
        self.radius = pack_radius(radius, net.num_networks, x).unsqueeze(1)
        self.every, self.drop, self.bounds, self.seed = every, drop, bounds, seed
        self.accuracy = torch.zeros(net.num_networks, device=x.device)
        self.running = torch.ones(net.num_networks, dtype=torch.bool, device=x.device)
        self.saved = [p.detach().clone() for p in net.parameters()]

    @torch.no_grad()
    def __call__(self, step: int) -> Tensor:
        """Return which networks train on after this step, [P]; restore those that stop now."""
        if step % self.every:
            return self.running
        accuracy = self._watched_accuracy()
        fallen = self.running & (accuracy < self.accuracy - self.drop)
        for parameter, saved in zip(self.net.parameters(), self.saved, strict=True):
            stopped = fallen.view(-1, *[1] * (parameter.dim() - 1))
            parameter.copy_(torch.where(stopped, saved, parameter))
            saved.copy_(parameter)
        self.running = self.running & ~fallen
        self.accuracy = torch.where(self.running, accuracy, self.accuracy)
        return self.running

    def state_dict(self) -> dict[str, Any]:
        """Return the last check's accuracies and parameters, and which networks train on."""
        return {"accuracy": self.accuracy, "running": self.running, "saved": self.saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of a check of the same pack."""
        for mine, theirs in zip(
            [self.accuracy, self.running, *self.saved],
            [state["accuracy"], state["running"], *state["saved"]],
            strict=True,
        ):
            mine.copy_(theirs)

    def _watched_accuracy(self) -> Tensor:
        generator = torch.Generator(self.x.device).manual_seed(derived_seed(self.seed, "watch"))
        start = WATCH.random_starts(self.x, generator)
        x_adv = WATCH.perturb(self.net, self.x, self.y, self.radius, self.bounds, start)
        accuracy: Tensor = (self.net(x_adv).argmax(dim=2) == self.y).float().mean(dim=1)
        return accuracy


register(FGSMTraining(name="fgsm-linf", norm="linf"))
