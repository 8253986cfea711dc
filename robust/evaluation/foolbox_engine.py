"""foolbox itself, on one network at a time: the reference that the packed attacks follow.

The only module that imports foolbox.

Legend: P networks in the pack, N inputs, D input features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from robust import attacks
from robust.attacks.base import Attack, RandomStart
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its own use of old scipy names
    import foolbox

FAR = 1e10  # foolbox needs finite input bounds

FOOLBOX_ATTACKS: Final[dict[str, Callable[..., Any]]] = {
    "pgd-l1": foolbox.attacks.L1PGD,
    "pgd-l2": foolbox.attacks.L2PGD,
    "pgd-linf": foolbox.attacks.LinfPGD,
    "fgm-l1": foolbox.attacks.L1FastGradientAttack,
    "fgm-l2": foolbox.attacks.L2FastGradientAttack,
    "fgsm-linf": foolbox.attacks.LinfFastGradientAttack,
}


class _One(nn.Module):
    """One network of a pack as foolbox wants it: [N, D] -> [N, K]."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)[0]
        return logits


def as_foolbox_model(net: Network, bounds: tuple[float, float], device: torch.device) -> Any:
    """Return a pack of one network as foolbox wants it."""
    limits = (max(bounds[0], -FAR), min(bounds[1], FAR))
    return foolbox.PyTorchModel(_One(net).eval(), bounds=limits, device=device)


@dataclass(frozen=True)
class FoolboxAttack(Attack):
    """A foolbox attack with its default parameters."""

    label: ClassVar[str] = "foolbox"
    joint: ClassVar[bool] = True

    def products(self, size: NetworkSize) -> float:
        """As many as our form of the attack."""
        return attacks.get(self.name).products(size)

    @classmethod
    def of(cls, attack: Attack) -> FoolboxAttack:
        """Return foolbox's own form of an attack.

        Raises:
            ValueError: foolbox has no such attack, or none in balls with costs.
        """
        if attack.name not in FOOLBOX_ATTACKS:
            known = ", ".join(FOOLBOX_ATTACKS)
            raise ValueError(f"foolbox has no attack {attack.name!r}; it has: {known}")
        if attack.costs is not None:
            raise ValueError(f"foolbox's attack {attack.name!r} takes no costs; use engine packed")
        return cls(attack.name, attack.norm, attack.random)

    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        start: RandomStart | None,
    ) -> Tensor:
        """Return foolbox's points, one network and one radius at a time, [P, N, D].

        Random starts are foolbox's own, drawn from torch's global generator, which is seeded
        from `start` and restored.
        """
        centre = x.expand(net.num_networks, *x.shape[-2:])
        labels = y.expand(centre.shape[:2])
        options = {"random_start": start is not None} if self.random else {}
        x_adv = torch.empty_like(centre)
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(start))
            for p in range(net.num_networks):
                model = as_foolbox_model(net.subset([p]), bounds, x.device)
                for value in sorted(set(radius[p].tolist())):
                    at = radius[p] == value
                    method = FOOLBOX_ATTACKS[self.name](**options)
                    found = method(model, centre[p, at], labels[p, at], epsilons=value)[1]
                    x_adv[p, at] = found
        return x_adv


def _seed_of(start: RandomStart | None) -> int:
    if start is None:
        return 0
    return int(start(0).double().abs().sum().item() * 1e6) % 2**31
