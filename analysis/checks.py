"""What records must be before anything is built from them, and what is only pointed out."""

from __future__ import annotations

import polars as pl

from sweep.results.schema import SCHEMA_VERSION, STATUSES


def check_recordings(trials: pl.DataFrame, allow_simulated: bool) -> None:
    """Refuse what cannot be read together.

    Raises:
        ValueError: no trial, mixed or foreign schema versions, an unknown status, or simulated
            records without the flag.
    """
    if trials.is_empty():
        raise ValueError("no records: the files hold no row of this experiment")
    versions = sorted(trials["schema_version"].unique().to_list())
    if len(versions) > 1:
        raise ValueError(f"records mix schema versions {versions}; give one sweep's records")
    if versions != [SCHEMA_VERSION]:
        raise ValueError(
            f"records have schema version {versions[0]}; this code reads {SCHEMA_VERSION}"
        )
    unknown = sorted(str(s) for s in set(trials["status"].unique()) - set(STATUSES))
    if unknown:
        raise ValueError(f"unknown status {unknown[0]!r}; allowed: {', '.join(STATUSES)}")
    if trials["simulated"].any() and not allow_simulated:
        raise ValueError("records are simulated (made up); say allow_simulated=true to use them")


def check_values(values: pl.DataFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """Return the values, NaN of trials that are not complete being null as it should.

    Raises:
        ValueError: an accuracy outside [0, 1], or that is not a number.
    """
    nan = values.filter(pl.col("accuracy").is_nan())
    if not nan.is_empty():
        wrong = trials.filter(pl.col("status") == "complete").join(nan, on="trial", how="semi")
        if not wrong.is_empty():
            raise ValueError(
                f"the accuracy of complete trial {wrong['trial_id'].min()!r} is NaN; accuracies "
                "lie in [0, 1] and are null where a trial diverged"
            )
        values = values.with_columns(pl.col("accuracy").fill_nan(None))
    low, high = values["accuracy"].min(), values["accuracy"].max()
    if isinstance(low, float) and isinstance(high, float) and (low < 0 or high > 1):
        raise ValueError(f"accuracies range from {low} to {high}; they must lie in [0, 1]")
    return values
