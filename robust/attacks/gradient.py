"""Projected gradient and fast gradient attacks by foolbox 3.3.4's rules, for packs.

Every step is x <- clip(x0 + shrink(x + alpha g_hat - x0), bounds) with g_hat the gradient of the
cross-entropy, scaled by the ball's norm, and alpha = relative step size times radius. The last
iterate is used, as foolbox does, and shrunk to the ball once more.

In an L1 ball with costs c, sum_m c_m |delta_m| <= rho, the rules are those of the plain ball for
e_m = c_m delta_m: the gradient at e_m is g_m / c_m.

Legend: P networks in the pack, N inputs, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robust.attacks.base import Attack, RandomStart, register
from robust.attacks.margins import error_gap
from robust.networks.linearization import Network, loss_gradient
from robust.networks.size import NetworkSize
from robust.norms import rounded_inwards, shrink_to_ball, steepest, step_costs
from robust.numerics.precision import flushed_denormals
from robust.numerics.recording import recorded
from robust.registry import CostKinds

# Inputs that one network ascends at a time on a CPU, and all networks together: few enough for
# their activations to stay in the cache through all steps, enough for the cores to share them.
CPU_ROWS = 256
CPU_ROWS_TOGETHER = 6 * CPU_ROWS


@dataclass(frozen=True)
class _Inputs:
    """What is attacked: x [P, N, D], y [P, N], radius [P, N] and starts in the unit ball."""

    x: Tensor
    y: Tensor
    radius: Tensor
    starts: list[Tensor]

    def slice(self, networks: slice, inputs: slice) -> _Inputs:
        """The same for some networks and inputs."""
        at = networks, inputs
        return _Inputs(self.x[at], self.y[at], self.radius[at], [s[at] for s in self.starts])


@dataclass(frozen=True)
class GradientAttack(Attack):
    """Steepest ascent of the cross-entropy within the ball.

    Attributes:
        num_steps: steps taken.
        relative_step_size: alpha / radius.
        keep_best: return what has the smallest margin of the input itself, the starts and all
            iterates, instead of the last iterate.
        restarts: starts tried; the one with the smallest margin wins.
        record: record a step once and replay it (`robust.numerics.recording`), where the device
            can. Not for an attack within a training step, which is recorded as a whole.
    """

    cost_kinds: ClassVar[CostKinds] = None

    num_steps: int = 1
    relative_step_size: float = 1.0
    keep_best: bool = False
    restarts: int = 1
    record: bool = False

    @property
    def label(self) -> str:  # type: ignore[override]
        """PGD; with one step, FGSM in the L-infinity ball and FGM in the others."""
        if self.num_steps > 1:
            return "PGD, best of all iterates" if self.keep_best else "PGD"
        return "FGSM" if self.norm == "linf" else "FGM"

    @property
    def gradients(self) -> int:
        """How many gradients it takes of each input."""
        return self.num_steps * self.restarts

    def products(self, size: NetworkSize) -> float:
        """Two passes for each gradient, and one to see whether the class is kept."""
        return (2 * self.gradients + 1) * size.products

    @flushed_denormals()
    @torch.no_grad()
    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        start: RandomStart | None,
    ) -> Tensor:
        """Return the last or the best iterate, [P, N, D]."""
        shape = (net.num_networks, *x.shape[-2:])
        starts = [start(i) for i in range(self.restarts)] if self.random and start else []
        whole = _Inputs(
            x.expand(shape),
            y.expand(shape[:2]),
            radius,
            [s.expand(shape) for s in starts],
        )
        if self.num_steps == 1 or x.device.type != "cpu":
            return self._strongest(net, whole, bounds)
        found = x.new_empty(shape)
        together = CPU_ROWS_TOGETHER // min(max(1, shape[1]), CPU_ROWS)
        for p in range(0, shape[0], together):
            networks = range(p, min(p + together, shape[0]))
            some = net.subset(networks) if shape[0] > together else net
            for i in range(0, shape[1], CPU_ROWS):
                at = slice(p, p + together), slice(i, i + CPU_ROWS)
                found[at] = self._strongest(some, whole.slice(*at), bounds)
        return found

    def _strongest(self, net: Network, at: _Inputs, bounds: tuple[float, float]) -> Tensor:
        """Return the best over all starts, [P, N, D]."""
        best, best_gap = at.x, torch.full_like(at.radius, -float("inf"))
        if self.keep_best:
            best_gap = error_gap(net(at.x), at.y)
        for attempt in range(self.restarts):
            first = at.x
            if at.starts:
                first = self._point(
                    at.x, self._step(at.starts[attempt]) * at.radius.unsqueeze(2), bounds
                )
            x_adv, gap = self._ascend(net, at.x, first, at.y, at.radius, bounds)
            if not self.keep_best and self.restarts == 1:
                return x_adv
            better = gap > best_gap
            best = torch.where(better.unsqueeze(2), x_adv, best)
            best_gap = torch.where(better, gap, best_gap)
        return best

    def _ascend(
        self,
        net: Network,
        centre: Tensor,
        first: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Return one start's result, [P, N, D], and its `error_gap` where it was asked."""
        step_size = (self.relative_step_size * radius).unsqueeze(2)
        gradient_at = loss_gradient(net, y)
        logits, gradient, scale = gradient_at(first)
        centre, x_adv = _laid_out_as(gradient, centre), _laid_out_as(gradient, first)
        best, best_gap = x_adv.clone(), torch.full_like(radius, -float("inf"))
        if self.keep_best:
            best_gap = error_gap(logits, y)

        def move(gradient: Tensor, scale: Tensor) -> None:
            ascent = self._step(steepest(self._step(gradient), self.norm, scale))
            moved = torch.addcmul(x_adv, step_size, ascent).sub_(centre)
            self._point(centre, self._shrunk(moved, radius), bounds, x_adv)

        def step() -> None:
            logits, gradient, scale = gradient_at(x_adv)
            if self.keep_best:
                better, better_gap = _better(x_adv, logits, y, best, best_gap)
                best.copy_(better)
                best_gap.copy_(better_gap)
            move(gradient, scale)

        move(gradient, scale)
        again = recorded(step, torch.Generator(first.device)) if self.record else step
        for _ in range(self.num_steps - 1):
            again()
        last = self._point(centre, self._shrunk(x_adv - centre, radius), bounds)
        if not self.keep_best and self.restarts == 1:
            return last, best_gap
        if not self.keep_best:
            return last, error_gap(net(last), y)
        return _better(last, net(last), y, best, best_gap)

    def _step(self, v: Tensor) -> Tensor:
        """Return what a step in the plain ball is in one with costs, and a gradient likewise."""
        return v if self.costs is None else v * step_costs(self.costs.to(v))[0]

    def _shrunk(self, v: Tensor, radius: Tensor) -> Tensor:
        """Bring v, [P, N, D], into the ball as `shrink_to_ball` does."""
        if self.costs is None:
            return shrink_to_ball(v, self.norm, radius)
        return shrink_to_ball(v, self.norm, radius, v * step_costs(self.costs.to(v))[1])

    def _point(
        self,
        centre: Tensor,
        delta: Tensor,
        bounds: tuple[float, float],
        out: Tensor | None = None,
    ) -> Tensor:
        """Return centre + delta within the bounds; no dear feature moves further than delta."""
        if self.costs is None:
            return torch.clamp(delta.add_(centre), *bounds, out=out)
        point = (centre + delta).clamp_(*bounds)
        point = rounded_inwards(point, centre, delta, self.costs.to(centre))
        return point if out is None else out.copy_(point)


