"""Evaluate a trained pack on both splits at once, and judge what its accuracies are worth.

What a row says depends on no other row that is measured with it, so that rows may be added later
and equal those of one evaluation of everything.

Legend: P trials of the pack, H of them that did not diverge, R radii of one attack, N samples of
both splits, D input features.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.evaluate import CERTIFICATES, certificate_of, survivors
from robust.evaluation import diagnostics
from robust.evaluation.attack_batches import AttackedPoints, OnPoints
from robust.evaluation.soundness import (
    CertificateCheck,
    Contradiction,
    above_clean,
    clean_differences,
    reports,
)
from robust.networks.linearization import Network
from robust.registry import is_weighted, unweighted
from sweep.config.schema import Evaluation
from sweep.datasets import Dataset, DatasetInfo
from sweep.grid.costs import costs_of
from sweep.grid.options import attack_norm, evaluated_attacks
from sweep.grid.rows import Row, engine_of
from sweep.grid.trial import Trial
from sweep.hashing import content_hash
from sweep.pack.outcome import Assessment
from sweep.results import schema

NO_GRADIENT_SHARE: Final = 0.1
VERTEX: Final = "vertex-l1"

Radii = tuple[float, ...]


@dataclass(frozen=True)
class Survivors:
    """Which samples survive an attack, or are certified.

    Attributes:
        radii: true radii, increasing, [R].
        kept: [H, R, N], boolean.
    """

    radii: Radii
    kept: Tensor

    def at(self, radius: float) -> Tensor:
        """Those at one radius, [H, N]."""
        return self.kept[:, self.radii.index(radius)]


Found = Mapping[str, Survivors]  # by attack or certificate


@dataclass
class _Evidence:
    """What survives, and what contradicts a certificate.

    Attributes:
        refuted: by certificate, which samples the networks lose in their own precision, [H, R, N].
        found: as for `Found`.
        contradictions: what disproves a certificate or an attack.
    """

    refuted: dict[str, Survivors] = field(default_factory=dict)
    found: dict[str, Survivors] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)


def assess(
    net: Network,
    first: Trial,
    data: Dataset,
    evaluation: Evaluation,
    rows: Sequence[Row],
    device: str,
    diverged_step: Sequence[int | None],
    chunk: int | None = None,
) -> tuple[Assessment, ...]:
    """Evaluate the networks that did not diverge; return an assessment of each network.

    Args:
        net: P trained networks.
        first: any trial of the pack.
        data: with both splits.
        evaluation: all that is asked for of such networks.
        rows: what of it is to be measured now.
        device: of `net`.
        diverged_step: of each network; None where it did not diverge.
        chunk: inputs attacked at once; None chooses by device. It changes no result.
    """
    x, y, num_samples = _samples(data, first.dataset_hash, evaluation, device)
    assessed = [Assessment(num_samples=num_samples)] * len(diverged_step)
    healthy = [p for p, step in enumerate(diverged_step) if step is None]
    if healthy and rows:
        pack = net.subset(healthy)
        evidence = _evidence(pack, x, y, first, data, evaluation, rows, chunk)
        problems = reports(evidence.contradictions, len(healthy), len(y))
        accuracy = _accuracies(evidence.found, rows, num_samples)
        flags = _flags(pack, x, y, evidence, rows)
        for h, p in enumerate(healthy):
            assessed[p] = Assessment(
                {key: values[h] for key, values in accuracy.items()},
                num_samples,
                {key: own[h] for key, own in flags.items()},
                problems[h],
            )
    return tuple(assessed)


def _accuracies(
    found: Found, rows: Sequence[Row], num_samples: Mapping[str, int]
) -> dict[str, list[float]]:
    """The share of a split that survives, by row, of each network, [H]."""
    accuracy = {}
    for row in rows:
        kept = found[row.attack].at(row.attack_radius)[:, _columns(row.split, num_samples)]
        accuracy[row.evaluation_id] = kept.double().mean(dim=1).tolist()
    return accuracy


def _samples(
    data: Dataset, dataset_hash: str, evaluation: Evaluation, device: str
) -> tuple[Tensor, Tensor, dict[str, int]]:
    """Both splits after each other, [N, D] and [N], and how many samples of each."""
    xs, ys = [], []
    for split in schema.SPLITS:
        part = getattr(data, split)
        chosen = sample(len(part.y), evaluation.max_samples, dataset_hash, split)
        xs.append(part.x[chosen])
        ys.append(part.y[chosen])
    x = torch.from_numpy(np.concatenate(xs)).to(device)
    y = torch.from_numpy(np.concatenate(ys)).to(device)
    return x, y, {split: len(part) for split, part in zip(schema.SPLITS, ys, strict=True)}


def _columns(split: str, num_samples: Mapping[str, int]) -> slice:
    start = 0
    for name, count in num_samples.items():
        if name == split:
            return slice(start, start + count)
        start += count
    raise AssertionError(split)


def sample(
    count: int, max_samples: int | None, dataset_hash: str, split: str
) -> NDArray[np.int64]:
    """The rows to evaluate: all, or a random choice that is the same for every trial."""
    if max_samples is None or count <= max_samples:
        return np.arange(count)
    generator = np.random.default_rng(_seed(dataset_hash, split, "sample"))
    return np.sort(generator.choice(count, max_samples, replace=False))


def _seed(*parts: str | int) -> int:
    """A seed that depends on what it is for, and not on the pack or the order of packs."""
    return int(content_hash(list(parts), length=12), 16)


def _evidence(
    net: Network,
    x: Tensor,
    y: Tensor,
    first: Trial,
    data: Dataset,
    evaluation: Evaluation,
    rows: Sequence[Row],
    chunk: int | None,
) -> _Evidence:
    """Certify first, so that every point of an attack is compared with what is certified."""
    evidence = _Evidence()
    ladders = with_companions(_radii_of(rows), evaluation)
    gaps, clean = clean_differences(net, x, y)
    checks: dict[str, list[CertificateCheck]] = {}
    for attack in sorted(ladders, key=lambda name: certificate_of(name) is None):
        radii = torch.tensor(ladders[attack], dtype=torch.float64)
        watching: list[CertificateCheck] = []
        for name in checks if certificate_of(attack) is None else ():
            balls = ladders[attack] if _ball(attack) == _ball(name) else None
            prices = costs_of(data.info, name)
            watching.append(_check(net, x, y, evidence.found[name], name, attack, prices, balls))
            checks[name].append(watching[-1])
        kept = survivors(
            net,
            x,
            y,
            attack=attack,
            radii=radii,
            bounds=data.bounds,
            seed=_seed(first.dataset_hash, unweighted(attack), first.seed),
            nested=evaluation.nested,
            engine=engine_of(attack, evaluation.engine),
            restarts=evaluation.restarts,
            record=evaluation.cuda_graph,
            on_points=_all_of(watching),
            chunk=chunk,
            costs=costs_of(data.info, attack),
        )
        evidence.found[attack] = Survivors(ladders[attack], kept)
        evidence.contradictions += above_clean(clean, gaps, kept, radii, attack)
        if certificate_of(attack) is not None:
            checks[attack] = []
    _judge_certificates(evidence, net, x, y, checks, data.info)
    return evidence


def _radii_of(rows: Sequence[Row]) -> dict[str, set[float]]:
    """The radii at which each attack must be made for some rows, by attack."""
    radii: dict[str, set[float]] = {}
    for row in rows:
        smaller = json.loads(row.evaluation_options).get("nested", ())
        radii.setdefault(row.attack, set()).update((row.attack_radius, *smaller))
    return radii


def with_companions(radii: Mapping[str, set[float]], evaluation: Evaluation) -> dict[str, Radii]:
    """Add the attacks that rows are judged beside, where these are asked for too.

    PGD is judged beside the one-step attack of its norm, and the vertex attack beside the gradient
    attacks of the L1 ball, at the same radii. A companion is made again where its own rows are
    recorded already, so that the flags of a row are the same in one evaluation and in several.
    """
    found = {name: set(own) for name, own in radii.items()}
    one_step, many_steps = _by_steps(name for name in evaluated_attacks(evaluation))
    for name, own in radii.items():
        beside: Sequence[str] = ()
        if name in many_steps:
            beside = [other for other in one_step if _ball(other) == _ball(name)]
        elif unweighted(name) == VERTEX:
            beside = [other for other in (*one_step, *many_steps) if _ball(other) == _ball(name)]
        for other in beside:
            found.setdefault(other, set()).update(own)
    return {name: tuple(sorted(own)) for name, own in found.items()}


def _check(
    net: Network,
    x: Tensor,
    y: Tensor,
    claim: Survivors,
    certificate: str,
    attack: str,
    costs: tuple[float, ...] | None = None,
    balls: Radii | None = None,
) -> CertificateCheck:
    """Compare what is certified with the points of an attack; in its own balls if given."""
    radii = torch.tensor(claim.radii, dtype=torch.float64)
    own = None if balls is None else torch.tensor(balls, dtype=torch.float64)
    return CertificateCheck(
        net,
        x,
        y,
        radii,
        claim.kept,
        attack,
        same_balls=own is not None,
        balls=own,
        order=CERTIFICATES[unweighted(certificate)].norm,
        costs=None if costs is None else torch.tensor(costs, dtype=torch.float64),
    )


def _ball(attack: str) -> tuple[str, bool]:
    """What the balls of an attack or certificate are: their norm, and whether they have costs."""
    return attack_norm(attack), is_weighted(attack)


def _all_of(checks: Sequence[CertificateCheck]) -> OnPoints | None:
    """Show the points of an attack to every check; to none where there is none."""
    if not checks:
        return None

    def look(points: AttackedPoints) -> None:
        for check in checks:
            check(points)

    return look


def _judge_certificates(
    evidence: _Evidence,
    net: Network,
    x: Tensor,
    y: Tensor,
    checks: Mapping[str, Sequence[CertificateCheck]],
    info: DatasetInfo,
) -> None:
    """Withdraw certificates of samples that are lost as they are; note what was disproven.

    A certificate is proven in exact arithmetic. What an attack finds against it by rounding raises
    a flag and leaves it: whether the attack is made with it or later must not matter.
    """
    for name, own in checks.items():
        claim = evidence.found[name]
        at_inputs = _check(net, x, y, claim, name, "no attack", costs_of(info, name))
        at_inputs.look_at_inputs()
        evidence.contradictions += [one for check in (*own, at_inputs) for one in check.found]
        refuted = torch.stack([check.refuted.cpu() for check in (*own, at_inputs)]).any(dim=0)
        evidence.refuted[name] = Survivors(claim.radii, refuted)
        evidence.found[name] = replace(claim, kept=claim.kept & ~at_inputs.refuted.cpu())


def _flags(
    net: Network, x: Tensor, y: Tensor, evidence: _Evidence, rows: Sequence[Row]
) -> dict[str, list[str]]:
    """The health flags of each row, of each network, [H]."""
    everywhere = {
        "constant-prediction": diagnostics.constant_prediction(net, x),
        "no-gradient": diagnostics.share_without_gradient(net, x, y) > NO_GRADIENT_SHARE,
    }
    flags: dict[str, list[str]] = {}
    judged: dict[tuple[str, float], list[str]] = {}
    for row in rows:
        at = row.attack, row.attack_radius
        if at not in judged:
            raised = {**everywhere, **row_flags(evidence.found, evidence.refuted, *at)}
            judged[at] = [
                " ".join(name for name in schema.FLAGS if name in raised and bool(raised[name][h]))
                for h in range(net.num_networks)
            ]
        flags[row.evaluation_id] = judged[at]
    return flags


def row_flags(found: Found, refuted: Found, attack: str, radius: float) -> dict[str, Tensor]:
    """Which flags an attack or certificate raises at one radius, each [H], boolean.

    Args:
        found: what survives, also of the companions.
        refuted: what of a certificate was refuted in the networks' own precision.
        attack: of the row.
        radius: of the row, true.
    """
    if attack in refuted:
        return {"certificate-refuted": refuted[attack].at(radius).any(dim=1)}
    if certificate_of(attack) is not None:
        return {}
    kept, ball = found[attack].at(radius), _ball(attack)
    others = [name for name in found if name != attack and certificate_of(name) is None]
    beside = [name for name in others if _ball(name) == ball]
    one_step, many_steps = _by_steps(n for n in beside if radius in found[n].radii)
    flags: dict[str, Tensor] = {}
    if attack in _by_steps([attack])[1] and one_step:
        weaker = [diagnostics.more_survive(kept, found[n].at(radius)) for n in one_step]
        flags["weaker-than-fgm"] = torch.stack(weaker).any(dim=0)
    if unweighted(attack) == VERTEX and (one_step or many_steps):
        together = torch.stack([found[n].at(radius) for n in (*one_step, *many_steps)]).all(dim=0)
        flags["gradient-masking"] = diagnostics.more_survive(together, kept)
    return flags


def _by_steps(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The gradient attacks of one step and those of many."""
    steps = {
        name: method.num_steps
        for name in names
        if certificate_of(name) is None and isinstance(method := attacks.get(name), GradientAttack)
    }
    return [n for n, s in steps.items() if s == 1], [n for n, s in steps.items() if s > 1]
