"""Training packs: each network as if it were alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robust import defenses, networks
from robust.defenses.nominal import Nominal
from robust.evaluate import correct, evaluate
from robust.losses import class_differences, cross_entropy
from robust.networks import MLP
from robust.networks.linearization import Network
from robust.train import TrainResult, minibatches, train
from robust.training.step import TrainingStep

FEATURES, CLASSES = 4, 3


def clusters(examples: int = 90, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three overlapping clusters."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(examples) % CLASSES
    centres = 1.5 * torch.eye(CLASSES, FEATURES)
    return centres[y] + torch.randn(examples, FEATURES, generator=generator), y


def fresh(networks_: int) -> MLP:
    return networks.build("mlp-2x16", FEATURES, CLASSES, networks_, seed=5)


def trained(
    method: str, radii: list[float], rates: list[float], steps: int = 60, **options: object
) -> tuple[MLP, TrainResult]:
    net = fresh(len(radii))
    x, y = clusters()
    settings = {
        "defense": method,
        "radius": torch.tensor(radii),
        "learning_rate": torch.tensor(rates),
        "batch_size": 32,
        "steps": steps,
        "seed": 3,
    }
    return net, train(net, x, y, **{**settings, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("defense", ["rub", "pgd-linf", "coap-linf"])
def test_network_is_the_same_alone_and_in_a_pack_of_twenty(defense: str) -> None:
    radii = [0.02 * i for i in range(20)]
    rates = [10.0 ** -(1 + i % 4) for i in range(20)]
    pack, _ = trained(defense, radii, rates, steps=40)
    x, y = clusters(60, seed=9)
    ladder = torch.tensor([0.0, 0.1, 0.5])
    names = ("pgd-linf", "fgm-l2", "certified-l1")
    together = {name: evaluate(pack, x, y, attack=name, radii=ladder) for name in names}
    for p in (0, 7, 19):
        alone, _ = trained(defense, radii[p : p + 1], rates[p : p + 1], steps=40)
        assert torch.equal(correct(alone, x, y)[0], correct(pack, x, y)[p])
        for name in names:
            accuracy = evaluate(alone, x, y, attack=name, radii=ladder)
            assert torch.equal(accuracy[0], together[name][p])


def test_training_lowers_the_loss_it_minimises() -> None:
    x, y = clusters()
    for name in defenses.names():
        radius = torch.tensor([0.05])
        before = defenses.get(name).loss(fresh(1), x, y, radius, torch.Generator().manual_seed(0))
        net, _ = trained(name, [0.05], [0.01], steps=40)
        after = defenses.get(name).loss(net, x, y, radius, torch.Generator().manual_seed(0))
        assert after < 0.9 * before, name


def test_diverging_network_is_marked_and_never_disturbs_its_pack() -> None:
    rates = [0.01, 1e30, 0.001]
    net, result = trained("rub", [0.1] * 3, rates, steps=30)
    calm, quiet = trained("rub", [0.1] * 2, [0.01, 0.001], steps=30)
    assert result.diverged_step[0] is None
    assert result.diverged_step[2] is None
    assert quiet.diverged_step == (None, None)
    assert result.diverged_step[1] is not None
    assert 1 < result.diverged_step[1] <= 10
    for ours, theirs in zip(net.parameters(), calm.parameters(), strict=True):
        torch.testing.assert_close(ours[[0, 2]], theirs, rtol=1e-6, atol=1e-7)


def test_divergence_step_is_the_first_with_a_loss_or_gradient_that_is_not_finite() -> None:
    """The same updates by torch's Adam, until its loss or gradient is not finite."""
    x, y = clusters()
    net = fresh(1)
    adam = torch.optim.Adam(net.parameters(), lr=1e30, eps=1e-7)
    order = minibatches(len(x), 32, 30, 3)
    expected = None
    for step, batch in enumerate(order, start=1):
        adam.zero_grad()
        loss = cross_entropy(class_differences(net(x[batch]), y[batch])).mean()
        loss.backward()
        norms = [torch.linalg.vector_norm(p.grad) for p in net.parameters()]
        if not all(torch.isfinite(v) for v in (loss.detach(), *norms)):
            expected = step
            break
        adam.step()
    assert expected is not None
    _, result = trained("nominal", [0.0], [1e30], steps=30)
    assert result.diverged_step == (expected,)


def test_diverged_network_has_no_point_on_the_curve() -> None:
    _, result = trained(
        "nominal", [0.0, 0.0], [0.01, 1e30], steps=25, validation=clusters(30, 4), curve_every=10
    )
    assert [step for step, _ in result.curve] == [10, 20, 25]
    lost = result.diverged_step[1]
    assert lost is not None
    for step, (healthy, diverged) in result.curve:
        assert healthy is not None
        assert 0 <= healthy <= 1
        assert (diverged is None) == (step >= lost)


