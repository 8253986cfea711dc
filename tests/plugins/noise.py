"""Random noise: the corner of the L-infinity ball that chance names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from robust.attacks.base import Attack, RandomStart, register
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class Noise(Attack):
    """x plus the radius times random signs."""

    label: ClassVar[str] = "Noise"

    def products(self, size: NetworkSize) -> float:
        """One pass, to see whether the class is kept."""
        return size.products

    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        start: RandomStart | None,
    ) -> Tensor:
        """Return the corners, [P, N, D]."""
        centre = x.expand(net.num_networks, *x.shape[-2:])
        sign = x.new_ones(()) if start is None else start(0).sign()
        return (centre + radius.unsqueeze(-1) * sign).clamp(*bounds)


register(Noise(name="noise-linf", norm="linf", random=True))
