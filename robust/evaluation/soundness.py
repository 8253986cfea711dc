"""certified <= attacked <= clean, example by example: what no sound evaluation can break.

An example that is certified at a radius and loses its class within that radius contradicts the
certificate, and there are two kinds of it:
- A certificate is a theorem about the weights in exact arithmetic. Where the class is lost in
  float64 too, at the point moved into the ball, the certificate or the attack is wrong: a
  `Contradiction`.
- Where it is lost only in the precision that the network runs in, a theorem on the weights stands
  and says nothing about that network: the certificate is refuted for it. A certificate of the
  network as it runs (`robust.evaluation.subject`) leaves room for that, and is never refuted.
The input itself is looked at like the point of an attack.

Legend: P networks in the pack, N examples, R radii, D input features.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robust.attacks.margins import error_gap
from robust.bounds.rounding import RoundingSlack
from robust.evaluation.attack_batches import AttackedPoints
from robust.evaluation.clean import FORWARD_ROWS
from robust.losses import class_differences
from robust.norms import Norm, norm


@dataclass(frozen=True)
class Contradiction:
    """An example that a claim and what was found disagree about.

    Attributes:
        network: index in the pack.
        attack: what disproves the claim.
        radius: true radius.
        example: index.
        gap: max_k z_k - z_y at the attack's point in float64, at least 0 or NaN: the class is
            lost.
    """

    network: int
    attack: str
    radius: float
    example: int
    gap: float


class CertificateCheck:
    """Compares the points of one attack with what is certified, as they are found.

    Attributes:
        nearest: the smallest radius at which a certified example was seen to lose its class in
            the network's own precision, infinite where it was not, [P, N].
        found: what float64 confirms.
    """

    def __init__(
        self,
        net: Any,
        x: Tensor,
        y: Tensor,
        radii: Tensor,
        certified: Tensor,
        attack: str,
        same_balls: bool = True,
        balls: Tensor | None = None,
        order: Norm = "l1",
        costs: Tensor | None = None,
    ) -> None:
        """Prepare the comparison.

        Args:
            net: P networks.
            x: inputs, [N, D].
            y: labels, [N].
            radii: true radii of the certificate's balls, [R].
            certified: what is certified, [P, R, N], boolean.
            attack: its name, for the report.
            same_balls: whether the attack's balls are those of `radii`. The points of others count
                for what they are: their distance from x decides.
            balls: true radii of the attack's balls where they are others than `radii`, in the
                order of the attack's own.
            order: norm of the certificate's balls.
            costs: of those, where they are L1 balls with costs, > 0, [D].
        """
        self.costs = None if costs is None else costs.to(x.device, torch.float64)
        self.net, self.x, self.y, self.attack, self.order = net, x, y, attack, order
        self.radii = radii.to(x.device, torch.float64)
        self.certified = certified.to(x.device)
        self.balls = self.radii if balls is None else balls.to(x.device, torch.float64)
        self.same_balls = same_balls
        self.nearest = torch.full_like(self.certified[:, 0], float("inf"), dtype=torch.float64)
        self.found: list[Contradiction] = []

    def __call__(self, points: AttackedPoints) -> None:
        """Look at some points of the attack."""
        claimed = self.certified[points.networks].any(dim=1).gather(1, points.examples)
        broken = (claimed.unsqueeze(1) & ~points.keeps).nonzero()
        for g in sorted(set(broken[:, 0].tolist())):
            _, r, a = broken[broken[:, 0] == g].unbind(1)
            example, x_adv = points.examples[g, a], points.x_adv[g, r, a]
            level = torch.as_tensor(points.radii, device=r.device)[r]
            limit = self.balls[level] if self.same_balls else None
            self._refute(points.networks.start + g, example, x_adv, limit)

    @torch.no_grad()
    def look_at_inputs(self) -> None:
        """Look at the inputs themselves, which lie in every ball, in both precisions."""
        exact, every = copy.deepcopy(self.net).double(), torch.arange(len(self.y)).to(self.y)
        for at in _cut(self.net, self.x):
            x, y, index = self.x[at], self.y[at], every[at]
            keeps = (self.net(x).argmax(dim=2) == y) & (error_gap(exact(x.double()), y) < 0)
            shape = self.net.num_networks, 1, *x.shape
            index = index.expand(self.net.num_networks, -1)
            everywhere = slice(0, self.net.num_networks)
            self(AttackedPoints(everywhere, [0], index, x.expand(shape), keeps.unsqueeze(1)))

    @property
    def refuted(self) -> Tensor:
        """Which certificates do not hold in the network's own precision, [P, R, N], boolean."""
        return self.certified & (self.radii.view(-1, 1) >= self.nearest.unsqueeze(1))

    def _refute(self, network: int, example: Tensor, x_adv: Tensor, limit: Tensor | None) -> None:
        """Note how near to its example a network lost each class, and confirm it in float64."""
        near = radius_reached(self.x[example], x_adv, limit, self.order, self.costs)
        real = near.isfinite()
        example, x_adv, near = example[real], x_adv[real], near[real]
        self.nearest[network].scatter_reduce_(0, example, near, "amin")
        claims = self.certified[network][:, example] & (self.radii.unsqueeze(1) >= near)
        level = claims.to(torch.int8).argmax(dim=0)  # the first
        some = claims.any(dim=0)
        if bool(some.any()):
            self._confirm(network, level[some], example[some], x_adv[some])

    @torch.no_grad()
    def _confirm(self, network: int, level: Tensor, example: Tensor, x_adv: Tensor) -> None:
        exact = copy.deepcopy(self.net.subset([network])).double()
        x = self.x[example].double()
        delta = x_adv.double() - x
        length = norm(paid(delta, self.costs), self.order).clamp_min(1e-300)
        inside = x + delta * (self.radii[level] / length).clamp_max(1.0).unsqueeze(1)
        gap = error_gap(exact(inside), self.y[example])[0]
        for i in (~(gap < 0)).nonzero().squeeze(1).tolist():  # NaN keeps no class
            self.found.append(
                Contradiction(
                    network,
                    self.attack,
                    float(self.radii[level[i]]),
                    int(example[i]),
                    float(gap[i]),
                )
            )