def test_minibatches_visit_every_example_once_an_epoch() -> None:
    order = minibatches(10, 4, 5, seed=1)
    assert order.shape == (5, 4)
    stream = order.flatten()
    assert sorted(stream[:10].tolist()) == list(range(10))
    assert sorted(stream[10:20].tolist()) == list(range(10))
    assert torch.equal(minibatches(10, 4, 9, seed=1)[:5], order)
    assert not torch.equal(minibatches(10, 4, 5, seed=2), order)
    assert minibatches(3, 256, 2, seed=1).shape == (2, 3)


def test_hinge_loss_trains_too() -> None:
    x, y = clusters()
    net, _ = trained("rub", [0.05], [0.01], steps=100, loss="hinge")
    assert correct(net, x, y).double().mean() > correct(fresh(1), x, y).double().mean() + 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"defense": "madry"}, "unknown defense 'madry'"),
        ({"loss": "mse"}, "unknown loss 'mse'.*cross-entropy"),
        ({"learning_rate": torch.tensor([0.1, -0.1])}, "learning_rate must be positive"),
        ({"radius": torch.tensor([0.1, math.nan])}, "radius must be finite"),
    ],
)
def test_bad_setting_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained("nominal", [0.0, 0.0], [0.1, 0.1], **options)


RATES = [0.01, 1e38, 0.001]  # the second network's first update is finite, its next loss is not


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("defense", ["nominal", "rub", "pgd-linf", "coap-linf"])
def test_network_broken_by_its_last_update_has_diverged(defense: str, record: bool) -> None:
    options = {"validation": clusters(30, 4), "record": record}
    net, result = trained(defense, [0.1] * 3, RATES, steps=1, **options)
    calm, _ = trained(defense, [0.1] * 2, [0.01, 0.001], steps=1)
    assert result.diverged_step == (None, 1, None)
    ((step, accuracies),) = result.curve
    assert step == 1
    assert [a is None for a in accuracies] == [False, True, False]
    for ours, theirs in zip(net.parameters(), calm.parameters(), strict=True):
        torch.testing.assert_close(ours[[0, 2]], theirs, rtol=1e-6, atol=1e-7)


def test_broken_network_alone_has_diverged() -> None:
    assert trained("nominal", [0.0], [1e38], steps=1)[1].diverged_step == (1,)
    assert trained("nominal", [0.0], [1e38], steps=2)[1].diverged_step == (2,)


@dataclass(frozen=True)
class Steepness(Nominal):
    """Takes a gradient of its own, at the inputs."""

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        at = x.repeat(net.num_networks, 1, 1).requires_grad_()
        losses = super().example_losses(net, at, y, radius, generator)
        (slope,) = torch.autograd.grad(losses.sum(), at, create_graph=True)
        return losses + slope.abs().sum(dim=-1)


def test_last_update_of_a_defense_with_gradients_of_its_own_is_judged() -> None:
    net, (x, y) = fresh(2), clusters()
    method, rates = Steepness(name="steepness", norm=None), torch.tensor([0.01, 1e38])
    generator = torch.Generator().manual_seed(0)
    step = TrainingStep(net, x, y, method, torch.zeros(2), rates, 32, generator, 10)
    step()
    assert step.alive.tolist() == [True, True]
    step.judge_last_update(0)
    assert step.alive.tolist() == [True, False]


@pytest.mark.parametrize("value", [-math.inf, math.inf, math.nan])
def test_parameter_that_is_not_finite_is_seen_where_no_loss_shows_it(value: float) -> None:
    """A unit that is never active hides its parameters from the loss and from its gradient."""

    def poison(step: int, x: Tensor, y: Tensor) -> None:
        if step == 4:
            with torch.no_grad():
                net.weights[1][0, 3] = value  # leaves the unit that the bias keeps at 0
                net.biases[0][0, 3] = -1e30

    net = fresh(2)
    x, y = clusters()
    with torch.no_grad():
        net.biases[0][:, 3] = -1e30
    result = train(
        net,
        x,
        y,
        defense="nominal",
        radius=0.0,
        learning_rate=0.01,
        batch_size=32,
        steps=6,
        seed=0,
        validation=(x, y),
        curve_every=3,
        on_batch=poison,
    )
    lost = result.diverged_step[0]
    assert lost is not None
    assert 4 <= lost <= 6
    assert result.diverged_step[1] is None
    assert result.curve[-1][1][0] is None


def test_parameter_that_is_not_finite_shows_on_the_curve_at_once() -> None:
    """A bias of -inf: the unit is dead, all losses and gradients stay finite."""

    def poison(step: int, x: Tensor, y: Tensor) -> None:
        if step == 2:
            with torch.no_grad():
                net.biases[0][0, 3] = -math.inf

    net = fresh(2)
    x, y = clusters()
    options = {"validation": (x, y), "curve_every": 1, "on_batch": poison}
    settings = {"radius": 0.0, "learning_rate": 0.01, "batch_size": 32, "steps": 4, "seed": 0}
    result = train(net, x, y, defense="nominal", **settings, **options)  # type: ignore[arg-type]
    assert [own[0] is None for _, own in result.curve] == [False, True, True, True]
    assert result.diverged_step == (4, None)
