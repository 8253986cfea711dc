"""Attacks on networks trained on real data: foolbox itself as reference, and plain sanity.

Legend: P networks in the pack, N examples, D input features, R radii.
"""

from __future__ import annotations

from typing import Any

import eagerpy as ep
import pytest
import torch
from sklearn.datasets import load_wine
from torch import Tensor

from robust import attacks, networks
from robust.evaluate import survivors
from robust.evaluation import foolbox_engine
from robust.evaluation.foolbox_engine import FOOLBOX_ATTACKS, FoolboxAttack
from robust.losses import class_differences
from robust.networks import MLP
from robust.norms import norm, sample_unit_ball
from robust.train import train

TWO_NETWORKS = 2
Split = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def wine() -> Split:
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


@pytest.fixture(scope="module")
def nominal(wine: Split) -> MLP:
    """Two networks at different learning rates."""
    net = networks.build("mlp-2x32", wine[0].shape[1], 3, TWO_NETWORKS, seed=1)
    assert isinstance(net, MLP)
    train(
        net,
        *wine,
        defense="nominal",
        radius=torch.zeros(TWO_NETWORKS),
        learning_rate=torch.tensor([1e-2, 1e-3]),
        batch_size=64,
        steps=150,
        seed=0,
    )
    return net


def grown(name: str, grid_radius: float, features: int) -> float:
    return grid_radius * (features**0.5 if attacks.get(name).norm != "linf" else 1.0)


@pytest.mark.parametrize("name", FOOLBOX_ATTACKS)
@pytest.mark.parametrize("grid_radius", [0.05, 0.3, 2.0])
def test_success_equals_foolbox_from_the_same_start(
    monkeypatch: pytest.MonkeyPatch, nominal: MLP, wine: Split, name: str, grid_radius: float
) -> None:
    """Every example, in float64 (in float32 normalised gradients move many points)."""
    net, x, y = nominal.double(), wine[0].double(), wine[1]
    attack, radius = attacks.get(name), torch.tensor(grown(name, grid_radius, x.shape[1]))
    noise = sample_unit_ball(tuple(x.shape), attack.norm, x, torch.Generator().manual_seed(3))
    if attack.random:

        def same_start(self: Any, x0: ep.Tensor, epsilon: float) -> ep.Tensor:
            return ep.astensor(x0.raw + epsilon * noise)

        kind = FOOLBOX_ATTACKS[name]
        monkeypatch.setattr(kind, "get_random_start", same_start)
    radii = radius.double().expand(net.num_networks, len(y))
    given = (net, x, y, radii, (-1e10, 1e10), lambda _: noise)
    ours, theirs = attack.perturb(*given), FoolboxAttack.of(attack).perturb(*given)
    fooled, reference = (net(x_adv).argmax(dim=2) != y for x_adv in (ours, theirs))
    assert torch.equal(fooled, reference)
    assert fooled.any() or grid_radius < 0.1


@pytest.mark.parametrize("lead", [60.0, 80.0, 90.0])
def test_saturated_examples_are_moved_as_by_foolbox(
    nominal: MLP, wine: Split, lead: float
) -> None:
    """Where p_k of all other classes is as small as exp(-lead), in float32."""
    net, (x, y) = nominal.float().subset([0]), wine
    with torch.no_grad():
        margins = -class_differences(net(x), y)[0].amax(dim=1)
        for tensor in (net.weights[-1], net.biases[-1]):
            tensor.mul_(lead / margins.median())
        margins = -class_differences(net(x), y)[0].amax(dim=1)
    sure = (margins > lead) & (margins < lead + 5)
    assert sure.sum() > 3
    given = (net, x[sure], y[sure], torch.full((1, int(sure.sum())), 0.1), (-1e10, 1e10), None)
    ours = attacks.get("fgsm-linf").perturb(*given)
    theirs = FoolboxAttack.of(attacks.get("fgsm-linf")).perturb(*given)
    assert (ours - x[sure]).any(dim=2).all()
    assert ((ours - theirs).abs() < 1e-6).double().mean() > 0.99


