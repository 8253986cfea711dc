"""Schedules: what a defense's loss is while a network trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robust import defenses, networks
from robust.checks import for_each_example
from robust.defenses.base import DEFENSES, Defense
from robust.defenses.nominal import Nominal
from robust.defenses.schedule import ScheduledDefense
from robust.networks.linearization import Network
from robust.train import train
from tests.robust.helpers import random_batch, random_pack

SCHEDULED = [name for name in defenses.names() if isinstance(defenses.get(name), ScheduledDefense)]
RADII = torch.tensor([0.1, 0.4], dtype=torch.float64)


def made(name: str) -> ScheduledDefense:
    found = defenses.get(name)
    assert isinstance(found, ScheduledDefense)
    return found


def at(progress: float) -> Tensor:
    return torch.tensor(progress)


def losses(method: Defense, progress: float | None, radii: Tensor = RADII) -> Tensor:
    """The loss at a moment, or at the end of the schedule (None), of the same two networks."""
    net = random_pack((5, 8, 7, 4), networks=2, seed=3)
    x, y = random_batch(6, 5, 4, seed=3)
    given = net, x, y, for_each_example(radii, 6), torch.Generator().manual_seed(5)
    if progress is None:
        return method.example_losses(*given)
    return method.losses_during(*given, at(progress))


def test_the_methods_whose_authors_have_schedules_have_one() -> None:
    assert set(SCHEDULED) == {"crown-ibp-linf", "ibp-linf", "mtl-ibp-linf", "sabr-linf"}


@pytest.mark.parametrize(
    ("warmup", "ramp", "wanted"),
    [
        (0.2, 0.4, [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]),
        (0.0, 0.0, [1.0] * 6),
        (0.4, 0.0, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_radius_waits_then_grows_linearly(
    warmup: float, ramp: float, wanted: Sequence[float]
) -> None:
    method = made(f"ibp-linf(warmup={warmup},ramp={ramp})")
    found = [float(method.ramped(at(moment / 5))) for moment in range(6)]
    # In float32 a moment at the end of a phase may fall on either side of it.
    moments = [0, 1, 3, 4, 5] if (warmup, ramp) == (0.4, 0.0) else range(6)
    assert [found[i] for i in moments] == pytest.approx([wanted[i] for i in moments], abs=1e-6)


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_radius_never_shrinks_and_ends_full(
    warmup: float, ramp: float, one: float, other: float
) -> None:
    method = defenses.variant("ibp-linf", {"warmup": warmup, "ramp": ramp})
    assert isinstance(method, ScheduledDefense)
    early, late = (float(method.ramped(at(moment))) for moment in sorted((one, other)))
    assert 0 <= early <= late <= 1
    assert float(method.ramped(at(1.0))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", SCHEDULED)
def test_loss_is_nominal_in_the_warm_up(name: str) -> None:
    method = made(f"{name}(warmup=0.5,ramp=0.25)")
    torch.testing.assert_close(losses(method, 0.3), losses(defenses.get("nominal"), None))


@pytest.mark.parametrize("name", SCHEDULED)
def test_loss_behind_the_ramp_is_that_of_the_end(name: str) -> None:
    assert torch.equal(losses(made(name), 0.9), losses(made(name), None))


@pytest.mark.parametrize("name", ["mtl-ibp-linf", "sabr-linf"])
def test_loss_in_the_ramp_is_that_of_the_radius_reached(name: str) -> None:
    method = made(f"{name}(warmup=0.25,ramp=0.5)")
    torch.testing.assert_close(losses(method, 0.5), losses(method, None, RADII / 2))


def test_weights_fall_with_the_radius() -> None:
    method = made("crown-ibp-linf(warmup=0,ramp=0.5,kappa=0.2,beta=0.6)")
    halfway = made("crown-ibp-linf(kappa=0.6,beta=0.8)")  # (1 + 0.2) / 2 and (1 + 0.6) / 2
    torch.testing.assert_close(losses(method, 0.25), losses(halfway, None, RADII / 2))


@pytest.mark.parametrize("name", [n for n in defenses.names() if n not in SCHEDULED])
def test_other_defenses_are_the_same_throughout(name: str) -> None:
    method = defenses.get(name)
    assert torch.equal(losses(method, 0.3), losses(method, None))


@dataclass(frozen=True)
class Noting(Nominal):
    """Notes how far training is whenever it is asked."""

    def losses_during(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        progress: Tensor,
    ) -> Tensor:
        NOTED.append(float(progress))
        return super().losses_during(net, x, y, radius, generator, progress)


NOTED: list[float] = []


def test_training_tells_a_defense_what_share_of_the_steps_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(DEFENSES._items, "noting", Noting(name="noting", norm=None))
    NOTED.clear()
    net = networks.build("mlp-1x4", 4, 3, 2, seed=0)
    x, y = random_batch(9, 4, 3, dtype=torch.float32)
    options = {"radius": 0.0, "learning_rate": 1e-2, "batch_size": 3, "seed": 0}
    train(net, x, y, defense="noting", steps=5, **options)  # type: ignore[arg-type]
    assert pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8]) == NOTED


def test_schedules_are_part_of_a_defense_s_name_and_parameters() -> None:
    method = defenses.get("sabr-linf(ramp=0.5)")
    assert method.name == "sabr-linf(ramp=0.5)"
    assert method.parameters["ramp"] == 0.5
    assert method.parameters["warmup"] == 0.0
