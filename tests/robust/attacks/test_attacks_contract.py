"""What every registered attack promises; a new one is tested by being registered."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.attacks.vertex import VertexAttack
from robust.networks import MLP
from robust.norms import norm
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, NETWORKS, BATCH = 6, 3, 3, 8
RADII = (0.0, 0.2, 3.0)


@pytest.fixture(params=attacks.names())
def attack(request: pytest.FixtureRequest) -> attacks.Attack:
    return attacks.get(request.param)


@pytest.fixture
def pack() -> MLP:
    return random_pack((FEATURES, 9, 8, CLASSES), NETWORKS, seed=4)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return random_batch(BATCH, FEATURES, CLASSES, seed=4)


def radii() -> Tensor:
    return torch.tensor(RADII, dtype=torch.float64)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def test_points_stay_in_the_ball(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    x_adv = attack(pack, x, y, radii(), generator=seeded())
    assert x_adv.shape == (NETWORKS, BATCH, FEATURES)
    lengths = norm(x_adv - x, attack.norm)
    assert (lengths <= radii().unsqueeze(1) * (1 + 1e-12) + 1e-12).all()


def test_points_stay_in_the_bounds(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch[0].clamp(-0.5, 0.8), batch[1]
    x_adv = attack(pack, x, y, radii(), bounds=(-0.5, 0.8), generator=seeded())
    assert x_adv.min() >= -0.5
    assert x_adv.max() <= 0.8
    assert (norm(x_adv - x, attack.norm) <= radii().unsqueeze(1) * (1 + 1e-12) + 1e-12).all()


def test_radius_zero_leaves_the_inputs(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x_adv = attack(pack, *batch, 0.0, generator=seeded())
    assert torch.equal(x_adv, batch[0].expand_as(x_adv))


def test_same_generator_gives_the_same_points(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    first = attack(pack, *batch, radii(), generator=seeded())
    assert torch.equal(first, attack(pack, *batch, radii(), generator=seeded()))


def test_another_generator_moves_only_random_attacks(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    first = attack(pack, *batch, 0.2, generator=seeded())
    other = attack(pack, *batch, 0.2, generator=torch.Generator().manual_seed(12))
    assert torch.equal(first, other) != attack.random
    fixed = attack(pack, *batch, 0.2, generator=seeded(), random_start=False)
    again = attack(pack, *batch, 0.2, generator=seeded(), random_start=False)
    assert torch.equal(fixed, again)


def test_points_of_a_network_do_not_depend_on_its_pack(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    together = attack(pack, *batch, radii(), generator=seeded())
    for p, radius in enumerate(RADII):
        alone = attack(pack.subset([p]), *batch, radius, generator=seeded())
        torch.testing.assert_close(alone[0], together[p], rtol=0, atol=1e-9)


def test_attack_raises_the_mean_loss(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    if not isinstance(attack, (GradientAttack, VertexAttack)):
        pytest.skip("promises no ascent")
    x, y = batch
    x_adv = attack(pack, x, y, 0.2, generator=seeded())
    losses = torch.nn.functional.cross_entropy
    for p in range(NETWORKS):
        assert losses(pack(x_adv)[p], y) > losses(pack(x)[p], y)


def test_vertex_attack_finds_the_smallest_margin_of_all_vertices() -> None:
    pack, (x, y) = random_pack((3, 7, CLASSES), seed=8), random_batch(5, 3, CLASSES, seed=8)
    x_adv = attacks.get("vertex-l1")(pack, x, y, 0.6)
    for n in range(5):
        margins = []
        for m in range(3):
            for sign in (1, -1):
                point = x[n].clone()
                point[m] += sign * 0.6
                logits = pack(point.unsqueeze(0))[0, 0]
                others = [logits[k] for k in range(CLASSES) if k != y[n]]
                margins.append(logits[y[n]] - max(others))
        logits = pack(x_adv[0, n : n + 1])[0, 0]
        found = logits[y[n]] - max(logits[k] for k in range(CLASSES) if k != y[n])
        torch.testing.assert_close(found, min(margins))


BAD_INPUTS = {
    "x not finite": (lambda x, y: ((x / 0, y, 0.1), {}), "finite"),
    "label too large": (lambda x, y: ((x, y + CLASSES, 0.1), {}), "labels must lie"),
    "negative radius": (lambda x, y: ((x, y, -1.0), {}), "radius"),
    "one radius too many": (
        lambda x, y: ((x, y, torch.ones(NETWORKS + 1)), {}),
        "one per network",
    ),
    "empty bounds": (lambda x, y: ((x, y, 0.1), {"bounds": (1.0, 1.0)}), "lo < hi"),
}


@pytest.mark.parametrize("mistake", BAD_INPUTS)
def test_bad_input_is_refused_in_one_line(
    attack: attacks.Attack, pack: MLP, batch: tuple[Tensor, Tensor], mistake: str
) -> None:
    spoil, message = BAD_INPUTS[mistake]
    arguments, options = spoil(*batch)
    with pytest.raises(ValueError, match=message) as error:
        attack(pack, *arguments, **options)
    assert "\n" not in str(error.value)


def test_unknown_attack_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown attack 'pgd'.*known: pgd-l1"):
        attacks.get("pgd")
