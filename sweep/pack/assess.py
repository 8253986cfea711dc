"""Evaluate a trained pack on both splits at once, and judge what its accuracies are worth.

Legend: P trials of the pack, H of them that did not diverge, R attack radii, N samples of both
splits, D input features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.evaluate import CERTIFICATES, survivors
from robust.evaluation import diagnostics
from robust.evaluation.soundness import (
    CertificateCheck,
    Contradiction,
    above_clean,
    clean_differences,
    reports,
)
from robust.networks.linearization import Network
from sweep.config.schema import Evaluation
from sweep.datasets import Dataset
from sweep.grid import options
from sweep.grid.expand import attack_radii
from sweep.grid.trial import Trial
from sweep.hashing import content_hash
from sweep.pack import records
from sweep.pack.outcome import Assessment, Floats
from sweep.results import schema

NO_GRADIENT_SHARE: Final = 0.1
VERTEX: Final = "vertex-l1"

Kept = Mapping[str, Tensor]  # attack or certificate -> which samples survive, [H, R, N]


@dataclass
class _Evidence:
    """What survives, and what contradicts a certificate.

    Attributes:
        kept: as for `Kept`.
        contradictions: what disproves a certificate or an attack.
        refuted: networks that in their own precision lose a certified example, [H], boolean.
    """

    refuted: Tensor
    kept: dict[str, Tensor] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)


def assess(
    net: Network,
    first: Trial,
    data: Dataset,
    evaluation: Evaluation,
    device: str,
    diverged_step: Sequence[int | None],
    chunk: int | None = None,
) -> tuple[Assessment, ...]:
    """Evaluate the networks that did not diverge; return an assessment of each network.

    Args:
        net: P trained networks.
        first: any trial of the pack.
        data: with both splits.
        evaluation: what to do.
        device: of `net`.
        diverged_step: of each network; None where it did not diverge.
        chunk: inputs attacked at once; None chooses by device. It changes no result.
    """
    x, y, num_samples = _samples(data, first.dataset_hash, evaluation, device)
    assessed = [Assessment(num_samples=num_samples)] * len(diverged_step)
    healthy = [p for p, step in enumerate(diverged_step) if step is None]
    if healthy:
        pack = net.subset(healthy)
        evidence = _evidence(pack, x, y, first, data, evaluation, chunk)
        flags = _flags(pack, x, y, evidence)
        problems = reports(evidence.contradictions, len(healthy), len(y))
        accuracy = _accuracies(evidence.kept, evaluation, num_samples)
        for h, p in enumerate(healthy):
            own = {key: values[h] for key, values in accuracy.items()}
            assessed[p] = Assessment(own, num_samples, flags[h], problems[h])
    return tuple(assessed)


def _accuracies(
    kept: Kept, evaluation: Evaluation, num_samples: Mapping[str, int]
) -> dict[tuple[str, str], Floats]:
    """The share of each split that survives each attack, [H, R]."""
    return {
        (split, attack): kept[attack][:, :, _columns(split, num_samples)]
        .double()
        .mean(dim=2)
        .numpy()
        for split, attack in records.split_attacks(evaluation)
    }


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
    chunk: int | None,
) -> _Evidence:
    """Certify first, so that every point of an attack is compared with what is certified."""
    evidence = _Evidence(torch.zeros(net.num_networks, dtype=torch.bool))
    names = options.evaluated_attacks(evaluation)
    gaps, clean = clean_differences(net, x, y)
    claims: Tensor | None = None
    checks: list[CertificateCheck] = []
    for attack in sorted(names, key=lambda name: name not in CERTIFICATES):
        norm = options.attack_norm(attack)
        radii = _true_radii(evaluation, norm, data)
        if attack not in CERTIFICATES and claims is not None:
            ladder, same = _true_radii(evaluation, "l1", data), norm == "l1"
            checks.append(CertificateCheck(net, x, y, ladder, claims, attack, same))
        kept = survivors(
            net,
            x,
            y,
            attack=attack,
            radii=radii,
            bounds=data.bounds,
            seed=_seed(first.dataset_hash, attack, first.seed),
            nested=evaluation.nested,
            engine=_engine(attack, evaluation.engine),
            restarts=evaluation.restarts,
            record=evaluation.cuda_graph,
            on_points=checks[-1] if checks else None,
            chunk=chunk,
        )
        evidence.kept[attack] = kept
        evidence.contradictions += above_clean(clean, gaps, kept, radii, attack)
        if attack in CERTIFICATES:
            claims = kept if claims is None else claims | kept
    if claims is not None:
        ladder = _true_radii(evaluation, "l1", data)
        checks.append(CertificateCheck(net, x, y, ladder, claims, "no attack"))
        checks[-1].look_at_inputs()
    _withdraw(evidence, checks)
    return evidence


def _withdraw(evidence: _Evidence, checks: Sequence[CertificateCheck]) -> None:
    """Count what was refuted as not certified, and keep what was disproven."""
    for check in checks:
        refuted = check.refuted.cpu()
        evidence.refuted |= refuted.flatten(1).any(dim=1)
        evidence.contradictions += check.found
        for name in set(CERTIFICATES) & set(evidence.kept):
            evidence.kept[name] = evidence.kept[name] & ~refuted


def _true_radii(evaluation: Evaluation, norm: str, data: Dataset) -> Tensor:
    """The ladder of an attack of that norm, [R], float64."""
    values = attack_radii(evaluation, norm, data.info.num_features)
    return torch.tensor(values, dtype=torch.float64)


def _engine(attack: str, engine: str) -> str:
    """Foolbox runs the attacks that it has; the others stay ours."""
    if engine != "foolbox" or attack in CERTIFICATES:
        return "packed"
    from robust.evaluation.foolbox_engine import FOOLBOX_ATTACKS  # imports foolbox

    return engine if attack in FOOLBOX_ATTACKS else "packed"


def _flags(net: Network, x: Tensor, y: Tensor, evidence: _Evidence) -> list[str]:
    """The health flags of each network."""
    raised = {
        "constant-prediction": diagnostics.constant_prediction(net, x),
        "no-gradient": diagnostics.share_without_gradient(net, x, y) > NO_GRADIENT_SHARE,
        "certificate-refuted": evidence.refuted,
        **accuracy_flags(evidence.kept, net.num_networks),
    }
    assert set(raised) == set(schema.FLAGS)
    return [
        " ".join(name for name in schema.FLAGS if bool(raised[name][p]))
        for p in range(net.num_networks)
    ]


def accuracy_flags(kept: Kept, num_networks: int) -> dict[str, Tensor]:
    """Return which flags the survivors of the attacks raise, each [H], boolean."""
    of_attacks = {name: own for name, own in kept.items() if name not in CERTIFICATES}
    one_step, many_steps = _by_steps(of_attacks)
    never = torch.zeros(num_networks, dtype=torch.bool)
    rising, weak, masked = never, never, never
    for own in of_attacks.values():
        rising = rising | diagnostics.rises(own)
    for name in many_steps:
        for other in one_step:
            if attacks.get(name).norm == attacks.get(other).norm:
                weak = weak | diagnostics.more_survive(kept[name], kept[other])
    by_gradient = [kept[n] for n in (*one_step, *many_steps) if attacks.get(n).norm == "l1"]
    if VERTEX in kept and by_gradient:
        together = torch.stack(by_gradient).all(dim=0)
        masked = diagnostics.more_survive(together, kept[VERTEX])
    return {"not-decreasing": rising, "weaker-than-fgm": weak, "gradient-masking": masked}


def _by_steps(names: Kept) -> tuple[list[str], list[str]]:
    """The gradient attacks of one step and those of many."""
    steps = {
        name: method.num_steps
        for name in names
        if isinstance(method := attacks.get(name), GradientAttack)
    }
    return [n for n, s in steps.items() if s == 1], [n for n, s in steps.items() if s > 1]