@pytest.mark.parametrize("name", ["fgm-l2", "pgd-linf"])
def test_foolbox_engine_gives_the_same_accuracies(nominal: MLP, wine: Split, name: str) -> None:
    """Exactly for a deterministic attack; within sampling noise for random starts."""
    net = nominal.float()
    radii = torch.tensor([grown(name, r, 13) for r in (0.0, 0.1, 0.5, 1.0)])
    ours, theirs = (
        survivors(net, *wine, attack=name, radii=radii, engine=engine).double().mean(dim=2)
        for engine in ("packed", "foolbox")
    )
    noise = 3 * (0.25 / len(wine[1])) ** 0.5 if attacks.get(name).random else 0.0
    assert (ours - theirs).abs().max() <= noise
    assert ours.min() < 0.9


def test_foolbox_engine_refuses_what_foolbox_lacks(nominal: MLP, wine: Split) -> None:
    with pytest.raises(ValueError, match="foolbox has no attack 'vertex-l1'; it has: pgd-l1"):
        survivors(nominal, *wine, attack="vertex-l1", radii=torch.tensor([1.0]), engine="foolbox")


@pytest.mark.parametrize("name", attacks.names())
def test_clipped_float32_attack_stays_in_box_and_ball(
    nominal: MLP, wine: Split, name: str
) -> None:
    x, y = wine
    unit = ((x - x.min()) / (x.max() - x.min())).clamp(0, 1)
    for grid_radius in (0.003, 0.1, 50.0):
        radius = grown(name, grid_radius, x.shape[1])
        x_adv = attacks.get(name)(nominal.float(), unit, y, radius, bounds=(0.0, 1.0))
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        lengths = norm(x_adv.double() - unit.double(), attacks.get(name).norm)
        assert lengths.max() <= radius * (1 + 1e-6) + 1e-6  # x is rounded to 6e-8 itself


@pytest.mark.parametrize("name", attacks.names())
def test_huge_radius_leaves_a_nominal_network_at_most_the_class_prior(
    nominal: MLP, wine: Split, name: str
) -> None:
    y = wine[1]
    radius = grown(name, 50.0, wine[0].shape[1])
    kept = survivors(nominal.float(), *wine, attack=name, radii=torch.tensor([radius]))
    strong = name.endswith("-best") or name == "vertex-l1"
    limit = 0.05 if strong else float(torch.bincount(y).max()) / len(y)
    assert kept.double().mean() <= limit


@pytest.mark.parametrize("name", ["pgd-l1", "vertex-l1"])
def test_nested_evaluation_only_lowers_and_is_monotone(
    nominal: MLP, wine: Split, name: str
) -> None:
    radii = torch.tensor([0.0, 0.5, 2.0, 10.0, 100.0])
    net = nominal.float()
    plain = survivors(net, *wine, attack=name, radii=radii)
    nested = survivors(net, *wine, attack=name, radii=radii, nested=True)
    assert (nested <= plain).all()
    assert (nested[:, 1:] <= nested[:, :-1]).all()
    assert torch.equal(nested, plain.to(torch.uint8).cummin(dim=1).values.bool())


def test_more_restarts_only_lower_the_accuracy_of_best_iterates(nominal: MLP, wine: Split) -> None:
    radii = torch.tensor([0.5, 1.0])
    one, three = (
        survivors(nominal.float(), *wine, attack="pgd-linf-best", radii=radii, restarts=n)
        for n in (1, 3)
    )
    assert (three <= one).all()
    with pytest.raises(ValueError, match="restarts must be at least 1, got 0"):
        survivors(nominal, *wine, attack="pgd-linf-best", radii=radii, restarts=0)


def test_constant_and_duplicated_features_do_not_hinder_attacks(wine: Split) -> None:
    """Two classes, a constant column, no bounds: what tabular data bring."""
    x, y = wine
    x = torch.cat([x, torch.zeros(len(x), 1), x[:, :1]], dim=1)
    net = networks.build("mlp-1x16", x.shape[1], 2, 1, seed=2)
    two = (y > 0).long()
    settings = {"batch_size": 64, "steps": 100, "seed": 0, "defense": "nominal"}
    train(net, x, two, radius=torch.zeros(1), learning_rate=torch.tensor([1e-2]), **settings)
    for name in attacks.names():
        radius = grown(name, 3.0, x.shape[1])
        kept = survivors(net, x, two, attack=name, radii=torch.tensor([0.0, radius]))
        assert kept[0, 0].double().mean() > 0.9, name
        assert kept[0, 1].double().mean() < 0.7, name


def test_foolbox_is_the_version_whose_rules_are_followed() -> None:
    assert foolbox_engine.foolbox.__version__ == "3.3.4"
