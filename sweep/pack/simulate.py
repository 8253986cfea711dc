"""Made-up outcomes in place of training, to try the whole pipeline at full size.

They have the shape of real ones: accuracies fall with the radius from a level that data set, rate
and training radius set, later for some defenses than for others, with the noise of so many
samples; a validation curve, bound checks and traces follow what the configuration asks for. They
say nothing of any defense and are marked as simulated in the records, which the analysis refuses
unless told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robust import defenses
from robust.seeds import derived_seed
from robust.training.monitor import Observation
from sweep.config.schema import Training
from sweep.datasets import DatasetInfo
from sweep.grid.packing import Pack
from sweep.grid.rows import Row
from sweep.grid.trial import Trial
from sweep.pack.monitor import CHECK_EVERY, CHECKED_GRID_RADII, CHECKED_NORMS, is_checked
from sweep.pack.outcome import Assessment, Outcome, PackOutcome

Floats = NDArray[np.float64]

_EASE = {"linf": 1.0, "l2": 1.5, "l1": 3.0}  # radii scale with it
_STRENGTH = {"fgsm": 0.9, "fgm": 0.8, "certified": 2.2}  # and shrink with that


@dataclass(frozen=True)
class _Asked:
    """What is asked for of every trial of a pack, one entry per row.

    Attributes:
        ids: of the evaluations.
        keys: the same as numbers, uint64.
        counts: evaluated samples.
        samples: the same by split.
        grid_radii, shape, floor: grid radius, ease of the ball over strength of the attack, and
            the accuracy that no radius goes below.
    """

    ids: tuple[str, ...]
    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]
    samples: Mapping[str, int]
    grid_radii: Floats
    shape: Floats
    floor: Floats


def _asked(rows: Sequence[Row], info: DatasetInfo) -> _Asked:
    whole = {"validation": info.num_validation, "test": info.num_test}
    limits = [json.loads(row.evaluation_options)["max_samples"] for row in rows]
    counts = [
        whole[row.split] if limit is None else min(limit, whole[row.split])
        for row, limit in zip(rows, limits, strict=True)
    ]
    ids = tuple(row.evaluation_id for row in rows)
    shape = [
        _EASE[row.attack_norm] / _STRENGTH.get(row.attack.partition("-")[0], 1.0) for row in rows
    ]
    certified = np.array([row.attack.startswith("certified") for row in rows])
    return _Asked(
        ids,
        np.array([int(one, 16) for one in ids], np.uint64),
        np.array(counts),
        {row.split: n for row, n in zip(rows, counts, strict=True)},
        np.array([row.attack_grid_radius for row in rows]),
        np.array(shape),
        np.where(certified, 0.0, 1 / info.num_classes),
    )


def measure(pack: Pack, info: DatasetInfo, rows: Sequence[Row], training: Training) -> PackOutcome:
    """Make up what became of a pack; a trial's numbers depend neither on the pack nor on rows."""
    asked = _asked(rows, info)
    made = tuple(_outcome(trial, len(pack), info, asked, training) for trial in pack.trials)
    return PackOutcome(made, "simulated")


def _outcome(
    trial: Trial, together: int, info: DatasetInfo, asked: _Asked, training: Training
) -> Outcome:
    generator = np.random.default_rng(int(trial.trial_id, 16))
    lost = _diverged_step(trial)
    # So fast that a sweep's account of its time, which is real, does not notice.
    speed = _uniform(1e8, 1e9, "speed", trial.defense)
    return Outcome(
        Assessment({}, asked.samples) if lost else _assessment(trial, asked),
        diverged_step=lost,
        trained_together=together,
        steps_per_second=speed,
        train_seconds=trial.steps / speed,
        evaluation_seconds=0.0,
        curve=_curve(trial, info, training, lost),
        observations=(
            *_checks(trial, training, lost, generator),
            *_traces(trial, training, lost),
        ),
        weights_hash=None if lost else trial.trial_id,
    )


def _assessment(trial: Trial, asked: _Asked) -> Assessment:
    """The shares of so many samples that survive, by the law of the trial's accuracies."""
    law, counts = _law(trial, asked), asked.counts
    noise = _noise(trial, asked.keys) * np.sqrt(counts * law * (1 - law))
    accuracy = np.clip(np.round(counts * law + noise), 0, counts) / np.maximum(counts, 1)
    return Assessment(dict(zip(asked.ids, accuracy.tolist(), strict=True)), asked.samples)


