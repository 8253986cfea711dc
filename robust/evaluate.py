"""Accuracy of a pack on a whole split: clean, under attack, certified.

Every network of the pack at every radius, in fixed order and in chunks. Examples that a network
misclassifies without attack count as errors and are not attacked.

Legend: P networks in the pack, G networks handled together, N examples, A of them attacked,
R radii, D input features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.base import UNBOUNDED, Attack
from robust.bounds.certifier import Certifier
from robust.checks import check_bounds, check_inputs, check_labels
from robust.networks.linearization import Network
from robust.norms import sample_unit_ball
from robust.seeds import derived_seed

CERTIFIED = "certified-l1"
CERTIFIED_TIGHT = "certified-l1-tight"  # with t optimised
CERTIFICATES = (CERTIFIED, CERTIFIED_TIGHT)
ENGINES = ("packed", "foolbox")

# Inputs (networks x examples x radii) attacked at once. On a CPU the activations of a chunk
# should stay in the cache, on a GPU they should fill the device.
CHUNK_ROWS = {"cpu": 2**11, "cuda": 2**18}
# Networks attacked together: on a CPU one, so that no row is spent on padding.
GROUP = {"cpu": 1, "cuda": 128}


@torch.no_grad()
def correct(net: Network, x: Tensor, y: Tensor, chunk_rows: int = 2**14) -> Tensor:
    """Return which examples each network classifies correctly, [P, N], boolean."""
    parts = [
        net(x[at]).argmax(dim=2) == y[at]
        for at in (slice(i, i + chunk_rows) for i in range(0, x.shape[0], chunk_rows))
    ]
    return torch.cat(parts, dim=1)


def evaluate(
    net: Network,
    x: Tensor,
    y: Tensor,
    *,
    attack: str,
    radii: Tensor,
    bounds: tuple[float, float] = UNBOUNDED,
    seed: int = 0,
    chunk: int | None = None,
) -> Tensor:
    """Return the accuracy of every network at every radius.

    Args and Raises are those of `survivors`.

    Returns:
        [P, R], float64, in [0, 1].
    """
    kept = survivors(net, x, y, attack=attack, radii=radii, bounds=bounds, seed=seed, chunk=chunk)
    return kept.double().mean(dim=2)


@torch.no_grad()
def survivors(
    net: Network,
    x: Tensor,
    y: Tensor,
    *,
    attack: str,
    radii: Tensor,
    bounds: tuple[float, float] = UNBOUNDED,
    seed: int = 0,
    chunk: int | None = None,
    nested: bool = False,
    engine: str = "packed",
) -> Tensor:
    """Return which examples keep their class under an attack, or are certified to.

    Args:
        net: P networks.
        x: inputs, [N, D], N >= 1.
        y: labels, [N].
        attack: name of an attack, or certified-l1 for certificates by RUB.
        radii: true radii, [R], >= 0, strictly increasing.
        bounds: (lo, hi) of the inputs; attacks are clipped to them.
        seed: of the attack's random starts; each radius has its own.
        chunk: inputs attacked at once; None chooses by device. It changes no result.
        nested: do not attack again what was broken at a smaller radius (the balls are nested).
        engine: packed, or foolbox to run foolbox itself on one network at a time.

    Returns:
        [P, R, N], boolean, on the CPU.

    Raises:
        ValueError: an unknown attack or engine; shapes, labels, radii or bounds out of range.
    """
    check_inputs(x, net.num_networks, net.num_features)
    check_labels(y, x.shape[0], net.num_classes)
    check_bounds(bounds)
    _check_radii(radii)
    clean = correct(net, x, y)
    if attack in CERTIFICATES:
        return _certified(net, x, y, radii, clean, attack == CERTIFIED_TIGHT).cpu()
    method = _with_engine(attack, engine)
    width = chunk or CHUNK_ROWS.get(x.device.type, CHUNK_ROWS["cpu"])
    run = _Run(net, x, y, method, bounds, seed, width)
    kept = clean.unsqueeze(1).repeat(1, len(radii), 1)
    positive = [r for r, radius in enumerate(radii.tolist()) if radius > 0]
    blocks = [[r] for r in positive] if nested else [positive]
    active = clean
    for block in blocks:
        kept[:, block] = _attacked(run, radii, block, active)
        if nested:
            active = kept[:, block[-1]]
    return kept.cpu()


def _with_engine(attack: str, engine: str) -> Attack:
    method = attacks.get(attack)
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if engine == "packed":
        return method
    from robust.attacks.foolbox_engine import FoolboxAttack  # foolbox is imported only here

    return FoolboxAttack.of(method)


def _check_radii(radii: Tensor) -> None:
    values = radii.tolist()
    increasing = all(a < b for a, b in zip(values, values[1:], strict=False))
    if not values or not increasing or not all(0 <= r < float("inf") for r in values):
        raise ValueError(f"radii must be finite, at least 0 and strictly increasing, got {values}")


def _certified(
    net: Network, x: Tensor, y: Tensor, radii: Tensor, clean: Tensor, tight: bool
) -> Tensor:
    """Return what is certified, [P, R, N]: the bound grows with the radius."""
    kept = torch.zeros(net.num_networks, len(radii), x.shape[0], dtype=torch.bool)
    ladder = radii.to(x.device, torch.float64)
    for p in range(net.num_networks):
        certifier, some = Certifier(net.subset([p])), clean[p].nonzero().squeeze(1)
        low = certifier.largest(x[some], y[some], ladder, tight=tight)
        levels = torch.arange(len(radii), device=x.device).unsqueeze(1)
        kept[p][:, some.cpu()] = (levels <= low).cpu()
    return kept


@dataclass(frozen=True)
class _Run:
    """What all blocks of one attack share."""

    net: Network
    x: Tensor
    y: Tensor
    attack: Attack
    bounds: tuple[float, float]
    seed: int
    chunk: int

    @cached_property
    def groups(self) -> list[tuple[slice, Network]]:
        """Networks attacked together."""
        size, count = GROUP.get(self.x.device.type, 1), self.net.num_networks
        cuts = [slice(p, min(p + size, count)) for p in range(0, count, size)]
        return [(at, self.net.subset(range(count)[at])) for at in cuts]

    def starts(self, radius: float, attempt: int) -> Tensor:
        """Random starts in the unit ball, [N, D]: the same for all networks and chunks."""
        seed = derived_seed(self.seed, self.attack.name, radius, attempt)
        generator = torch.Generator().manual_seed(seed)
        like = torch.empty((), dtype=self.x.dtype)
        noise = sample_unit_ball(tuple(self.x.shape), self.attack.norm, like, generator)
        return noise.to(self.x.device)


def _attacked(run: _Run, radii: Tensor, block: list[int], active: Tensor) -> Tensor:
    """Return which of the active examples keep their class, [P, len(block), N]."""
    kept = torch.zeros(active.shape[0], len(block), active.shape[1], dtype=torch.bool)
    kept = kept.to(run.x.device)
    most = int(active.sum(dim=1).max())
    for some, at in _blocks(len(block), most, run.chunk):
        values = radii[[block[i] for i in some]].to(run.x)
        starts = _Starts(run, values.tolist())
        for networks, pack in run.groups:
            index, real = _active_first(active[networks])
            index, real = index[:, at], real[:, at].unsqueeze(1)
            if index.shape[1]:
                survives = _survives(run, pack, values, index, starts) & real
                rows = index.unsqueeze(1).expand(-1, len(some), -1)
                whole = torch.zeros_like(kept[networks, some])
                kept[networks, some] |= whole.scatter(2, rows, survives)
    return kept


class _Starts:
    """The random starts of one block's radii, drawn when first asked for."""

    def __init__(self, run: _Run, radii: list[float]) -> None:
        self.run, self.radii = run, radii
        self.drawn: dict[int, list[Tensor]] = {}

    def rows(self, index: Tensor, attempt: int) -> Tensor:
        """Starts of some examples at every radius, [G, len(radii) * A, D]."""
        if attempt not in self.drawn:
            self.drawn = {attempt: [self.run.starts(r, attempt) for r in self.radii]}
        return torch.cat([noise[index] for noise in self.drawn[attempt]], dim=1)


