"""Checks and traces on minibatches: what they say, and that they disturb nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robust import attacks, defenses
from robust.networks import MLP
from robust.train import train
from robust.training import monitor
from robust.training.monitor import BoundCheck, Checks, Monitor, Observation, Trace, bound_holds
from tests.robust.helpers import random_batch, random_pack

RADII = (0.0, 0.05, 0.5, 3.0)
LINF = BoundCheck("linf", RADII, RADII)
L1 = BoundCheck("l1", tuple(2 * r for r in RADII), RADII)
Split = tuple[Tensor, Tensor]


@pytest.fixture
def batch() -> Split:
    return random_batch(30, 4, 3, seed=5, dtype=torch.float32)


def fresh(networks: int) -> MLP:
    return random_pack((4, 12, 9, 3), networks, seed=6, dtype=torch.float32)


def trained(networks: int, **options: object) -> tuple[MLP, Monitor, tuple[int | None, ...]]:
    """A pack whose networks differ, watched while it trains; the last one diverges."""
    net = fresh(networks)
    rates = [0.01] * (networks - 1) + [1e30]
    radius = torch.full((networks,), 0.1)
    watching = Monitor(net, 7, **options)  # type: ignore[arg-type]
    result = train(
        net,
        *random_batch(50, 4, 3, seed=5, dtype=torch.float32),
        defense="arub-linf",
        radius=radius,
        learning_rate=torch.tensor(rates),
        batch_size=16,
        steps=12,
        seed=3,
        on_batch=watching,
    )
    return net, watching, result.diverged_step


def test_bound_compares_mean_arub_objective_with_mean_loss_at_pgd_points(batch: Split) -> None:
    """The same from the public attack and defense, one network and one radius at a time."""
    x, y = batch
    net = fresh(3)
    found = bound_holds(net, x, y, L1, seed=1)
    generator = torch.Generator()
    for p in range(3):
        one = net.subset([p])
        for r, radius in enumerate(L1.radii):
            generator.manual_seed(1)
            x_adv = attacks.get("pgd-l1")(one, x, y, radius, generator=generator)
            wide = one.subset([0]).double()
            loss = cross_entropy(wide(x_adv.double())[0], y)
            objective = defenses.get("arub-l1").loss(wide, x.double(), y, radius)[0]
            if radius > 0:  # at radius 0 the two are equal up to rounding
                assert bool(found[p, r]) == bool(objective >= loss)


def test_bound_holds_at_radius_zero_where_both_sides_are_equal(batch: Split) -> None:
    for ball in (LINF, L1):
        assert bound_holds(fresh(4), *batch, ball, seed=1)[:, 0].all()


def test_bound_that_is_too_low_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, batch: Split
) -> None:
    nominal = defenses.get("nominal")
    monkeypatch.setattr(monitor.defenses, "get", lambda name: nominal)
    assert not bound_holds(fresh(2), *batch, LINF, seed=1)[:, 2:].any()


def test_checks_do_not_depend_on_the_pack(batch: Split) -> None:
    net = fresh(3)
    together = bound_holds(net, *batch, LINF, seed=4)
    for p in range(3):
        assert torch.equal(bound_holds(net.subset([p]), *batch, LINF, seed=4)[0], together[p])


def test_checked_networks_alone_are_observed_at_due_steps() -> None:
    _, watching, _ = trained(3, checks=Checks(5, (1,), (LINF, L1)))
    found = watching.observations((None, None, None))
    assert found[0] == found[2] == ()
    seen = [(o.step, o.norm, o.radius) for o in found[1]]
    assert seen == [(step, n, r) for step in (5, 10) for n in ("linf", "l1") for r in RADII]
    assert {o.value for o in found[1]} <= {0.0, 1.0}
    assert {o.quantity for o in found[1]} == {"bound_holds"}


def test_trace_gives_the_objective_and_the_loss_under_pgd() -> None:
    trace = Trace(6, defenses.get("arub-linf"), torch.tensor([0.1, 0.1]))
    net = fresh(2)
    watching = Monitor(net, 7, trace=trace)
    x, y = random_batch(30, 4, 3, seed=5, dtype=torch.float32)
    watching(5, x, y)
    watching(6, x, y)
    for p, own in enumerate(watching.observations((None, None))):
        objective, adversarial = own
        expected = defenses.get("arub-linf").loss(net, x, y, 0.1)[p].item()
        assert objective == Observation(6, "objective", "linf", None, pytest.approx(expected))
        clean = cross_entropy(net(x)[p], y).item()
        assert adversarial.quantity == "adversarial_loss"
        assert adversarial.value is not None
        assert clean < adversarial.value < clean + 1.5 * (expected - clean)


def test_values_end_with_divergence() -> None:
    _, watching, lost = trained(
        2, trace=Trace(1, defenses.get("arub-linf"), torch.tensor([0.1, 0.1]))
    )
    assert lost[0] is None
    assert lost[1] is not None
    healthy, diverged = watching.observations(lost)
    assert None not in {o.value for o in healthy}
    for one in diverged:
        assert (one.value is None) == (one.step >= lost[1])


def test_watching_changes_no_network() -> None:
    watched, _, _ = trained(
        2,
        checks=Checks(2, (0, 1), (LINF, L1)),
        trace=Trace(3, defenses.get("arub-linf"), torch.tensor([0.1, 0.1])),
    )
    alone, _, _ = trained(2)
    for ours, theirs in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_callback_is_given_the_steps_that_are_due_alone() -> None:
    class Third:
        """Counts what it is given."""

        def __init__(self) -> None:
            self.seen: list[int] = []

        def is_due(self, step: int) -> bool:
            return step % 3 == 0

        def __call__(self, step: int, x: Tensor, y: Tensor) -> None:
            self.seen.append(step)

    third = Third()
    x, y = random_batch(50, 4, 3, seed=5, dtype=torch.float32)
    options = {"radius": 0.0, "learning_rate": 0.01, "batch_size": 16, "steps": 10, "seed": 3}
    train(fresh(1), x, y, defense="nominal", on_batch=third, **options)  # type: ignore[arg-type]
    assert third.seen == [3, 6, 9]
    every: list[int] = []
    train(
        fresh(1),
        x,
        y,
        defense="nominal",
        on_batch=lambda step, x, y: every.append(step),
        **options,  # type: ignore[arg-type]
    )
    assert every == list(range(1, 11))
