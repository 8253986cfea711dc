"""APGD-L1: ascent of the loss along few features, with steps that find their own size.

Croce and Hein 2021, "Mind the Box: l1-APGD for Sparse Adversarial Attacks on Image Classifiers",
Algorithm 1. The steepest step within an L1 ball moves one feature; a step moves the k most
promising ones by equal amounts, u = x + eta sign(g_k) / ||sign(g_k)||_1 with g_k the k largest
entries of the gradient, and goes on from the nearest point to u in ball and bounds. At every
checkpoint k becomes what the best point so far uses, ||x_best - x||_0 / 1.5. If that has become
sparser (below 0.95 of before) eta returns to rho and the ascent to x_best, else eta shrinks by
1.5, down to rho / 10. The authors' rounds with larger balls before are left out.

Legend: P networks in the pack, N inputs, D input features, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from robust.attacks.apgd_projection import moved_within, nearest_in_ball_and_bounds
from robust.attacks.base import register
from robust.attacks.gradient import GradientAttack
from robust.attacks.margins import error_gap
from robust.networks.linearization import LossGradient, Network, loss_gradient
from robust.networks.size import NetworkSize
from robust.numerics.recording import recorded
from robust.registry import CostKinds

EVERY = 0.04  # of the steps, between two checkpoints
SPARSER = 0.95  # the share of the features of before below which a point counts as sparser
SHRINK = 1.5  # of the step size, and of the features that the best point uses
SHORTEST = 10.0  # rho over the shortest step


@dataclass(frozen=True)
class APGD(GradientAttack):
    """APGD in the L1 ball; `relative_step_size` is the first and largest step's.

    Attributes:
        sparsity: the share of the features that the first steps move, in (0, 1].
    """

    cost_kinds: ClassVar[CostKinds] = ()  # its projection is onto plain balls

    sparsity: float = 0.2

    @property
    def label(self) -> str:  # type: ignore[override]
        """The method's name in print."""
        return "APGD"

    @property
    def gradients(self) -> int:
        """One of each start, and one after each step."""
        return (self.num_steps + 1) * self.restarts

    def products(self, size: NetworkSize) -> float:
        """Two passes for each gradient, and one at the inputs."""
        return (2 * self.gradients + 1) * size.products

    def _ascend(
        self,
        net: Network,
        centre: Tensor,
        first: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Return the best point from one start, [P, N, D], and its `error_gap`, [P, N].

        The best by the gap where the attack keeps the best, else by the loss.
        """
        climb = _Climb.at(self, loss_gradient(net, y), centre, first, y, radius, bounds)
        every = max(1, math.floor(EVERY * self.num_steps))
        again = recorded(climb.step, torch.Generator(first.device)) if self.record else climb.step
        for step in range(1, self.num_steps + 1):
            again()
            if step % every == 0:
                climb.review()
        return climb.strongest if self.keep_best else climb.best, climb.gap


@dataclass
class _Climb:
    """An ascent and all that it changes, in memory that stays where it is."""

    attack: APGD
    gradient_at: LossGradient
    centre: Tensor
    y: Tensor
    radius: Tensor
    bounds: tuple[float, float]
    x: Tensor
    gradient: Tensor
    best: Tensor  # by the loss, with its gradient and loss
    best_gradient: Tensor
    loss: Tensor
    strongest: Tensor  # by the gap
    gap: Tensor
    share: Tensor  # of the features that a step moves, [P, N]
    size: Tensor = field(init=False)  # of a step, [P, N]
    used: Tensor = field(init=False)  # features that the best point of the last checkpoint moved

    def __post_init__(self) -> None:
        self.size = self.attack.relative_step_size * self.radius
        self.used = torch.full_like(self.radius, float(self.x.shape[2]))

    @classmethod
    def at(
        cls,
        attack: APGD,
        gradient_at: LossGradient,
        centre: Tensor,
        first: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
    ) -> _Climb:
        """Return an ascent before its first step; arguments as for `_ascend`."""
        start = _inside(centre, first - centre, radius, bounds)
        logits, found, _ = gradient_at(start)
        gradient = torch.empty_like(start).copy_(found)
        loss, gap = _loss(logits, y), error_gap(logits, y)
        return cls(
            *(attack, gradient_at, centre, y, radius, bounds),
            *(start, gradient, start.clone(), gradient.clone(), loss, start.clone(), gap.clone()),
            share=torch.full_like(radius, attack.sparsity),
        )

    def step(self) -> None:
        """Move along the most promising features, and remember the best points."""
        ascent = sparse_sign(self.gradient, self.share) * self.size.unsqueeze(2)
        moved = self.x + ascent - self.centre
        self.x.copy_(_inside(self.centre, moved, self.radius, self.bounds))
        logits, gradient, _ = self.gradient_at(self.x)
        self.gradient.copy_(gradient)
        loss, gap = _loss(logits, self.y), error_gap(logits, self.y)
        _replace(loss > self.loss, (self.best, self.x), (self.best_gradient, self.gradient))
        _replace(gap > self.gap, (self.strongest, self.x))
        self.loss.copy_(torch.maximum(loss, self.loss))
        self.gap.copy_(torch.maximum(gap, self.gap))

    def review(self) -> None:
        """Fit the number of features and the size of steps to what the best point has become."""
        used = (self.best != self.centre).sum(dim=2).to(self.used.dtype)
        sparser = used < SPARSER * self.used
        largest = self.attack.relative_step_size * self.radius
        shorter = torch.maximum(self.size / SHRINK, largest / SHORTEST)
        self.size.copy_(torch.where(sparser, largest, shorter))
        self.share.copy_(used / (SHRINK * self.x.shape[2]))
        self.used.copy_(used)
        _replace(sparser, (self.x, self.best), (self.gradient, self.best_gradient))


def sparse_sign(gradient: Tensor, share: Tensor) -> Tensor:
    """Return the signs of the largest entries of a gradient, scaled to L1 norm 1.

    Args:
        gradient: [P, N, D].
        share: of the D entries that count, [P, N]; one at least does. Equal ones all count.

    Returns:
        [P, N, D]; 0 where the gradient is.
    """
    features = gradient.shape[2]
    size = gradient.abs()
    place = ((1 - share) * features).long().clamp(0, features - 1).unsqueeze(2)
    least = size.sort(dim=2).values.gather(2, place)
    signs = torch.where(size >= least, gradient.sign(), 0.0)
    return signs / signs.abs().sum(dim=2, keepdim=True).clamp_min(1)


def _inside(x: Tensor, delta: Tensor, radius: Tensor, bounds: tuple[float, float]) -> Tensor:
    nearest = nearest_in_ball_and_bounds(delta, x, radius, bounds)
    return moved_within(x, nearest, radius, bounds)


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return log sum_{k != y} exp(z_k) - z_y, [P, N].

    It orders points as the cross-entropy does, log(1 + exp of it), and does not round to 0.
    """
    own = y.expand(logits.shape[:2]).unsqueeze(2)
    others = logits.scatter(2, own, -float("inf")).logsumexp(dim=2)
    return others - logits.gather(2, own).squeeze(2)


def _replace(where: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
    """Copy the second of each pair, [P, N, D], over the first at some inputs, [P, N]."""
    chosen: Any = where.unsqueeze(2)
    for old, new in pairs:
        old.copy_(torch.where(chosen, new, old))


APGD_L1 = APGD("apgd-l1", "l1", random=True, num_steps=100, relative_step_size=1.0, keep_best=True)
register(APGD_L1)
