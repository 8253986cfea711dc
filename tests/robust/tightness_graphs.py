"""How tight the bounds of walks over graphs are on trained networks: a table of docs/bounds.md.

    python -m tests.robust.tightness_graphs

Residual networks on sets of the bundled source. For each, the mean over test examples of the
largest radius that a method certifies; misclassified examples count as 0.
"""

from __future__ import annotations

from torch import Tensor

from robust import certify
from robust.networks import AnyPack
from tests.robust.tightness import DEFENSES, EXAMPLES, split, trained

NETWORK = "resmlp-2x64"
COLUMNS = (
    *(("l1", method) for method in ("interval", "crown", "rub")),
    *(("l2", method) for method in ("interval", "crown")),
    *(("linf", method) for method in ("interval", "crown")),
)


def row(net: AnyPack, x: Tensor, y: Tensor) -> list[str]:
    """Return the share of correct examples and the mean certified radii."""
    correct = float((net(x)[0].argmax(dim=1) == y).double().mean())
    radii = [
        certify.certified_radius(net, x, y, norm, method).mean()  # type: ignore[arg-type]
        for norm, method in COLUMNS
    ]
    return [f"{correct:.2f}", *(f"{float(radius):.3f}" for radius in radii)]


def main() -> None:
    """Print the table."""
    heads = [f"{norm.upper()} {method}" for norm, method in COLUMNS]
    print("| " + " | ".join(["set", "defense", "correct", *heads]) + " |")
    print("|---" * (3 + len(heads)) + "|")
    for name in ("wine", "breast cancer"):
        x, y, x_test, y_test = split(name)
        for defense in DEFENSES:
            net = trained(x, y, NETWORK, defense)
            cells = row(net, x_test[:EXAMPLES].double(), y_test[:EXAMPLES])
            print("| " + " | ".join([name, defense, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
