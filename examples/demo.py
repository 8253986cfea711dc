# %% [markdown]
# # Train, attack, certify
#
# Four networks on the handwritten digits that scikit-learn ships: nominal training, aRUB-L1, RUB
# and vertex-CROWN-L1. Each is attacked in the L1 ball, and certified by RUB's bound and by the
# best of all proofs. Cells begin with `# %%`: editors open this file as a notebook, and
# `python examples/demo.py` runs it.

# %% The data: 8 x 8 images, standardised by the training rows
import os

import matplotlib

if "DISPLAY" not in os.environ:
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from robust import attacks, certify, networks
from robust.train import train

STEPS = int(os.environ.get("DEMO_STEPS", "300"))  # fewer to try it out
SHOWN = int(os.environ.get("DEMO_SHOWN", "100"))  # test images that are attacked and certified

images, labels = load_digits(return_X_y=True)
x, y = torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
x, y = x[order], y[order]
first = len(x) - 400
mean, deviation = x[:first].mean(dim=0), x[:first].std(dim=0)
x = (x - mean) / deviation.where(deviation > 0, torch.ones(()))
x_train, y_train, x_test, y_test = x[:first], y[:first], x[first:][:SHOWN], y[first:][:SHOWN]

# %% Training: one call for each method; `radius` is that of the L1 ball in standardised units
RADIUS = 3.0
METHODS = ("nominal", "arub-l1", "rub", "vertex-crown-l1")
trained = {}
for method in METHODS:
    net = networks.build("mlp-2x64", num_features=64, num_classes=10, num_networks=1, seed=0)
    train(
        net,
        x_train,
        y_train,
        defense=method,
        radius=torch.tensor([0.0 if method == "nominal" else RADIUS]),
        learning_rate=torch.tensor([1e-3]),
        batch_size=32,
        steps=STEPS,
        seed=0,
    )
    trained[method] = net

# %% Attack and proof: the truth lies between what an attack leaves and what a certificate proves
RADII = (0.0, 1.0, 3.0, 5.0)


def share(correct: torch.Tensor) -> float:
    return float(correct.double().mean())


def right(net: networks.MLP, points: torch.Tensor) -> torch.Tensor:
    return net(points)[0].argmax(dim=1) == y_test


attacked = {
    method: [
        share(right(net, attacks.get("vertex-l1")(net, x_test, y_test, radius=r))) for r in RADII
    ]
    for method, net in trained.items()
}
proven = {
    method: [
        share(certify.certified(net, x_test, y_test, r, norm="l1", method="best")[0])
        for r in RADII
    ]
    for method, net in trained.items()
}
by_rub = {
    method: [
        share(certify.certified(net, x_test, y_test, r, norm="l1", method="rub")[0]) for r in RADII
    ]
    for method, net in trained.items()
}

print("share of test images at L1 radius     " + "  ".join(f"{r:5g}" for r in RADII))
for method in METHODS:
    for name, found in (("attacked", attacked), ("best proof", proven), ("RUB's proof", by_rub)):
        print(f"{method:16} {name:20}  " + "  ".join(f"{v:5.2f}" for v in found[method]))

# %% The picture: a solid line for what the attack left, a dashed one for what is proven
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for color, method in zip(("black", "tab:blue", "tab:orange", "tab:green"), METHODS, strict=True):
    axes.plot(RADII, attacked[method], color=color, label=method)
    axes.plot(RADII, proven[method], color=color, linestyle="--")
axes.set(xlabel="L1 radius", ylabel="share of test images", ylim=(0, 1.02))
axes.legend(title="attacked (solid), proven (dashed)")
figure.savefig("demo.png", dpi=150)
