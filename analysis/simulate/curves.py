"""The made-up training: validation accuracy, bound checks and loss traces of one pack."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.simulate.grid import Pack, rng_of, trial_ids
from sweep.results.schema import CURVE_COLUMNS, SCHEMA_VERSION

EVERY = 500
CHECKED_RADII = (0.0, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1, 0.3, 0.5, 1.0)
CHECKED = {"arub-l1": "l1", "arub-linf": "linf"}
TRACED = ("arub-linf", "baseline-linf")


def pack_curves(pack: Pack, experiment: str) -> pl.DataFrame:
    """Return the curve rows of one pack, in the schema's columns."""
    grid_radius, rate = pack.settings()
    trials = pl.DataFrame(
        {"trial_id": trial_ids(pack), "grid_radius": grid_radius, "learning_rate": rate}
    )
    steps = pl.DataFrame({"step": np.arange(EVERY, pack.block.steps + 1, EVERY)})
    parts = [_validation(pack, trials, steps)]
    if pack.defense in CHECKED and pack.task.name.startswith("uci"):
        parts.append(_checks(pack, trials, steps))
    if pack.defense in TRACED and pack.task.name == "MNIST":
        parts += _traces(pack, trials, steps)
    constant = {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment,
        "pack_id": pack.pack_id,
        "dataset": pack.task.name,
        "network": pack.network,
        "defense": pack.defense,
        "batch_size": pack.batch_size,
        "scaling": pack.scaling,
        "seed": pack.seed,
    }
    rows = pl.concat(parts, how="diagonal_relaxed")
    return rows.with_columns(**{k: pl.lit(v) for k, v in constant.items()}).select(
        pl.col(name) if name in rows.columns or name in constant else pl.lit(None).alias(name)
        for name in CURVE_COLUMNS
    )


def _validation(pack: Pack, trials: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    rows = trials.join(steps, how="cross")
    noise = rng_of("curve", pack.pack_id).normal(0, 0.004, rows.height)
    # Slow rates have not settled by the end, as in a real sweep.
    pace = 400 * (1e-3 / rows["learning_rate"].to_numpy()) ** 0.5
    value = 0.9 - 0.6 * np.exp(-rows["step"].to_numpy() / pace) + noise
    return rows.with_columns(
        value=pl.Series(np.clip(value, 0, 1)),
        quantity=pl.lit("validation_accuracy"),
        norm=pl.lit(None, dtype=pl.String),
        radius=pl.lit(None, dtype=pl.Float64),
    )


def _checks(pack: Pack, trials: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    radii = pl.DataFrame({"radius": CHECKED_RADII})
    rows = trials.join(steps, how="cross").join(radii, how="cross")
    chance = 0.99 - 0.15 * np.clip(rows["radius"].to_numpy(), 0, 1)
    holds = rng_of("bound", pack.pack_id).random(rows.height) < chance
    return rows.with_columns(
        value=pl.Series(holds.astype(float)),
        quantity=pl.lit("bound_holds"),
        norm=pl.lit(CHECKED[pack.defense]),
    )


def _traces(pack: Pack, trials: pl.DataFrame, steps: pl.DataFrame) -> list[pl.DataFrame]:
    rows = trials.join(steps, how="cross").with_columns(
        radius=pl.col("grid_radius"), norm=pl.lit("linf")
    )
    loss = 0.08 + 1.5 * np.exp(-rows["step"].to_numpy() / 900)
    loss = loss * (1 + 4 * rows["radius"].to_numpy())
    above = 1.15 if pack.defense == "arub-linf" else 0.7
    return [
        rows.with_columns(value=pl.Series(loss), quantity=pl.lit("adversarial_loss")),
        rows.with_columns(value=pl.Series(loss * above), quantity=pl.lit("objective")),
    ]
