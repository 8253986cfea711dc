"""Accuracy of a pack on a whole split: clean, under attack, certified.

Every network of the pack at every radius, in fixed order and in chunks. Examples that a network
misclassifies without attack count as errors and are not attacked.

Legend: P networks in the pack, G networks handled together, N examples, A of them attacked,
R radii, D input features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.base import UNBOUNDED, Attack
from robust.bounds import rub
from robust.checks import check_bounds, check_inputs, check_labels
from robust.networks.linearization import Network
from robust.norms import sample_unit_ball
from robust.seeds import derived_seed

CERTIFIED = "certified-l1"

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


@torch.no_grad()
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

    Args:
        net: P networks.
        x: inputs, [N, D], N >= 1.
        y: labels, [N].
        attack: name of an attack, or certified-l1 for the share of examples certified by RUB.
        radii: true radii, [R], >= 0, strictly increasing.
        bounds: (lo, hi) of the inputs; attacks are clipped to them.
        seed: of the attack's random starts; each radius has its own.
        chunk: inputs attacked at once; None chooses by device. It changes no result.

    Returns:
        [P, R], float64, in [0, 1].

    Raises:
        ValueError: an unknown attack; shapes, labels, radii or bounds out of range.
    """
    check_inputs(x, net.num_networks, net.num_features)
    check_labels(y, x.shape[0], net.num_classes)
    check_bounds(bounds)
    _check_radii(radii)
    chunk = chunk or CHUNK_ROWS.get(x.device.type, 2**11)
    clean = correct(net, x, y)
    if attack == CERTIFIED:
        counts = _certified_counts(net, x, y, radii, clean)
    else:
        method = attacks.get(attack)
        counts = _attacked_counts(net, x, y, method, radii, clean, bounds, seed, chunk)
    return counts.double() / x.shape[0]


def _check_radii(radii: Tensor) -> None:
    values = radii.tolist()
    increasing = all(a < b for a, b in zip(values, values[1:], strict=False))
    if not values or not increasing or not all(0 <= r < float("inf") for r in values):
        raise ValueError(f"radii must be finite, at least 0 and strictly increasing, got {values}")


def _certified_counts(net: Network, x: Tensor, y: Tensor, radii: Tensor, clean: Tensor) -> Tensor:
    # What is not certified at one radius is not at any larger one (the bound grows with the
    # radius), so each radius looks only at what the one before certified.
    counts = torch.zeros(net.num_networks, len(radii), dtype=torch.int64)
    for p in range(net.num_networks):
        alone, left = net.subset([p]), clean[p].nonzero().squeeze(1)
        for r, radius in enumerate(radii.tolist()):
            if len(left):
                bounds = rub.search(alone, x[left], y[left], x.new_full((1, 1), radius))[0]
                left = left[(bounds[0] < 0).all(dim=-1)]
            counts[p, r] = len(left)
    return counts


def _attacked_counts(
    net: Network,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    radii: Tensor,
    clean: Tensor,
    bounds: tuple[float, float],
    seed: int,
    chunk: int,
) -> Tensor:
    counts = torch.zeros(net.num_networks, len(radii), dtype=torch.int64, device=x.device)
    counts[:, radii == 0] = clean.sum(dim=1, keepdim=True)
    positive = [r for r, radius in enumerate(radii.tolist()) if radius > 0]
    group = GROUP.get(x.device.type, 1)
    for first in range(0, net.num_networks, group):
        networks = list(range(net.num_networks))[first : first + group]
        pack, (index, real) = net.subset(networks), _correct_first(clean[networks])
        for block, at in _blocks(positive, index.shape[1], max(1, chunk // len(networks))):
            starts = _starts(attack, x, radii, block, seed)
            rows, robust = index[:, at], real[:, at].unsqueeze(1)
            robust = robust & _survives(
                pack, x, y, attack, radii[block].to(x), rows, starts, bounds
            )
            counts[first : first + len(networks), block] += robust.sum(dim=2)
    return counts.cpu()


def _correct_first(clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices [G, A] of correct examples, padded by others, and which are real."""
    ordered = clean.to(torch.int8).sort(dim=1, descending=True, stable=True)
    most = int(clean.sum(dim=1).max())
    return ordered.indices[:, :most], ordered.values[:, :most].bool()


def _blocks(radii: list[int], examples: int, chunk: int) -> Iterator[tuple[list[int], slice]]:
    """Cut radii x examples into blocks of at most `chunk` inputs (at least one)."""
    if not examples:
        return
    wide = max(1, chunk // examples)
    tall = examples if wide > 1 else min(examples, chunk)
    for r in range(0, len(radii), wide):
        for i in range(0, examples, tall):
            yield radii[r : r + wide], slice(i, i + tall)


def _starts(
    attack: Attack, x: Tensor, radii: Tensor, block: list[int], seed: int
) -> list[Tensor] | None:
    """Return each radius's random starts in the unit ball, [N, D]: the same for all networks."""
    if not attack.random:
        return None
    starts = []
    for radius in radii[block].tolist():
        generator = torch.Generator().manual_seed(derived_seed(seed, attack.name, radius))
        like = torch.empty((), dtype=x.dtype)
        starts.append(sample_unit_ball(tuple(x.shape), attack.norm, like, generator).to(x.device))
    return starts


def _survives(
    pack: Network,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    radii: Tensor,
    index: Tensor,
    starts: list[Tensor] | None,
    bounds: tuple[float, float],
) -> Tensor:
    """Return whether each attacked example keeps its class, [G, len(radii), A]."""
    group, attacked = index.shape
    inputs = x[index].repeat(1, len(radii), 1)
    labels = y[index].repeat(1, len(radii))
    noise = None if starts is None else torch.cat([s[index] for s in starts], dim=1)
    each = radii.repeat_interleave(attacked).unsqueeze(0)
    x_adv = attack.perturb(pack, inputs, labels, each, bounds, None, noise=noise)
    keeps: Tensor = pack(x_adv).argmax(dim=2) == labels
    return keeps.view(group, len(radii), attacked)
