"""Accuracy on a whole split: independent of chunks, packs and the order of radii."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robust import attacks, certify
from robust.bounds import tight as rub_tight
from robust.bounds.rub import mlp_search
from robust.evaluate import CERTIFICATES, correct, evaluate
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, EXAMPLES = 4, 3, 12
RADII = (0.0, 0.1, 0.2, 0.7)
EVALUATIONS = (*attacks.names(), *CERTIFICATES)


@pytest.fixture(scope="module")
def pack() -> MLP:
    return random_pack((FEATURES, 10, 9, CLASSES), networks=3, seed=14)


@pytest.fixture(scope="module")
def split(pack: MLP) -> tuple[Tensor, Tensor]:
    """Mostly the labels of the first network, so that accuracies differ from 0."""
    x, y = random_batch(EXAMPLES, FEATURES, CLASSES, seed=14)
    said = pack(x)[0].argmax(dim=1)
    return x, torch.where(torch.arange(EXAMPLES) % 5 == 0, y, said)


def ladder(*values: float) -> Tensor:
    return torch.tensor(values or RADII, dtype=torch.float64)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_chunk_size_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    whole = evaluate(pack, *split, attack=name, radii=ladder())
    monkeypatch.setitem(mlp_search.CHUNK_ELEMENTS, "cpu", 500)
    monkeypatch.setitem(rub_tight.PAIRS, "cpu", 5)
    assert torch.equal(evaluate(pack, *split, attack=name, radii=ladder(), chunk=5), whole)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_pack_and_global_randomness_change_nothing(
    pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    together = evaluate(pack, *split, attack=name, radii=ladder())
    for p in range(3):
        torch.manual_seed(p)
        alone = evaluate(pack.subset([p]), *split, attack=name, radii=ladder())
        assert torch.equal(alone[0], together[p])


@pytest.mark.parametrize("name", EVALUATIONS)
def test_first_accuracy_is_clean_and_none_is_above_it(
    pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    accuracy = evaluate(pack, *split, attack=name, radii=ladder())
    clean = correct(pack, *split).double().mean(dim=1)
    assert accuracy.shape == (3, len(RADII))
    assert accuracy.dtype == torch.float64
    assert torch.equal(accuracy[:, 0], clean)
    assert (accuracy <= clean.unsqueeze(1)).all()


@pytest.mark.parametrize("name", [n for n in attacks.names() if not attacks.get(n).random])
def test_accuracy_is_that_of_the_attacked_points(
    pack: MLP, split: tuple[Tensor, Tensor], name: str
) -> None:
    x, y = split
    for r, radius in enumerate(RADII):
        x_adv = attacks.get(name)(pack, x, y, radius)
        keeps = (pack(x_adv).argmax(dim=2) == y) & correct(pack, x, y)
        accuracy = evaluate(pack, x, y, attack=name, radii=ladder())[:, r]
        torch.testing.assert_close(accuracy, keeps.double().mean(dim=1))


def test_certified_accuracy_is_the_share_certified(
    pack: MLP, split: tuple[Tensor, Tensor]
) -> None:
    accuracy = evaluate(pack, *split, attack="certified-l1", radii=ladder())
    for r, radius in enumerate(RADII):
        share = certify.certified(pack, *split, radius).double().mean(dim=1)
        assert torch.equal(accuracy[:, r], share)


def test_certificates_lie_below_every_l1_attack(pack: MLP, split: tuple[Tensor, Tensor]) -> None:
    names = ("certified-l1", "certified-l1-tight", "certified-l1-best")
    paper, tight, best = (evaluate(pack, *split, attack=name, radii=ladder()) for name in names)
    assert (paper <= tight).all() and (paper <= best).all()
    for name in attacks.names():
        if attacks.get(name).norm == "l1":
            attacked = evaluate(pack, *split, attack=name, radii=ladder())
            assert (tight <= attacked).all() and (best <= attacked).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_certificates_lie_below_every_attack_of_their_norm(
    norm: str, pack: MLP, split: tuple[Tensor, Tensor]
) -> None:
    proven = evaluate(pack, *split, attack=f"certified-{norm}", radii=ladder())
    assert proven[:, 1:].max() > 0
    for name in attacks.names():
        if attacks.get(name).norm == norm:
            assert (proven <= evaluate(pack, *split, attack=name, radii=ladder())).all()


def test_accuracy_at_a_radius_does_not_depend_on_the_other_radii(
    pack: MLP, split: tuple[Tensor, Tensor]
) -> None:
    for name in ("pgd-linf", "pgd-l1", "fgm-l2", "vertex-l1", "certified-l1"):
        many = evaluate(pack, *split, attack=name, radii=ladder())
        alone = evaluate(pack, *split, attack=name, radii=ladder(0.2))
        assert torch.equal(alone[:, 0], many[:, 2]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "pgd"}, "unknown attack 'pgd'"),
        ({"radii": ladder(0.2, 0.1)}, "strictly increasing"),
        ({"radii": ladder(-0.1, 0.1)}, "at least 0"),
        ({"radii": ladder(0.1, math.inf)}, "finite"),
        ({"bounds": (1.0, 0.0)}, "lo < hi"),
    ],
)
def test_bad_setting_is_refused(
    pack: MLP, split: tuple[Tensor, Tensor], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(pack, *split, **{"attack": "fgm-l1", "radii": ladder(), **options})