def _laid_out_as(gradient: Tensor, x: Tensor) -> Tensor:
    """Return a copy of x in the memory order of the gradient: mixing orders is slow."""
    return torch.empty_like(gradient).copy_(x)


def _better(
    x_adv: Tensor, logits: Tensor, y: Tensor, best: Tensor, best_gap: Tensor
) -> tuple[Tensor, Tensor]:
    gap = error_gap(logits, y)
    better = gap > best_gap
    return torch.where(better.unsqueeze(2), x_adv, best), torch.where(better, gap, best_gap)


_PGD_L1 = GradientAttack("pgd-l1", "l1", random=True, num_steps=50, relative_step_size=0.025)
_PGD_L2 = GradientAttack("pgd-l2", "l2", random=True, num_steps=50, relative_step_size=0.025)
_PGD_LINF = GradientAttack(
    "pgd-linf", "linf", random=True, num_steps=40, relative_step_size=0.01 / 0.3
)
for _pgd in (_PGD_L1, _PGD_L2, _PGD_LINF):
    register(_pgd)
register(GradientAttack("fgm-l1", "l1"))
register(GradientAttack("fgm-l2", "l2"))
register(GradientAttack("fgsm-linf", "linf"))
# Beyond the paper: the best iterate of five starts, so never weaker than what it saw.
for _pgd in (_PGD_L1, _PGD_L2, _PGD_LINF):
    register(replace(_pgd, name=f"{_pgd.name}-best", keep_best=True, restarts=5))