def _noise(trial: Trial, keys: NDArray[np.uint64]) -> Floats:
    """Standard normal numbers, [rows]: each its row's own, whatever the others are."""
    mixed = _mixed(keys ^ np.uint64(int(trial.trial_id, 16)))
    one, two = ((_mixed(mixed + np.uint64(i)) >> np.uint64(11)) / 2.0**53 for i in (1, 2))
    normal: Floats = np.sqrt(-2 * np.log1p(-one)) * np.cos(2 * np.pi * two)  # Box and Muller 1958
    return normal


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _diverged_step(trial: Trial) -> int | None:
    """The largest learning rate diverges in half of its trials."""
    return 1 if trial.learning_rate >= 1 and int(trial.trial_id, 16) % 2 else None


def _uniform(low: float, high: float, *parts: str) -> float:
    """A number between two that is always the same for the same words."""
    return low + (high - low) * derived_seed("simulate", *parts) / 2**63


def _level(trial: Trial) -> float:
    """The accuracy without attack: rates far from 1e-3 and large training radii cost some."""
    fit = np.exp(-0.12 * np.log10(trial.learning_rate / 1e-3) ** 2)
    cost = np.clip(1 - 0.06 * trial.grid_radius, 0.4, 1)
    return float(_uniform(0.7, 0.99, trial.dataset) * fit * cost)


def _law(trial: Trial, asked: _Asked) -> Floats:
    """The accuracy of each row, [rows]: half is lost at the defense's reach."""
    reach = _uniform(0.3, 0.9, trial.defense) * _uniform(0.7, 1.4, trial.dataset, trial.defense)
    reach *= 1 + trial.grid_radius / (1 + trial.grid_radius**2)
    ratio = asked.grid_radii / (reach * asked.shape)
    decay = 1 / (1 + ratio ** _uniform(0.8, 1.7, "decay", trial.defense))
    law: Floats = asked.floor + np.maximum(_level(trial) - asked.floor, 0) * decay
    return law


def _curve(
    trial: Trial, info: DatasetInfo, training: Training, lost: int | None
) -> tuple[tuple[int, float | None], ...]:
    """The validation accuracy, which slow rates have not brought to its level by the end."""
    if not training.curve_every:
        return ()
    chance, last = 1 / info.num_classes, trial.steps
    level = max(_level(trial), chance)
    pace = 400 * np.sqrt(1e-3 / trial.learning_rate)
    steps = sorted({*range(training.curve_every, last + 1, training.curve_every), last})
    return tuple(
        (step, None if lost else float(chance + (level - chance) * (1 - np.exp(-step / pace))))
        for step in steps
    )


def _checks(
    trial: Trial, training: Training, lost: int | None, rng: np.random.Generator
) -> list[Observation]:
    """Whether the bound holds: less often at large radii."""
    if not is_checked(trial):
        return []
    every = min(training.curve_every or CHECK_EVERY, trial.steps)
    return [
        Observation(step, "bound_holds", norm, radius, None if lost else value)
        for step in range(every, trial.steps + 1, every)
        for norm in CHECKED_NORMS
        for radius in CHECKED_GRID_RADII
        for value in [float(rng.random() < 0.99 - 0.15 * radius)]
    ]


def _traces(trial: Trial, training: Training, lost: int | None) -> list[Observation]:
    """The loss under attack and what is minimised, which is above it for an upper bound."""
    if not training.trace_every:
        return []
    norm = defenses.get(trial.defense).norm
    above = 1.15 if trial.defense.startswith(("arub", "rub")) else 0.7
    found = []
    for step in range(training.trace_every, trial.steps + 1, training.trace_every):
        loss = (0.08 + 1.5 * float(np.exp(-step / 900))) * (1 + 4 * trial.grid_radius)
        found.append(Observation(step, "objective", norm, None, None if lost else above * loss))
        if norm is not None:
            attacked = None if lost else loss
            found.append(Observation(step, "adversarial_loss", norm, None, attacked))
    return found