def _active_first(active: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices [G, A] of active examples, padded by others, and which are real."""
    ordered = active.to(torch.int8).sort(dim=1, descending=True, stable=True)
    most = int(active.sum(dim=1).max())
    return ordered.indices[:, :most], ordered.values[:, :most].bool()


def _blocks(radii: int, examples: int, chunk: int) -> Iterator[tuple[list[int], slice]]:
    """Cut radii x examples into blocks of at most `chunk` inputs (at least one)."""
    if not examples:
        return
    wide = max(1, chunk // examples)
    tall = examples if wide > 1 else min(examples, chunk)
    for r in range(0, radii, wide):
        for i in range(0, examples, tall):
            yield list(range(r, min(r + wide, radii))), slice(i, i + tall)


def _survives(run: _Run, pack: Network, radii: Tensor, index: Tensor, starts: _Starts) -> Tensor:
    """Return whether each attacked example keeps its class, [G, len(radii), A]."""
    group, attacked = index.shape
    inputs = run.x[index].repeat(1, len(radii), 1)
    labels = run.y[index].repeat(1, len(radii))
    each = radii.repeat_interleave(attacked).unsqueeze(0)
    x_adv = run.attack.perturb(
        pack, inputs, labels, each, run.bounds, lambda attempt: starts.rows(index, attempt)
    )
    keeps: Tensor = pack(x_adv).argmax(dim=2) == labels
    return keeps.view(group, len(radii), attacked)
