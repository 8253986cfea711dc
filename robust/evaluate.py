"""Accuracy of a pack on a whole split: clean, under attack, certified.

Every network of the pack at every radius, in fixed order and in chunks. Examples that a network
misclassifies without attack count as errors and are not attacked. Unless `nested` is set, what
survives at one radius does not depend on the other radii.

What is certified here is certified of the networks as they run, in their own precision
(`robust.evaluation.subject`): no attack in that precision finds anything against it.

Legend: P networks in the pack, N examples, R radii, D input features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.base import UNBOUNDED, Attack
from robust.attacks.gradient import GradientAttack
from robust.bounds import methods
from robust.checks import (
    Numbers,
    check_batch,
    check_bounds,
    check_costs,
    check_count,
    check_radii,
    check_seed,
)
from robust.evaluation.accuracies import Accuracies
from robust.evaluation.attack_batches import CHUNK_ROWS, GROUP, OnPoints, Run, attacked
from robust.evaluation.clean import correct as correct
from robust.evaluation.clean import correct_of
from robust.evaluation.proofs import prover
from robust.evaluation.settled import skips
from robust.evaluation.subject import AS_RUN
from robust.loaders import Loader, gathered, moved
from robust.networks.linearization import Network
from robust.norms import Norm
from robust.registry import is_weighted, unweighted


@dataclass(frozen=True)
class Certificate:
    """A row of certified accuracies: what is proven, by which method."""

    method: str
    norm: Norm


CERTIFIED = "certified-l1"  # the paper's, RUB
CERTIFIED_TIGHT = "certified-l1-tight"  # with t optimised
BEST_CERTIFICATES = {
    "certified-l1-best": Certificate("best", "l1"),
    "certified-l2": Certificate("best", "l2"),
    "certified-linf": Certificate("best", "linf"),
}
CERTIFICATES: Mapping[str, Certificate] = {
    CERTIFIED: Certificate("rub", "l1"),
    CERTIFIED_TIGHT: Certificate("rub-tight", "l1"),
    **BEST_CERTIFICATES,
}
ENGINES = ("packed", "foolbox")


def certificate_of(attack: str) -> Certificate | None:
    """Return what a row certifies, in plain balls or in those with costs; None of an attack."""
    return CERTIFICATES.get(unweighted(attack))


def evaluate(
    net: Network,
    x: Numbers | Loader,
    y: Numbers | None = None,
    *,
    attack: str,
    radii: Numbers,
    bounds: tuple[float, float] = UNBOUNDED,
    seed: int = 0,
    chunk: int | None = None,
    costs: Numbers | None = None,
    device: str | torch.device | None = None,
) -> Accuracies:
    """Return the accuracy of every network at every radius: a tensor that prints as a table.

    Args and Raises are those of `survivors`, but for

    Args:
        x: inputs, or a DataLoader of inputs and labels, which is read once.
        y: labels; None with a DataLoader.
        device: move the network there first, and the tensors that are given; None: all stay.

    Returns:
        [P, R], float64, in [0, 1].
    """
    if device is not None:
        x, y = moved(net, device, x, y)
    x, y = gathered(net, x, y)
    kept = survivors(
        net,
        x,
        y,
        attack=attack,
        radii=radii,
        bounds=bounds,
        seed=seed,
        chunk=chunk,
        costs=costs,
    )
    values = torch.as_tensor(radii, dtype=torch.float64).flatten().tolist()
    return Accuracies.of(kept.double().mean(dim=2), attack, values, kept.shape[2])


@torch.no_grad()
def survivors(
    net: Network,
    x: Numbers,
    y: Numbers,
    *,
    attack: str,
    radii: Numbers,
    bounds: tuple[float, float] = UNBOUNDED,
    seed: int = 0,
    chunk: int | None = None,
    nested: bool = False,
    engine: str = "packed",
    restarts: int | None = None,
    record: bool = False,
    on_points: OnPoints | None = None,
    safe: Tensor | None = None,
    costs: Numbers | None = None,
) -> Tensor:
    """Return which examples keep their class under an attack, or are certified to.

    Certificates hold in exact arithmetic (`robust.certify`). What an attack finds against them on
    the network as it runs is for `on_points` to compare (`robust.evaluation.soundness`).

    Args:
        net: P networks.
        x: inputs, [N, D], N >= 1, of any real type; taken to the network's.
        y: labels, [N], of any integer type.
        attack: name of an attack, or of a certificate: `CERTIFICATES` has what proves each.
        radii: true radii, [R], >= 0, strictly increasing.
        bounds: (lo, hi), in which all inputs lie; attacks are clipped to them.
        seed: of the attack's random starts; each radius has its own.
        chunk: inputs attacked at once; None chooses by device. It changes no result.
        nested: do not attack again what was broken at a smaller radius (the balls are nested).
        engine: packed, or foolbox to run foolbox itself on one network at a time.
        restarts: of attacks that keep the best of several starts; None is their default.
        record: record a gradient attack's step once and replay it, where the device can.
        on_points: sees every adversarial input that is found.
        safe: what no attack in these balls can break (`robust.evaluation.settled`), [P, R, N]: it
            is not attacked, and counted as kept where it is classified correctly. Attacks that
            make no use of it run in full.
        costs: > 0, [D], for the L1 ball sum_m c_m |delta_m| <= radius; infinite where a feature
            cannot be moved. None is 1 for all.

    Returns:
        [P, R, N], boolean, on the CPU.

    Raises:
        ValueError: an unknown attack or engine; no inputs; inputs that are not finite or lie
            outside the bounds; shapes, types or devices that do not fit; labels, radii, bounds,
            costs, seed or counts out of range; costs where the attack or certificate takes none,
            or none where it is named by them.
    """
    x, y = check_batch(net, x, y, shared=True)
    bounds, seed = check_bounds(bounds, x), check_seed(seed)
    radii = check_radii(radii, x)
    chunk = None if chunk is None else check_count("chunk", chunk)
    prices = None if costs is None else check_costs(costs, net)
    if prices is None and is_weighted(attack):
        raise ValueError(f"attack {attack!r} is one in a ball with costs; give costs")
    certificate = certificate_of(attack)
    method = _method(attack, engine, restarts, record, prices) if certificate is None else None
    if method is None:
        assert certificate is not None
        methods.get(certificate.method).check(net, certificate.norm, prices is not None)
        clean = correct_of(net, x, y)
        return _certified(net, x, y, radii, clean, certificate, prices).cpu()
    rows = chunk or CHUNK_ROWS.get(x.device.type, CHUNK_ROWS["cpu"])
    width = max(1, rows // min(net.num_networks, GROUP.get(x.device.type, 1)))
    run = Run(net, x, y, method, bounds, seed, width, on_points)
    clean = torch.cat([correct_of(pack, x, y) for _, pack in run.groups])
    kept = clean.unsqueeze(1).repeat(1, len(radii), 1)
    positive = [r for r, radius in enumerate(radii.tolist()) if radius > 0]
    together = [[r] for r in positive] if nested else [positive]
    known = torch.zeros_like(kept)
    if safe is not None and skips(method):
        known = kept & safe.to(kept.device)
    active = clean
    for levels in together:
        open_ = active.unsqueeze(1) & ~known[:, levels]
        kept[:, levels] = known[:, levels] | attacked(run, radii, levels, open_)
        if nested:
            active = kept[:, levels[-1]]
    return kept.cpu()


def _method(
    attack: str, engine: str, restarts: int | None, record: bool, costs: Tensor | None
) -> Attack:
    method = attacks.get(attack).with_costs(costs)
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if restarts is not None:
        check_count("restarts", restarts)
    if engine == "foolbox":
        from robust.evaluation.foolbox_engine import FoolboxAttack  # foolbox is imported only here

        return FoolboxAttack.of(method)  # refuses costs
    if not isinstance(method, GradientAttack):
        return method
    if restarts is None or not method.keep_best:
        restarts = method.restarts
    return replace(method, restarts=restarts, record=record)


def _certified(
    net: Network,
    x: Tensor,
    y: Tensor,
    radii: Tensor,
    clean: Tensor,
    certificate: Certificate,
    costs: Tensor | None,
) -> Tensor:
    """Return what is certified, [P, R, N]; at each radius as if it were the only one."""
    kept = torch.zeros(net.num_networks, len(radii), x.shape[0], dtype=torch.bool)
    ladder = radii.to(x.device, torch.float64)
    for p in range(net.num_networks):
        some = clean[p].nonzero().squeeze(1)
        own = prover(
            net.subset([p]), certificate.method, certificate.norm, costs, precision=AS_RUN
        )
        kept[p][:, some.cpu()] = own.proven(x[some], y[some], ladder).cpu()
    return kept
