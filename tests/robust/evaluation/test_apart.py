"""What an attack finds depends on the network, the example and the radius, to the last bit.

The rounding of a product depends on its shape, and what decides between survival and an error may
be the last bit: so the points themselves are compared, in float32 and on networks of usual width.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust import attacks
from robust.evaluate import survivors
from robust.evaluation.attack_batches import AttackedPoints
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack

RADII = (0.05, 0.1, 0.3, 0.7)
NAMES = ("pgd-l1", "pgd-l2", "pgd-linf", "fgm-l1", "fgm-l2", "vertex-l1", "pgd-linf-best")
Points = dict[tuple[int, float, int], Tensor]


@pytest.fixture(scope="module")
def pack() -> MLP:
    return random_pack((13, 200, 200, 3), networks=2, seed=5, dtype=torch.float32)


@pytest.fixture(scope="module")
def split(pack: MLP) -> tuple[Tensor, Tensor]:
    """The first network is right about all, the second about some."""
    x, _ = random_batch(90, 13, 3, seed=5, dtype=torch.float32)
    return x, pack(x)[0].argmax(dim=1)


def points(
    net: MLP, split: tuple[Tensor, Tensor], name: str, radii: tuple[float, ...], **options: object
) -> tuple[Tensor, Points]:
    """The survivors, and every point that was found, by network, radius and example."""
    found: Points = {}

    def collect(some: AttackedPoints) -> None:
        for g in range(len(some.examples)):
            for r, level in enumerate(some.radii):
                for a, example in enumerate(some.examples[g].tolist()):
                    key = some.networks.start + g, radii[level], example
                    found[key] = some.x_adv[g, r, a].clone()

    kept = survivors(
        net, *split, attack=name, radii=torch.tensor(radii, dtype=torch.float64),
        seed=3, on_points=collect, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return kept, found


def assert_same(some: Points, whole: Points) -> None:
    assert some
    for key, point in some.items():
        assert torch.equal(point, whole[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_points_at_a_radius_are_the_same_with_other_radii_and_without(
    pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    kept, whole = points(pack, split, name, RADII)
    for some in ((0.1,), (0.05, 0.7)):
        alone, found = points(pack, split, name, some)
        assert_same(found, whole)
        assert torch.equal(alone, kept[:, [RADII.index(r) for r in some]])


@pytest.mark.parametrize("name", NAMES)
def test_points_of_a_network_are_the_same_in_any_pack(
    pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    kept, whole = points(pack, split, name, RADII)
    alone, found = points(pack.subset([1]), split, name, RADII)
    assert_same({(1, r, n): point for (_, r, n), point in found.items()}, whole)
    assert torch.equal(alone[0], kept[1])


def test_foolbox_itself_is_asked_about_one_radius_at_a_time(
    pack: MLP, split: tuple[Tensor, Tensor]
) -> None:
    """It draws random numbers for all inputs that it is given."""
    kept, whole = points(pack, split, "pgd-linf", RADII, engine="foolbox")
    alone, found = points(pack, split, "pgd-linf", (0.3,), engine="foolbox")
    assert_same(found, whole)
    assert torch.equal(alone[:, 0], kept[:, RADII.index(0.3)])


def test_what_fills_up_a_chunk_is_neither_shown_nor_counted(
    pack: MLP, split: tuple[Tensor, Tensor]
) -> None:
    kept, found = points(pack, split, "fgsm-linf", RADII)
    clean, _ = points(pack, split, "fgsm-linf", (0.0,))
    right = clean[:, 0]
    assert 0 < int(right[1].sum()) < len(split[1])
    attacked = {(p, n) for p, _, n in found}
    assert attacked == {(p, n) for p, n in right.nonzero().tolist()}
    assert not bool((kept & ~right.unsqueeze(1)).any())


def test_every_attack_that_draws_for_all_inputs_at_once_says_so() -> None:
    assert not any(attacks.get(name).joint for name in attacks.names())
