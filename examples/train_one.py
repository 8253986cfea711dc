"""From two arrays to a certified network, with nothing but `robust`.

    python examples/train_one.py [picture.png]

Trains a nominal and a robust network on scikit-learn's breast-cancer data, attacks and certifies
them, and plots the share of test examples certified at each L1 radius. Put your own arrays in
place of `load_arrays`: inputs (N, D) and labels (N,) in 0..K-1.
"""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor

from robust import attacks, certify, networks
from robust.train import train


def load_arrays() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training and test inputs and labels, standardised by the training inputs."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x_train, x_test = x[order[100:]], x[order[:100]]
    mean, scale = x_train.mean(axis=0), x_train.std(axis=0)
    return (
        torch.as_tensor((x_train - mean) / scale, dtype=torch.float32),
        torch.as_tensor(y[order[100:]]),
        torch.as_tensor((x_test - mean) / scale, dtype=torch.float32),
        torch.as_tensor(y[order[:100]]),
    )


def main(picture: str) -> None:
    """Train, attack, certify, plot."""
    x, y, x_test, y_test = load_arrays()
    curves = {}
    for defense, radius in (("nominal", 0.0), ("rub", 1.0)):
        net = networks.build("mlp-2x64", x.shape[1], int(y.max()) + 1, num_networks=1, seed=0)
        train(
            net,
            x,
            y,
            defense=defense,
            radius=torch.tensor([radius]),
            learning_rate=torch.tensor([1e-3]),
            batch_size=128,
            steps=300,
            seed=0,
        )
        x_adv = attacks.get("vertex-l1")(net, x_test, y_test, radius=1.0)
        clean, attacked = (
            (net(points)[0].argmax(dim=1) == y_test).double().mean() for points in (x_test, x_adv)
        )
        curves[defense] = certify.certified_radius(net, x_test, y_test)[0]
        proven = (curves[defense] >= 1.0).double().mean()
        print(
            f"{defense:8}  accuracy {clean:.2f}, at L1 radius 1: "
            f"{attacked:.2f} under attack, {proven:.2f} certified"
        )
    plot(curves, picture)
    print(f"certified-radius curve: {picture}")


def plot(curves: dict[str, Tensor], picture: str) -> None:
    """Draw the share of examples certified at each radius."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for defense, radii in curves.items():
        steps = np.sort(radii[radii > 0].numpy())  # 0: misclassified
        axes.step(
            np.concatenate([[0], steps]),
            np.arange(len(steps), -1, -1) / len(radii),
            where="post",
            label=defense,
        )
    axes.set(xlabel="L1 radius", ylabel="certified accuracy", xlim=(0, None), ylim=(0, 1.02))
    axes.legend()
    figure.savefig(picture, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "certified_radius.png")
