"""Attack the examples of a split in chunks that fit the device.

On a CPU every chunk has the same shape, filled up where there is too little to attack: the
rounding of a product depends on its shape, so an example's result depends on nothing but the
example, the network and the radius. What is attacked beside it does not matter, to the last bit.

Legend: P networks in the pack, G networks handled together, N examples, A of them attacked,
R radii, C inputs of a chunk, D input features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

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
# Inputs of one chunk where all have the same shape: few, so that little is filled up.
FIXED_ROWS = {"cpu": 2**8}
# Numbers of random starts that are drawn at once, for several radii.
_START_NUMBERS = 2**22
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
    """Return which active examples keep their class at the radii of these indices.

    Args:
        run: what all chunks share.
        radii: true radii, [R].
        levels: indices of radii.
        active: what is to be attacked at each of them, [P, len(levels), N], boolean.

    Returns:
        [P, len(levels), N], boolean; false where nothing was attacked.
    """
    kept = torch.zeros_like(active)
    together = 1 if run.attack.joint else max(1, _START_NUMBERS // max(1, run.x.numel()))
    for first in range(0, len(levels), together):
        some = list(range(first, min(first + together, len(levels))))
        values = radii[[levels[i] for i in some]].to(run.x)
        starts = _Starts(run, values.tolist())
        for networks, pack in run.groups:
            for chunk in _chunks(run, active[networks, some[0] : some[-1] + 1]):
                x_adv, keeps = _attack(run, pack, values, chunk, starts)
                for position, at in chunk.levels:
                    index, survives = chunk.examples[:, at], keeps[:, at]
                    if run.on_points is not None:
                        found = x_adv[:, None, at], survives.unsqueeze(1)
                        here = [levels[some[position]]]
                        run.on_points(AttackedPoints(networks, here, index, *found))
                    here_kept = kept[networks, some[position]]
                    whole = torch.zeros_like(here_kept)
                    here_kept |= whole.scatter(1, index, survives & chunk.real[:, at])
    return kept


@dataclass(frozen=True)
class _Chunk:
    """Inputs attacked at once: examples at some radii.

    Attributes:
        examples: indices, [G, C]; each network has its own.
        radius: position among the radii at hand, increasing, [C].
        real: what is to be attacked, [G, C]; the others fill up the shape.
        levels: each radius of what any network needs, and where it is.
    """

    examples: Tensor
    radius: Tensor
    real: Tensor
    levels: tuple[tuple[int, slice], ...]


class _Starts:
    """The random starts at some radii, drawn when first asked for."""

    def __init__(self, run: Run, radii: list[float]) -> None:
        self.run, self.radii = run, radii
        self.drawn: dict[tuple[int, int], Tensor] = {}

    def rows(self, chunk: _Chunk, attempt: int) -> Tensor:
        """The starts of a chunk, [G, C, D]."""
        found = self.run.x.new_empty(*chunk.examples.shape, self.run.x.shape[1])
        for level, at in chunk.levels:
            if (level, attempt) not in self.drawn:
                self.drawn[level, attempt] = self.run.starts(self.radii[level], attempt)
            # What fills up the shape, at the end, is of the last radius.
            here = slice(at.start, None)
            found[:, here] = self.drawn[level, attempt][chunk.examples[:, here]]
        return found


def _active_first(active: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices [G, A] of active examples, [G, N], and which are real, not padding."""
    counts = active.sum(dim=1, keepdim=True)
    most = int(counts.max())
    place = torch.where(active, active.cumsum(dim=1) - 1, most)  # the others share a last column
    every = torch.arange(active.shape[1], device=active.device).expand_as(active)
    index = every.new_zeros(len(active), most + 1).scatter_(1, place, every)
    return index[:, :most], torch.arange(most, device=active.device) < counts


def _chunks(run: Run, active: Tensor) -> Iterator[_Chunk]:
    """Cut the active examples of some networks at some radii, [G, radii, N], into chunks."""
    parts = [_active_first(active[:, level]) for level in range(active.shape[1])]
    index = torch.cat([at for at, _ in parts], dim=1)
    real = torch.cat([which for _, which in parts], dim=1)
    counts = [at.shape[1] for at, _ in parts]
    ends = list(accumulate(counts))
    level = torch.arange(len(counts), device=index.device)
    level = level.repeat_interleave(torch.tensor(counts, device=index.device))
    total = ends[-1]
    fixed = None if run.attack.joint else FIXED_ROWS.get(run.x.device.type)
    size = run.chunk if fixed is None else min(fixed, run.chunk)
    for first in range(0, total, size):
        stop = min(first + size, total)
        at = torch.arange(first, stop if fixed is None else first + size, device=index.device)
        needed, at = at < stop, at.clamp_max(total - 1)
        overlaps = [
            (e, _overlap(end - count, end, first, stop))
            for e, (end, count) in enumerate(zip(ends, counts, strict=True))
            if end > first and end - count < stop and count
        ]
        yield _Chunk(index[:, at], level[at], real[:, at] & needed, tuple(overlaps))


def _overlap(start: int, end: int, first: int, stop: int) -> slice:
    """Return where start..end lies within first..stop, counted from first."""
    return slice(max(start, first) - first, min(end, stop) - first)


def _attack(
    run: Run, pack: Network, radii: Tensor, chunk: _Chunk, starts: _Starts
) -> tuple[Tensor, Tensor]:
    """Return adversarial inputs, [G, C, D], and whether each keeps its class, [G, C]."""
    inputs, labels = run.x[chunk.examples], run.y[chunk.examples]
    each = radii[chunk.radius].expand(len(labels), -1)
    x_adv = run.attack.perturb(
        pack, inputs, labels, each, run.bounds, lambda attempt: starts.rows(chunk, attempt)
    )
    return x_adv, is_correct(pack(x_adv), labels)
