"""Features that nobody can change: training and certifying in a ball with costs.

    python examples/immutable_features.py

In scikit-learn's breast-cancer data the size of a nucleus (its radius, perimeter and area) is
measured twice and cannot be tampered with: a cost of infinity holds these nine features fixed. The
other 21, such as texture and smoothness, are read off by hand: a change costs what it is.

Networks are trained without a ball, in the plain L1 ball and in the one that holds sizes fixed.
The share of test examples that keep their class is printed for both balls: under attack, proven.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor

from robust import attacks, certify, networks
from robust.train import train

RADIUS = 3.0  # in standard deviations, of all features that may be changed together
STEPS = 300
MEASURED = ("radius", "perimeter", "area")


def load_arrays() -> tuple[Tensor, Tensor, Tensor, Tensor, list[str]]:
    """Return training and test inputs and labels, standardised, and the features' names."""
    bunch = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(bunch.data))
    train_rows, test_rows = order[150:], order[:150]
    mean, scale = bunch.data[train_rows].mean(axis=0), bunch.data[train_rows].std(axis=0)
    x = torch.as_tensor((bunch.data - mean) / scale, dtype=torch.float32)
    y = torch.as_tensor(bunch.target)
    names = [str(name) for name in bunch.feature_names]
    return x[train_rows], y[train_rows], x[test_rows], y[test_rows], names


def costs_of(names: list[str]) -> list[float]:
    """Return what moving each feature by a standard deviation costs."""
    return [math.inf if any(m in name for m in MEASURED) else 1.0 for name in names]


def main() -> None:
    """Train three networks, and measure each in both balls."""
    x, y, x_test, y_test, names = load_arrays()
    costs = costs_of(names)
    fixed = costs.count(math.inf)
    print(f"{fixed} of {len(costs)} features cannot be changed; L1 radius {RADIUS}")
    print(f"{'trained with':24}{'clean':>7}{'uniform costs':>21}{'immutable features':>21}")
    print(f"{'':31}{'attacked':>11}{'proven':>10}{'attacked':>11}{'proven':>10}")
    trainings = {
        "nominal": ("nominal", None),
        "rub, uniform costs": ("rub", None),
        "rub, immutable features": ("rub", costs),
    }
    for label, (defense, paid) in trainings.items():
        net = networks.build("mlp-2x64", len(names), 2, num_networks=1, seed=0)
        train(
            net,
            x,
            y,
            defense=defense,
            radius=RADIUS if defense != "nominal" else 0.0,
            costs=paid,
            learning_rate=1e-3,
            batch_size=128,
            steps=STEPS,
            seed=0,
        )
        shares = [keeps(net, x_test, y_test)]
        for ball in (None, costs):
            points = attacks.get("vertex-l1")(net, x_test, y_test, RADIUS, costs=ball)
            proven = certify.certified(net, x_test, y_test, RADIUS, method="best", costs=ball)
            shares += [keeps(net, points, y_test), float(proven.double().mean())]
        clean, *others = shares
        print(f"{label:24}{clean:7.2f}" + "".join(f"{v:11.2f}{w:10.2f}" for v, w in pairs(others)))


def keeps(net: networks.MLP, points: Tensor, labels: Tensor) -> float:
    """Return the share of points that get their label."""
    return float((net(points)[0].argmax(dim=1) == labels).double().mean())


def pairs(values: list[float]) -> list[tuple[float, float]]:
    """Return values two by two."""
    return list(zip(values[::2], values[1::2], strict=True))


if __name__ == "__main__":
    main()
