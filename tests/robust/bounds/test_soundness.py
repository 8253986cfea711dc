"""Soundness at scale: no certified (example, radius) pair is broken by any attack.

The judges are all 2D vertices of the ball, random points of its surface, and PGD with restarts;
foolbox's L1PGD alone would be far too weak.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets
from torch import Tensor

from robust import attacks, networks
from robust.attacks.base import UNBOUNDED
from robust.bounds.rounding import round_up
from robust.evaluation.certifier import Certifier
from robust.evaluation.proofs import prover
from robust.losses import class_differences
from robust.networks import MLP
from robust.norms import norm as norm_of
from robust.norms import sample_unit_ball
from robust.train import train

SURFACE_POINTS = 4  # for each pair
UNCLEAR = -1e-3  # a float32 difference above it is looked at again in float64
DEFENSES = ("nominal", "rub")
ATTACKED_BY = {
    "l1": ("pgd-l1", "vertex-l1"),
    "l2": ("pgd-l2", "fgm-l2"),
    "linf": ("pgd-linf", "fgsm-linf"),
}
CORNER: dict[str, Callable[[int], float]] = {
    "l1": lambda d: 1 / d,
    "l2": lambda d: d**-0.5,
    "linf": lambda d: 1.0,
}


def standardized(x: np.ndarray, y: np.ndarray, limit: int) -> tuple[Tensor, Tensor]:
    """Return up to `limit` rows in a fixed random order, and labels 0..K-1."""
    order = np.random.default_rng(0).permutation(len(x))[:limit]
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    return torch.as_tensor(x[order]).float(), torch.as_tensor(
        np.unique(y, return_inverse=True)[1]
    )[order]


def bundled(limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer):
        yield standardized(*load(return_X_y=True), limit)


def uci(folder: Path, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The authors' files whose training part is there; their last column is the label."""
    for path in sorted(folder.glob("imp_*_testX.csv")):
        name = path.name.removeprefix("imp_").removesuffix("_testX.csv")
        parts = [
            (folder / f"imp_{name}_{s}X.csv", folder / f"{name}_{s}Y.csv")
            for s in ("train", "test")
        ]
        if all(file.is_file() for pair in parts for file in pair):
            x = np.concatenate([np.loadtxt(f, delimiter=",", ndmin=2)[:, :-1] for f, _ in parts])
            y = np.concatenate([np.loadtxt(f, delimiter=",").ravel() for _, f in parts])
            if len(x) == len(y) and x.shape[1] <= 100:
                yield standardized(np.nan_to_num(x), y, limit)


def trained(x: Tensor, y: Tensor, network: str, defense: str, steps: int) -> MLP:
    """Two networks trained at different radii."""
    net = networks.build(network, x.shape[1], int(y.max()) + 1, 2, seed=1)
    scale = x.shape[1] ** 0.5 if defense in ("arub-l1", "rub") else 1.0
    train(
        net,
        x,
        y,
        defense=defense,
        radius=torch.tensor([0.03, 0.3]) * scale,
        learning_rate=torch.tensor([0.003, 0.003]),
        batch_size=64,
        steps=steps,
        seed=0,
    )
    return net


def surface_point(x: Tensor, radius: Tensor, generator: torch.Generator) -> Tensor:
    direction = sample_unit_ball(tuple(x.shape), "l1", x, generator)
    length = norm_of(direction, "l1").unsqueeze(1).clamp_min(1e-30)
    return x + radius.unsqueeze(1) * direction / length


def attacked_points(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator, pgd: bool
) -> Iterator[Tensor]:
    """Yield adversarial inputs, each [1, N, D], for a pack of one."""
    at = radius.unsqueeze(0)
    yield attacks.get("vertex-l1").perturb(net, x, y, at, UNBOUNDED, None)
    for _ in range(SURFACE_POINTS):
        yield surface_point(x, radius, generator).unsqueeze(0)
    if pgd:
        attack = attacks.get("pgd-l1-best")
        start = attack.random_starts(x, generator)
        yield attack.perturb(net, x, y, at, UNBOUNDED, start)


def broken(net: MLP, wide: MLP, x: Tensor, y: Tensor, radius: Tensor, pgd: bool) -> int:
    """Return how many examples of a pack of one are broken, decided in float64."""
    generator = torch.Generator().manual_seed(0)
    unclear = torch.zeros(len(x), dtype=torch.bool)
    for x_adv in attacked_points(net, x, y, radius, generator, pgd):
        unclear |= ~(class_differences(net(x_adv), y)[0] <= UNCLEAR).all(dim=1)
    x, y, radius = x[unclear].double(), y[unclear], radius[unclear].double()
    wrong = torch.zeros(len(x), dtype=torch.bool)
    if len(x):
        for x_adv in attacked_points(wide, x, y, radius, generator, pgd=True):
            wrong |= ~(class_differences(wide(x_adv), y)[0] < 0).all(dim=1)
    return int(wrong.sum())


