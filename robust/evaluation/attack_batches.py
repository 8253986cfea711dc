"""Attack the examples of a split in chunks that fit the device.

Legend: P networks in the pack, G networks handled together, N examples, A of them attacked,
R radii, D input features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robust.attacks.base import Attack
from robust.attacks.margins import is_correct
from robust.networks.linearization import Network
from robust.norms import sample_unit_ball
from robust.seeds import derived_seed

# Inputs (networks x examples x radii) attacked at once. On a CPU the activations of a chunk
# should stay in the cache, on a GPU they should fill the device.
CHUNK_ROWS = {"cpu": 2**11, "cuda": 2**18}
# Networks attacked together: on a CPU one, so that no row is spent on padding.
GROUP = {"cpu": 1, "cuda": 128}


@dataclass(frozen=True)
class AttackedPoints:
    """What an attack found for some networks, radii and examples.

    Attributes:
        networks: which of the pack.
        radii: indices of the radii.
        examples: indices, [G, A]; each network has its own.
        x_adv: [G, len(radii), A, D].
        keeps: whether the network keeps the class there, [G, len(radii), A].
    """

    networks: slice
    radii: list[int]
    examples: Tensor
    x_adv: Tensor
    keeps: Tensor


OnPoints = Callable[[AttackedPoints], None]


@dataclass(frozen=True)
class Run:
    """What all chunks of one attack share."""

    net: Network
    x: Tensor
    y: Tensor
    attack: Attack
    bounds: tuple[float, float]
    seed: int
    chunk: int
    on_points: OnPoints | None = None

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


def attacked(run: Run, radii: Tensor, levels: list[int], active: Tensor) -> Tensor:
    """Return which active examples, [P, N], keep their class at the radii of these indices.

    Returns:
        [P, len(levels), N], boolean.
    """
    kept = torch.zeros(active.shape[0], len(levels), active.shape[1], dtype=torch.bool)
    kept = kept.to(run.x.device)
    most = int(active.sum(dim=1).max())
    for some, at in _chunks(len(levels), most, run.chunk):
        values = radii[[levels[i] for i in some]].to(run.x)
        starts = _Starts(run, values.tolist())
        for networks, pack in run.groups:
            index, real = _active_first(active[networks])
            index, real = index[:, at], real[:, at].unsqueeze(1)
            if index.shape[1]:
                points = _attack(run, pack, values, index, starts)
                if run.on_points is not None:
                    here = [levels[i] for i in some]
                    run.on_points(AttackedPoints(networks, here, index, *points))
                survives = points[1] & real
                rows = index.unsqueeze(1).expand(-1, len(some), -1)
                whole = torch.zeros_like(kept[networks, some])
                kept[networks, some] |= whole.scatter(2, rows, survives)
    return kept


class _Starts:
    """The random starts at some radii, drawn when first asked for."""

    def __init__(self, run: Run, radii: list[float]) -> None:
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


def _chunks(radii: int, examples: int, chunk: int) -> Iterator[tuple[list[int], slice]]:
    """Cut radii x examples into chunks of at most `chunk` inputs (at least one)."""
    if not examples:
        return
    wide = max(1, chunk // examples)
    tall = examples if wide > 1 else min(examples, chunk)
    for r in range(0, radii, wide):
        for i in range(0, examples, tall):
            yield list(range(r, min(r + wide, radii))), slice(i, i + tall)


def _attack(
    run: Run, pack: Network, radii: Tensor, index: Tensor, starts: _Starts
) -> tuple[Tensor, Tensor]:
    """Return adversarial inputs, [G, len(radii), A, D], and whether each keeps its class."""
    group, attacked = index.shape
    inputs = run.x[index].repeat(1, len(radii), 1)
    labels = run.y[index].repeat(1, len(radii))
    each = radii.repeat_interleave(attacked).expand(group, -1)
    x_adv = run.attack.perturb(
        pack, inputs, labels, each, run.bounds, lambda attempt: starts.rows(index, attempt)
    )
    keeps = is_correct(pack(x_adv), labels)
    shape = (group, len(radii), attacked)
    return x_adv.view(*shape, -1), keeps.view(shape)
