"""What is settled need not be attacked: the same survivors, bit for bit, for less work."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.attacks.vertex import VertexAttack
from robust.evaluate import survivors
from robust.evaluation.attack_batches import AttackedPoints
from robust.evaluation.clean import correct_of
from robust.evaluation.foolbox_engine import FoolboxAttack
from robust.evaluation.settled import pays, settled, skips
from robust.networks import MLP
from robust.train import train
from tests.robust.helpers import random_batch, random_pack
from tests.robust.layers.graphs import GRAPHS, network

RADII = torch.tensor([0.0, 0.01, 0.05, 0.2, 3.0], dtype=torch.float64)
FREE, UNIT = (-math.inf, math.inf), (0.0, 1.0)


@cache
def trained(dtype: torch.dtype) -> MLP:
    net = random_pack((4, 12, 12, 3), networks=3, seed=5, dtype=dtype)
    x, y = random_batch(60, 4, 3, seed=5, dtype=dtype)
    rates = torch.tensor([1e-3, 1e-2, 0.1])
    options = {"radius": 0.05, "learning_rate": rates, "batch_size": 20, "steps": 60, "seed": 0}
    train(net, x, y, defense="pgd-linf", **options)  # type: ignore[arg-type]
    return net


def split(net: Any, bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    x, _ = random_batch(30, net.num_features, 3, seed=14, dtype=net.weights[0].dtype)
    if bounds == UNIT:
        x = torch.sigmoid(x)
    return x, net(x)[0].argmax(dim=1)


def safe_of(net: Any, x: Tensor, y: Tensor, attack: str) -> Tensor:
    norm = attacks.get(attack).norm
    return settled(net, x, y, RADII, norm, correct_of(net, x, y))


CASES = {
    "untrained": lambda: random_pack((4, 10, 9, 3), networks=3, seed=14, dtype=torch.float32),
    "trained": lambda: trained(torch.float32),
    "wide": lambda: trained(torch.float64),
    "maps": lambda: network(GRAPHS["residual"], dtype=torch.float32),
}


# Every attack on one network, and the quicker ones on the others.
QUICK = [name for name in attacks.names() if not name.endswith("best")]
PAIRS = [
    *(("untrained", attack) for attack in attacks.names()),
    *((case, attack) for case in ("trained", "wide") for attack in QUICK),
    *(("maps", attack) for attack in ("fgm-l1", "fgm-l2", "fgsm-linf", "vertex-l1")),
]


@pytest.mark.parametrize("bounds", [FREE, UNIT])
@pytest.mark.parametrize(("case", "attack"), PAIRS)
def test_survivors_are_the_same_with_the_skip_and_without(
    case: str, attack: str, bounds: tuple[float, float]
) -> None:
    net = CASES[case]()
    x, y = split(net, bounds)
    options: dict[str, Any] = {"attack": attack, "radii": RADII, "bounds": bounds, "seed": 3}
    seen: dict[str, list[AttackedPoints]] = {"full": [], "less": []}
    full = survivors(net, x, y, on_points=seen["full"].append, **options)
    safe = safe_of(net, x, y, attack)
    less = survivors(net, x, y, on_points=seen["less"].append, safe=safe, **options)
    assert torch.equal(full, less)
    assert safe[:, 1:].any() and not safe.all()
    assert (full | ~safe | ~correct_of(net, x, y).unsqueeze(1)).all()
    assert broken_points(seen["full"]) == broken_points(seen["less"])
    nested = survivors(net, x, y, nested=True, **options)
    assert torch.equal(nested, survivors(net, x, y, nested=True, safe=safe, **options))


def broken_points(points: list[AttackedPoints]) -> set[tuple[Any, ...]]:
    """Each broken example with the point that breaks it, to the last bit."""
    found = set()
    for one in points:
        for g, r, a in (~one.keeps).nonzero().tolist():
            example = int(one.examples[g, a])
            point = tuple(one.x_adv[g, r, a].tolist())
            found.add((one.networks.start + g, one.radii[r], example, point))
    return found


def test_only_what_is_open_is_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    net = CASES["trained"]().subset([0])
    x, y = split(net, FREE)
    counts = []
    inner = GradientAttack.perturb

    def counted(self: Any, net: Any, x: Tensor, *others: Any) -> Tensor:
        counts.append(x.shape[1])
        return inner(self, net, x, *others)

    monkeypatch.setattr(GradientAttack, "perturb", counted)
    everything = torch.ones(1, len(RADII), len(y), dtype=torch.bool)
    kept = survivors(net, x, y, attack="pgd-linf", radii=RADII, safe=everything)
    assert counts == [] and torch.equal(kept[0, 1:].all(dim=0), correct_of(net, x, y)[0])


def test_network_on_a_staircase_settles_only_what_rounding_cannot_break() -> None:
    """Biases that cancel leave a network whose float32 form is a staircase."""
    net = random_pack((4, 10, 3), networks=3, seed=14)
    with torch.no_grad():
        net.biases[0] += 1e6
        net.biases[1] -= 1e6 * net.weights[1].sum(dim=1)
    net.float()
    x, y = split(net, FREE)
    safe = safe_of(net, x, y, "vertex-l1")
    exact = settled(net.double(), x.double(), y, RADII, "l1", correct_of(net, x.double(), y))
    net.float()
    assert exact.sum() > safe.sum()
    for name in ("vertex-l1", "pgd-l1", "fgm-l1"):
        assert (survivors(net, x, y, attack=name, radii=RADII) | ~safe).all()


@pytest.mark.parametrize("size", [1e25, 1e37, math.inf, math.nan])
def test_network_whose_gradients_may_overflow_settles_nothing(size: float) -> None:
    net = random_pack((4, 10, 3), networks=1, seed=14, dtype=torch.float32)
    with torch.no_grad():
        net.weights[0][0, 0, 0] = size
    x, y = split(net, FREE)
    assert not settled(net, x, y, RADII, "linf", torch.ones(1, len(y)).bool()).any()


def test_foolbox_and_attacks_of_others_run_in_full() -> None:
    class Mine(GradientAttack):
        """May leave the ball."""

    assert [name for name in attacks.names() if not skips(attacks.get(name))] == ["apgd-l1"]
    assert not skips(Mine("mine", "l1"))
    assert not skips(FoolboxAttack.of(attacks.get("pgd-l1")))
    assert pays(VertexAttack("v", "l1")) and pays(attacks.get("pgd-l2"))
    assert not pays(attacks.get("fgsm-linf"))
