"""Evaluate a trained pack on both splits at once, and judge what its accuracies are worth.

What a row says depends on no other row that is measured with it, so that rows may be added later
and equal those of one evaluation of everything.

Legend: P trials of the pack, H of them that did not diverge, R radii of one attack, N samples of
both splits, D input features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from robust.evaluation.clean import correct_of
from robust.evaluation.settled import pays, settled, skips
from robust.evaluation.soundness import (
    CertificateCheck,
    Contradiction,
    above_clean,
    clean_differences,
    reports,
)
from robust.networks.linearization import Network
from robust.registry import is_weighted, unweighted, weighted
from sweep.config.schema import Evaluation
from sweep.datasets import Dataset, DatasetInfo
from sweep.grid.costs import costs_of
from sweep.grid.options import attack_norm
from sweep.grid.rows import PACKED, Row, engine_of
from sweep.grid.trial import Trial
from sweep.hashing import content_hash
from sweep.pack.outcome import Assessment
from sweep.results import schema

NO_GRADIENT_SHARE: Final = 0.1
VERTEX: Final = "vertex-l1"
FAST_GRADIENT: Final[Mapping[str, str]] = {"l1": "fgm-l1", "l2": "fgm-l2", "linf": "fgsm-linf"}

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
        refuted: by certificate, which samples the networks lose in their own precision, [H, R, N]:
            none, if the certificates hold.
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
    ladders = with_companions(_radii_of(rows))
    gaps, clean = clean_differences(net, x, y)
    checks: dict[str, list[CertificateCheck]] = {}
    safe = _Safe(net, x, y, ladders, evaluation.engine) if evaluation.skip else None
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
            safe=safe.at(attack, ladders[attack]) if safe else None,
            costs=costs_of(data.info, attack),
        )
        evidence.found[attack] = Survivors(ladders[attack], kept)
        evidence.contradictions += above_clean(clean, gaps, kept, radii, attack)
        if certificate_of(attack) is not None:
            checks[attack] = []
    _judge_certificates(evidence, net, x, y, checks, data.info)
    return evidence


class _Safe:
    """What no attack breaks, by norm: bounded once for all attacks of a norm, at all their radii.

    The certificates that are recorded stay out of it, so that attacks go on checking them.
    """

    def __init__(
        self, net: Network, x: Tensor, y: Tensor, ladders: Mapping[str, Radii], engine: str
    ) -> None:
        self.net, self.x, self.y = net, x, y
        self.radii: dict[str, set[float]] = {}
        self.found: dict[str, Survivors] = {}
        # What is settled is settled in plain balls.
        plain = [name for name in ladders if not is_weighted(name)]
        attacked = [name for name in plain if certificate_of(name) is None]
        packed = [name for name in attacked if engine_of(name, engine) == PACKED]
        dear = {attack_norm(name) for name in packed if pays(attacks.get(name))}
        for name in packed:
            if skips(attacks.get(name)) and attack_norm(name) in dear:
                self.radii.setdefault(attack_norm(name), set()).update(ladders[name])

    def at(self, attack: str, radii: Radii) -> Tensor | None:
        """Those at the radii of an attack, [H, R, N]; None where nothing is known."""
        order = attack_norm(attack)
        if is_weighted(attack) or certificate_of(attack) is not None:
            return None
        if not set(radii) <= self.radii.get(order, set()):
            return None
        if order not in self.found:
            every = tuple(sorted(self.radii[order]))
            ladder = torch.tensor(every, dtype=torch.float64)
            right = correct_of(self.net, self.x, self.y)
            kept = settled(self.net, self.x, self.y, ladder, attacks.get(attack).norm, right)
            self.found[order] = Survivors(every, kept)
        known = self.found[order]
        return torch.stack([known.at(radius) for radius in radii], dim=1)


def _radii_of(rows: Sequence[Row]) -> dict[str, set[float]]:
    """The radii at which each attack must be made for some rows, by attack."""
    radii: dict[str, set[float]] = {}
    for row in rows:
        smaller = json.loads(row.evaluation_options).get("nested", ())
        radii.setdefault(row.attack, set()).update((row.attack_radius, *smaller))
    return radii


def with_companions(radii: Mapping[str, set[float]]) -> dict[str, Radii]:
    """Add the attacks that rows are judged beside, at the same radii.

    They are made whether or not their own rows are asked for or recorded, so that the flags of a
    row are the same whatever is measured with it, before it or after it.
    """
    found = {name: set(own) for name, own in radii.items()}
    for name, own in radii.items():
        for other in companions(name):
            found.setdefault(other, set()).update(own)
    return {name: tuple(sorted(own)) for name, own in found.items()}


def companions(attack: str) -> tuple[str, ...]:
    """The attacks that an attack or certificate is judged beside.

    PGD is judged beside the one-step attack of its norm, and the vertex attack beside the gradient
    attacks of the L1 ball.
    """
    if is_weighted(attack):
        return tuple(weighted(name) for name in companions(unweighted(attack)))
    if attack == VERTEX:
        return FAST_GRADIENT["l1"], "pgd-l1"
    method = None if certificate_of(attack) is not None else attacks.get(attack)
    if isinstance(method, GradientAttack) and method.num_steps > 1:
        return (FAST_GRADIENT[method.norm],)
    return ()


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
    """Note what was found against certificates: it withdraws none.

    A certificate holds for the networks as they run, at the inputs and at every point of an
    attack. What is found against one nevertheless, in their own precision, raises an alarm.
    """
    for name, own in checks.items():
        claim = evidence.found[name]
        at_inputs = _check(net, x, y, claim, name, "no attack", costs_of(info, name))
        at_inputs.look_at_inputs()
        evidence.contradictions += [one for check in (*own, at_inputs) for one in check.found]
        refuted = torch.stack([check.refuted.cpu() for check in (*own, at_inputs)]).any(dim=0)
        evidence.refuted[name] = Survivors(claim.radii, refuted)


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
    made = [found[name] for name in companions(attack) if name in found]
    beside = [own.at(radius) for own in made if radius in own.radii]
    if not beside:
        return {}
    kept, together = found[attack].at(radius), torch.stack(beside).all(dim=0)
    if unweighted(attack) == VERTEX:
        return {"gradient-masking": diagnostics.more_survive(together, kept)}
    return {"weaker-than-fgm": diagnostics.more_survive(kept, together)}
