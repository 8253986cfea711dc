"""AutoAttack (Croce, Hein 2020) on one network of a pack. The only importer of pyautoattack.

AutoAttack is made for images in [0, 1] and for at least four classes. Features are laid out as a
square image whose surplus pixels the network does not see (a perturbation of them is wasted, so
the attack stays within the ball). Inputs without bounds are moved affinely into [0, 1] with a
margin that no perturbation can leave. Fewer than four classes are filled up with classes whose
logit is the smallest one minus 1: they are never predicted, and the DLR loss, which needs a third
and a fourth logit, becomes an increasing function of the margin.

Legend: N examples, D input features, K classes.
"""

from __future__ import annotations

import logging
import math
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor, nn

from robust.networks.linearization import Network
from robust.norms import norm as length_of
from sweep.errors import UserError
from sweep.results import schema

NORMS: Final = {"linf": "Linf", "l2": "L2", "l1": "L1"}
STEPS: Final = ("apgd-ce", "apgd-t", "fab-t", "square")  # the library's standard version
_SMALLEST_SIDE, _FEWEST_CLASSES, _MOST_TARGETS = 5, 4, {"linf": 9, "l2": 9, "l1": 5}
_BATCH = 500


def require() -> None:
    """Refuse to go on without the library.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("pyautoattack") is None:
        raise UserError("AutoAttack is not installed; add it with: pip install '.[strong]'")


def evaluation_options(num_samples: int) -> dict[str, object]:
    """The rules that an accuracy follows from, as of other attacks (`sweep.grid.rows`).

    Args:
        num_samples: of the test split, that are attacked.
    """
    return {
        "version": schema.EVALUATION_VERSION,
        "attack": {"name": "autoattack", "steps": list(STEPS)},
        "max_samples": num_samples,
    }


class _Image(nn.Module):
    """A network of tabular inputs as AutoAttack wants it: [N, 1, side, side] -> [N, K >= 4]."""

    def __init__(self, net: Network, low: float, width: float) -> None:
        super().__init__()
        self.net, self.low, self.width = net, low, width
        self.side = max(_SMALLEST_SIDE, math.isqrt(net.num_features - 1) + 1)

    def encode(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, 1, side, side] in [0, 1]."""
        surplus = self.side**2 - x.shape[1]
        pixels = nn.functional.pad((x - self.low) / self.width, (0, surplus), value=0.5)
        return pixels.view(-1, 1, self.side, self.side)

    def decode(self, image: Tensor) -> Tensor:
        """[N, 1, side, side] -> [N, D]."""
        return image.flatten(1)[:, : self.net.num_features] * self.width + self.low

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.net(self.decode(image))[0]
        missing = _FEWEST_CLASSES - logits.shape[1]
        if missing <= 0:
            return logits
        filler = logits.min(dim=1, keepdim=True).values - 1
        return torch.cat([logits, filler.expand(-1, missing)], dim=1)


def perturb(
    net: Network,
    x: Tensor,
    y: Tensor,
    norm: str,
    radius: float,
    bounds: tuple[float, float],
    seed: int,
    steps: tuple[str, ...] = STEPS,
) -> Tensor:
    """Return AutoAttack's points, in the ball; x itself where it found nothing.

    Args:
        net: a pack of one network.
        x: inputs, [N, D].
        y: labels, [N].
        norm: l1, l2 or linf.
        radius: true radius, > 0.
        bounds: of the inputs.
        seed: of the attack's randomness.
        steps: which of its attacks, in order.

    Returns:
        [N, D].
    """
    require()
    from pyautoattack import AutoAttack

    low = max(bounds[0], float(x.min()) - radius)
    width = min(bounds[1], float(x.max()) + radius) - low
    image = _Image(net, low, width)
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    with torch.random.fork_rng(), torch.enable_grad():
        attack: Any = AutoAttack(
            image,
            norm=NORMS[norm],
            eps=radius / width,
            seed=seed % 2**31,
            device=x.device,
            version="standard",
        )
        attack.verbose, attack.attacks_to_run = False, list(steps)
        targets = min(_MOST_TARGETS[norm], net.num_classes - 1)
        attack.apgd_targeted.n_target_classes = targets
        attack.fab.n_target_classes = targets
        found, _ = attack.run_standard_evaluation(image.encode(x), y, batch_size=_BATCH)
    delta = image.decode(found.detach()) - x
    shrink = (radius / length_of(delta, norm).clamp_min(1e-12)).clamp_max(1.0)
    return (x + delta * shrink.unsqueeze(1)).clamp(*bounds)
