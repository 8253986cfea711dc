"""The made-up law: accuracies, divergences and records of one pack."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from analysis.simulate.grid import ATTACKS, CERTIFICATES, Pack, rng_of, trial_ids
from sweep.results.schema import CERTIFIED, SCHEMA_VERSION

# Half-life grid radius of a trained network, and how fast accuracy falls beyond it.
HALF_LIFE = {
    "nominal": (0.25, 1.6),
    "baseline-linf": (0.5, 1.1),
    "arub-l1": (0.45, 1.5),
    "arub-linf": (0.55, 1.7),
    "pgd-linf": (0.7, 1.4),
    "fgsm-linf": (0.65, 1.5),
    "coap-linf": (0.3, 1.0),
    "rub": (0.8, 0.8),
}


def _true_accuracy(pack: Pack) -> np.ndarray:
    """Return the law's accuracy of every trial, attack and radius: (T, A, R)."""
    task_rng = rng_of("skill", pack.task.name)
    chance, skill = 1 / pack.task.num_classes, task_rng.uniform(0.7, 0.99)
    half_life, steepness = HALF_LIFE[pack.defense]
    train_radius, rate = pack.settings()
    jitter = rng_of("law", pack.task.name, pack.defense).uniform(0.7, 1.4)
    fit = np.exp(-0.12 * np.log10(rate / 1e-3) ** 2)
    reach = half_life * jitter * np.clip(1 + train_radius / (1 + train_radius**2), 1, 3)
    cost = np.clip(1 - 0.06 * train_radius, 0.4, 1)
    ease = {"l1": 3.0, "l2": 1.5, "linf": 1.0}
    norms = {**ATTACKS, **CERTIFICATES}
    strength = {"fgm-l2": 0.8, "fgm-l1": 0.7, "fgsm-linf": 0.9, CERTIFIED: 2.2}
    shape = np.array([ease[norms[a]] / strength.get(a, 1.0) for a in pack.block.attacks])
    radius = np.array(pack.block.attack_radii)
    ratio = radius[None, None, :] / (reach[:, None, None] * shape[None, :, None])
    decay = 1 / (1 + ratio**steepness)
    level = (skill * fit * cost)[:, None, None]
    floor = np.where([a in CERTIFICATES for a in pack.block.attacks], 0.0, chance)[None, :, None]
    result: np.ndarray = floor + np.clip(level - floor, 0, None) * decay
    return result


def pack_records(pack: Pack, experiment: str) -> pl.DataFrame:
    """Return the records of one pack, one row per trial x split x attack x radius."""
    truth = _true_accuracy(pack)
    trials, attacks, radii = truth.shape
    rng = rng_of("noise", pack.pack_id)
    grid_radius, rate = pack.settings()
    sizes = np.array([pack.task.num_validation, pack.task.num_test])
    drawn = rng.binomial(sizes[None, :, None, None], truth[:, None]) / sizes[None, :, None, None]
    diverged = (rate >= 1.0) & (rng.random(trials) < 0.7)
    steps = rng.integers(1, 500, trials)
    shape = drawn.shape
    accuracy = np.where(diverged[:, None, None, None], np.nan, drawn).ravel()
    norms = [{**ATTACKS, **CERTIFICATES}[a] for a in pack.block.attacks]
    root = np.sqrt(pack.task.num_features) if pack.block.scale_attack_radii else 1.0
    factor = np.array([1.0 if n == "linf" else root for n in norms])
    grid = np.array(pack.block.attack_radii)
    l1_trained = pack.defense in {"arub-l1", "rub"}
    train_radius = grid_radius * (np.sqrt(pack.task.num_features) if l1_trained else 1.0)

    def each(values: np.ndarray, axis: int) -> np.ndarray:
        spread = [1] * 4
        spread[axis] = -1
        return np.broadcast_to(values.reshape(spread), shape).ravel()

    per_trial = pl.DataFrame(
        {
            "trial_id": trial_ids(pack),
            "status": np.where(diverged, "diverged", "complete"),
            "diverged_step": pl.Series(np.where(diverged, steps, -1)).replace(-1, None),
            "grid_radius": grid_radius,
            "train_radius": train_radius,
            "learning_rate": rate,
        }
    )
    rows = pl.DataFrame(
        {
            "accuracy": pl.Series(accuracy).fill_nan(None),
            "attack_grid_radius": each(grid, 3),
            "attack_radius": np.broadcast_to(
                factor[None, None, :, None] * grid[None, None, None, :], shape
            ).ravel(),
            "num_samples": each(sizes, 1).astype(np.int64),
            "attack": np.array(pack.block.attacks)[each(np.arange(attacks), 2)],
            "attack_norm": np.array(norms)[each(np.arange(attacks), 2)],
            "split": np.array(["validation", "test"])[each(np.arange(2), 1)],
        }
    )
    repeated = per_trial[each(np.arange(trials), 0)]
    constant = _constants(pack, experiment, trials, rng)
    return pl.concat([repeated, rows], how="horizontal").with_columns(
        **{name: pl.lit(value) for name, value in constant.items()},
        error=pl.lit(None, dtype=pl.String),
    )


def _constants(
    pack: Pack, experiment: str, trials: int, rng: np.random.Generator
) -> dict[str, object]:
    speed = {"nominal": 700.0, "baseline-linf": 450.0, "rub": 65.0, "pgd-linf": 5.0}
    rate = speed.get(pack.defense, 18.0) * trials**0.8 * float(rng.uniform(0.9, 1.1))
    return {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment,
        "pack_id": pack.pack_id,
        "dataset": pack.task.name,
        "dataset_hash": hashlib.sha256(pack.task.name.encode()).hexdigest()[:16],
        "network": pack.network,
        "defense": pack.defense,
        "batch_size": pack.batch_size,
        "scaling": pack.scaling,
        "steps": pack.block.steps,
        "seed": pack.seed,
        "train_steps_per_second": rate,
        "git_commit": "0" * 40,
        "split_seed": 0,
        "num_features": pack.task.num_features,
        "num_classes": pack.task.num_classes,
        "pack_size": trials,
        "train_seconds": pack.block.steps / rate,
        "evaluation_seconds": 0.1,
        "device": "none",
        "leaky": False,
        "simulated": True,
        "flags": "",
    }
