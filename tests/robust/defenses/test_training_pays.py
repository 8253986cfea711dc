"""Networks trained with a defense are more robust than nominal ones, on data of few examples."""

from __future__ import annotations

from functools import cache

import pytest
import sklearn.datasets
import torch
from torch import Tensor

from robust import attacks, certify, networks
from robust.attacks.margins import is_correct
from robust.networks.mlp import MLP
from robust.train import train

RADIUS = {"linf": 0.4, "l1": 3.0}  # of standardised features
TEST = 150


@cache
def data() -> tuple[Tensor, Tensor]:
    """Breast cancer, standardised, in an order that mixes the classes."""
    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    inputs = torch.as_tensor(x, dtype=torch.float32)[order]
    labels = torch.as_tensor(y, dtype=torch.int64)[order]
    mean, deviation = inputs[TEST:].mean(dim=0), inputs[TEST:].std(dim=0)
    return (inputs - mean) / deviation, labels


@cache
def trained(defense: str, norm: str) -> MLP:
    x, y = data()
    net = networks.build("mlp-2x32", x.shape[1], 2, 1, seed=1)
    assert isinstance(net, MLP)
    settings = {"radius": RADIUS[norm], "learning_rate": 3e-3, "batch_size": 64, "seed": 2}
    train(net, x[TEST:], y[TEST:], defense=defense, steps=250, **settings)  # type: ignore[arg-type]
    return net


def certified(net: MLP) -> float:
    x, y = (part[:TEST] for part in data())
    proven = certify.certified(net, x, y, RADIUS["linf"], norm="linf", method="crown")
    return float(proven.float().mean())


def attacked(net: MLP, attack: str) -> float:
    x, y = (part[:TEST] for part in data())
    method = attacks.get(attack)
    generator = torch.Generator().manual_seed(3)
    x_adv = method(net, x, y, RADIUS[method.norm], generator=generator)
    return float(is_correct(net(x_adv), y).float().mean())


@pytest.mark.parametrize("defense", ["ibp-linf", "crown-ibp-linf", "sabr-linf", "mtl-ibp-linf"])
def test_certified_training_raises_certified_accuracy(defense: str) -> None:
    assert certified(trained(defense, "linf")) > certified(trained("nominal", "linf")) + 0.2


@pytest.mark.parametrize(
    ("defense", "attack"), [("trades-linf", "pgd-linf"), ("apgd-l1", "apgd-l1")]
)
def test_adversarial_training_raises_attacked_accuracy(defense: str, attack: str) -> None:
    norm = attacks.get(attack).norm
    ours, nominal = trained(defense, norm), trained("nominal", norm)
    assert attacked(ours, attack) > attacked(nominal, attack) + 0.1
