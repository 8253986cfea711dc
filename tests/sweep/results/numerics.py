"""What training and evaluation give today on a few small inputs, by numerics version.

    python -m tests.sweep.results.numerics

adds to the file of the current `NUMERICS_VERSION` in `tests/golden/numerics` what it has no values
of, and changes none that is there: values that differ belong to a version yet to be raised. All is
computed in float64, so that rounding, which differs by processor and by the order of sums, stays
far below any change of a formula.

Legend: P networks in the pack.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from robust import attacks, certify, defenses, losses, networks
from robust.supports import supports
from robust.train import train
from sweep.results.schema import NUMERICS_VERSION

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "numerics"
# Relative, absolute below 1. Other vector instructions (ATEN_CPU_CAPABILITY=default), threads and
# versions of MKL's sums moved these values by 3e-13 at most; Adam's eps changed by a thousandth
# moves those of every defense by 8e-10 or more.
TOLERANCE = 1e-10

_SHAPES: Mapping[str, tuple[int, ...]] = {"mlp-2x6": (5,), "cnn": (4, 4, 1)}
_CLASSES, _EXAMPLES, _STEPS = 3, 12, 4


def path_of(version: int) -> Path:
    """The file of a numerics version."""
    return FOLDER / f"{version}.json"


def read(version: int) -> dict[str, list[float]]:
    """The values of a numerics version, by case; none where it has no file."""
    path = path_of(version)
    found: dict[str, list[float]] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def write(version: int, found: Mapping[str, list[float]]) -> None:
    """Write the values of a numerics version, a case in each line."""
    lines = [f"{json.dumps(case)}: {json.dumps(found[case])}" for case in sorted(found)]
    path_of(version).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two lists of values differ by more than rounding."""
    pairs = zip(one, other, strict=False)
    near = all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in pairs)
    return len(one) != len(other) or not near


def cases() -> list[str]:
    """Every case that this program has: KIND METHOD NETWORK."""
    kinds = {
        "train": defenses.names(),
        "loss": losses.LOSSES.names(),
        "attack": attacks.names(),
        "certificate": ("certified-l1", "certified-l1-tight"),
    }
    return [
        f"{kind} {name} {network}"
        for kind, names in kinds.items()
        for name in names
        for network in _SHAPES
        if kind == "loss" or supports(network, name)
    ]


def values(case: str) -> list[float]:
    """What this program gives in a case.

    Args:
        case: of `cases`.
    """
    kind, name, network = case.split()
    return _KINDS[kind](name, network)


def _data(network: str) -> tuple[Tensor, Tensor]:
    """Inputs and labels without structure, by a formula: no generator of numbers may differ."""
    features = torch.Size(_SHAPES[network]).numel()
    place = torch.arange(_EXAMPLES * features, dtype=torch.float64).view(_EXAMPLES, features)
    return torch.sin(place**1.5), torch.arange(_EXAMPLES) % _CLASSES


def _pack(network: str, num_networks: int = 2) -> networks.MLP | networks.CNN:
    shape = _SHAPES[network]
    features = torch.Size(shape).numel()
    made = networks.build(network, features, _CLASSES, num_networks, seed=3, input_shape=shape)
    return made.double()


def _summary(value: Tensor) -> list[float]:
    """Two numbers of each network, in which an entry that changes or moves shows."""
    flat = value.detach().flatten(1)
    weights = torch.cos(torch.arange(flat.shape[1], dtype=flat.dtype) + 1)
    parts = torch.stack([flat.square().mean(1), (flat * weights).sum(1)], dim=1)
    return [float(number) for number in parts.flatten()]


def _trained(defense: str, network: str, loss: str = "cross-entropy") -> list[float]:
    net = _pack(network)
    x, y = _data(network)
    train(
        net,
        x,
        y,
        defense=defense,
        radius=torch.tensor([0.1, 0.2]),
        learning_rate=torch.tensor([1e-2, 1e-3]),
        batch_size=5,
        steps=_STEPS,
        seed=7,
        bounds=(-1.0, 1.0),
        loss=loss,
    )
    return [number for p in net.parameters() for number in _summary(p)]


def _with_loss(loss: str, network: str) -> list[float]:
    return _trained("nominal", network, loss)


def _attacked(attack: str, network: str) -> list[float]:
    x, y = _data(network)
    generator = torch.Generator().manual_seed(5)
    moved = attacks.get(attack)(_pack(network), x, y, 0.2, bounds=(-1.0, 1.0), generator=generator)
    return _summary(moved)


def _certified(certificate: str, network: str) -> list[float]:
    bound = {
        "certified-l1": certify.worst_case_differences,
        "certified-l1-tight": certify.worst_case_differences_tight,
    }[certificate]
    return _summary(bound(_pack(network), *_data(network), 0.2))


_KINDS = {
    "train": _trained,
    "loss": _with_loss,
    "attack": _attacked,
    "certificate": _certified,
}


def main() -> int:
    """Add what the current version lacks; return the exit code."""
    known = read(NUMERICS_VERSION)
    added = {case: values(case) for case in cases() if case not in known}
    FOLDER.mkdir(parents=True, exist_ok=True)
    write(NUMERICS_VERSION, {**known, **added})
    print(f"numerics version {NUMERICS_VERSION}: {len(known)} cases kept, {len(added)} added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
