"""certified <= attacked <= clean, example by example: what no sound evaluation can break.

An example that is certified at a radius and loses its class to an attack within that radius
disproves the certificate or the attack. Attacks run in the network's own precision, certificates
hold in exact arithmetic; so a contradiction counts only if it stands in float64, at the attack's
point moved into the ball.

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
from robust.blocks import Points
from robust.norms import norm


@dataclass(frozen=True)
class Contradiction:
    """An example that a claim and what was found disagree about.

    Attributes:
        network: index in the pack.
        attack: what disproves the claim.
        radius: true radius.
        example: index.
        gap: max_k z_k - z_y at the attack's point in float64, at least 0: the class is lost.
    """

    network: int
    attack: str
    radius: float
    example: int
    gap: float


class Sandwich:
    """Compares the points of one attack with what is certified, as they are found."""

    def __init__(
        self, net: Any, x: Tensor, y: Tensor, radii: Tensor, certified: Tensor, attack: str
    ) -> None:
        """Prepare the comparison.

        Args:
            net: P networks.
            x: inputs, [N, D].
            y: labels, [N].
            radii: true L1 radii, [R].
            certified: what is certified, [P, R, N], boolean.
            attack: its name, for the report.
        """
        self.net, self.x, self.y, self.attack = net, x, y, attack
        self.radii = radii.to(x.device, torch.float64)
        self.certified = certified.to(x.device)
        self.found: list[Contradiction] = []

    def __call__(self, points: Points) -> None:
        """Look at some points of the attack."""
        claims = self.certified[points.networks][:, points.radii]
        rows = points.examples.unsqueeze(1).expand(-1, len(points.radii), -1)
        broken = (claims.gather(2, rows) & ~points.keeps).nonzero()
        for g in sorted(set(broken[:, 0].tolist())):
            _, r, a = broken[broken[:, 0] == g].unbind(1)
            level = torch.as_tensor(points.radii, device=r.device)[r]
            self._confirm(
                points.networks.start + g, level, points.examples[g, a], points.x_adv[g, r, a]
            )

    @torch.no_grad()
    def _confirm(self, network: int, level: Tensor, example: Tensor, x_adv: Tensor) -> None:
        exact = copy.deepcopy(self.net.subset([network])).double()
        x = self.x[example].double()
        delta = x_adv.double() - x
        length = norm(delta, "l1").clamp_min(1e-300)
        inside = x + delta * (self.radii[level] / length).clamp_max(1.0).unsqueeze(1)
        gap = error_gap(exact(inside), self.y[example])[0]
        for i in (gap >= 0).nonzero().squeeze(1).tolist():
            self.found.append(
                Contradiction(
                    network,
                    self.attack,
                    float(self.radii[level[i]]),
                    int(example[i]),
                    float(gap[i]),
                )
            )


def above_clean(clean: Tensor, kept: Tensor, radii: Tensor, name: str) -> list[Contradiction]:
    """Return examples that are misclassified without attack and yet counted as kept.

    Args:
        clean: [P, N], boolean.
        kept: survivors of an attack or certified examples, [P, R, N], boolean.
        radii: true radii, [R].
        name: of the attack or certificate.
    """
    wrong = (kept & ~clean.unsqueeze(1)).nonzero().tolist()
    return [Contradiction(p, name, float(radii[r]), n, float("nan")) for p, r, n in wrong]


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