def judged(norm: str, x: Tensor, radius: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield points of the surface of a ball, each [1, N, D]: at random, and with equal steps."""
    for _ in range(SURFACE_POINTS):
        direction = sample_unit_ball(tuple(x.shape), norm, x, generator)
        length = norm_of(direction, norm).unsqueeze(1).clamp_min(1e-30)
        yield (x + radius.unsqueeze(1) * direction / length).unsqueeze(0)
    yield (x + radius.unsqueeze(1) * torch.randn_like(x).sign() * CORNER[norm](x.shape[1]))[None]


@torch.no_grad()
def attack_best_certified(
    net: MLP, x: Tensor, y: Tensor, ladder: Tensor, norm: str
) -> tuple[int, int]:
    """Return the pairs that the best proof certifies and how many are broken, all in float64.

    Args:
        net: one network, float32.
        x: [N, D].
        y: labels, [N].
        ladder: increasing true radii.
        norm: of the balls.
    """
    generator = torch.Generator().manual_seed(0)
    wide = copy.deepcopy(net).double()
    proven = prover(net, "best", norm).proven(x, y, ladder)
    pairs = torch.nonzero(proven.mT, as_tuple=True)
    errors = 0
    for example, level in zip(*(part.split(4096) for part in pairs), strict=True):
        at, labels, radius = x[example].double(), y[example], ladder[level]
        points = [*judged(norm, at, radius, generator)]
        for name in ATTACKED_BY[norm]:
            start = attacks.get(name).random_starts(at, generator)
            balls = radius.unsqueeze(0)
            points.append(attacks.get(name).perturb(wide, at, labels, balls, UNBOUNDED, start))
        lost = [~(class_differences(wide(p), labels)[0] < 0).all(dim=1) for p in points]
        errors += int(torch.stack(lost).any(dim=0).sum())
    return len(pairs[0]), errors


@torch.no_grad()
def attack_all_certified(
    net: MLP, x: Tensor, y: Tensor, ladder: Tensor, pgd: int, tight: bool
) -> tuple[int, int]:
    """Return the number of certified pairs and of broken ones.

    Args:
        net: P networks, float32.
        x: [N, D].
        y: labels, [N].
        ladder: increasing true radii.
        pgd: examples of each network that PGD attacks, at their largest certified radius.
        tight: certify with t optimised.
    """
    pairs = errors = 0
    radii = round_up(ladder, x.dtype)
    for p in range(net.num_networks):
        alone = net.subset([p])
        certifier = Certifier(alone)
        largest = certifier.largest(x, y, ladder, tight=tight)
        example, level = torch.nonzero(
            largest.unsqueeze(1) >= torch.arange(len(ladder)), as_tuple=True
        )
        for i in range(0, len(example), 1024):
            at, radius = example[i : i + 1024], radii[level[i : i + 1024]]
            errors += broken(alone, certifier.exact, x[at], y[at], radius, pgd=False)
        top = (largest >= 0).nonzero().squeeze(1)[:pgd]
        errors += broken(alone, certifier.exact, x[top], y[top], radii[largest[top]], pgd=True)
        pairs += len(example)
    return pairs, errors


def test_certified_pairs_of_bundled_sets_survive() -> None:
    pairs = errors = 0
    ladder = 0.05 * 1.4 ** torch.arange(14, dtype=torch.float64)
    for x, y in bundled(limit=40):
        for defense, tight in (("nominal", True), ("rub", False)):
            net = trained(x, y, "mlp-2x24", defense, steps=40)
            more, lost = attack_all_certified(net, x, y, ladder, pgd=20, tight=tight)
            pairs, errors = pairs + more, errors + lost
    assert pairs > 2000
    assert errors == 0


@pytest.mark.parametrize("norm", ATTACKED_BY)
def test_pairs_of_bundled_sets_that_the_best_proof_certifies_survive(norm: str) -> None:
    ladder = 0.02 * 1.4 ** torch.arange(14, dtype=torch.float64)
    x, y = next(bundled(limit=40))
    net = trained(x, y, "mlp-3x16", "nominal", steps=40).subset([0])
    pairs, errors = attack_best_certified(net, x, y, ladder, norm)
    assert pairs > 100
    assert errors == 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("norm", ATTACKED_BY)
def test_a_million_pairs_that_the_best_proof_certifies_survive(norm: str) -> None:
    pairs = errors = 0
    ladder = 0.001 * 1.02 ** torch.arange(400, dtype=torch.float64)
    for x, y in bundled(limit=600):
        for defense in DEFENSES:
            net = trained(x, y, "mlp-3x50", defense, steps=80)
            for p in range(2):
                more, lost = attack_best_certified(net.subset([p]), x, y, ladder, norm)
                pairs, errors = pairs + more, errors + lost
    print(f"\n{norm}: {pairs} certified pairs attacked, {errors} broken")
    assert errors == 0
    assert pairs >= 10**6


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_certified_pairs_of_real_sets_survive(shared_path: Path) -> None:
    pairs = errors = 0
    ladder = 0.01 * 1.3 ** torch.arange(30, dtype=torch.float64)
    for x, y in uci(shared_path / "data" / "uci", limit=300):
        for defense in DEFENSES:
            for network in ("mlp-1x50", "mlp-3x100"):
                net = trained(x, y, network, defense, steps=80)
                more, lost = attack_all_certified(net, x, y, ladder, pgd=10, tight=False)
                pairs, errors = pairs + more, errors + lost
    print(f"\n{pairs} certified pairs attacked, {errors} broken")
    assert errors == 0
    assert pairs >= 10**6