def radius_reached(
    x: Tensor,
    x_adv: Tensor,
    limit: Tensor | None = None,
    order: Norm = "l1",
    costs: Tensor | None = None,
) -> Tensor:
    """Return ||x_adv - x||_p, or the radius that an attack kept to but for its own rounding.

    An attack that works in precision u rounds every coordinate that it moves a few times, and its
    own length of the step, a sum of D terms.

    Args:
        x: inputs, [N, D].
        x_adv: what the attack made of them, in its precision, [N, D].
        limit: radius of the attack's ball, float64, [N]; None leaves the distance as it is.
        order: norm of the ball.
        costs: of the ball sum_m c_m |delta_m| <= limit, > 0, float64, [D]: the distance is then
            that sum, infinite where a feature of infinite cost moved. None is 1 for all.

    Returns:
        [N], float64; NaN or infinite where x_adv is.
    """
    here, there = x.double(), x_adv.double()
    length = norm(paid(there - here, costs), order)
    if limit is None:
        return length
    moved = paid(torch.maximum(here.abs(), there.abs()) * (here != there), costs)
    rounded = norm(moved, order) + (x.shape[1] + 16) * length
    meant = length - torch.finfo(x_adv.dtype).eps * rounded <= limit
    return torch.where(meant, torch.minimum(length, limit), length)


def paid(delta: Tensor, costs: Tensor | None) -> Tensor:
    """Return c_m delta_m, 0 where nothing moves whatever it costs, [..., D]."""
    return delta if costs is None else torch.where(delta == 0, delta, delta * costs)


@torch.no_grad()
def clean_differences(net: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Compute again, in float64, what each network says of the inputs.

    Args:
        net: P networks.
        x: inputs, [N, D].
        y: labels, [N].

    Returns:
        max_k z_k - z_y, [P, N], float64; and where the network may classify correctly in its own
        precision, [P, N], boolean: false where no rounding explains the other class.
    """
    exact, margin = copy.deepcopy(net).double(), RoundingSlack(net)
    gaps, may = [], []
    for at in _cut(net, x):
        differences = class_differences(exact(x[at].double()), y[at])
        slack = margin(x[at], y[at], x.new_zeros(differences.shape[:2]))[0].double()
        gaps.append(differences.amax(dim=2))
        may.append(~(differences > slack).any(dim=2))
    return torch.cat(gaps, dim=1).cpu(), torch.cat(may, dim=1).cpu()


def above_clean(
    clean: Tensor, gaps: Tensor, kept: Tensor, radii: Tensor, name: str
) -> list[Contradiction]:
    """Return examples that are misclassified without attack and yet counted as kept.

    Args:
        clean: what may be correct, [P, N], boolean, not taken from what was evaluated
            (`clean_differences`).
        gaps: max_k z_k - z_y at the inputs, [P, N].
        kept: survivors of an attack or certified examples, [P, R, N], boolean.
        radii: true radii, [R].
        name: of the attack or certificate.
    """
    wrong = (kept & ~clean.unsqueeze(1)).nonzero().tolist()
    return [Contradiction(p, name, float(radii[r]), n, float(gaps[p, n])) for p, r, n in wrong]


def _cut(net: Any, x: Tensor) -> list[slice]:
    """Cut the examples so that all networks at some of them fit the device in float64."""
    rows = FORWARD_ROWS.get(x.device.type, FORWARD_ROWS["cpu"])
    size = max(1, rows // (2 * net.num_networks))
    return [slice(i, i + size) for i in range(0, len(x), size)]


def reports(found: Iterable[Contradiction], num_networks: int, total: int) -> list[str | None]:
    """Return what is wrong with each network in one line, None where nothing is.

    Args:
        found: all contradictions.
        num_networks: P.
        total: N.
    """
    of_network: list[list[Contradiction]] = [[] for _ in range(num_networks)]
    for one in found:
        of_network[one.network].append(one)
    return [_report(own, total) if own else None for own in of_network]


def _report(found: Sequence[Contradiction], total: int) -> str:
    worst = max(found, key=lambda c: (c.gap == c.gap, c.gap))
    same = [c for c in found if (c.attack, c.radius) == (worst.attack, worst.radius)]
    return (
        f"certified <= attacked <= clean does not hold: {worst.attack} at true radius "
        f"{worst.radius:g} contradicts {len(same)} of {total} examples ({len(found)} in all "
        f"attacks and radii), most of all example {worst.example} "
        f"with max_k z_k - z_y = {worst.gap:.3g}"
    )
