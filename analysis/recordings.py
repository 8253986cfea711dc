"""Rows -> trials, attacks at radii, and values; what was recorded more than once counts once."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from analysis.files import RECORD_TYPES, collected
from analysis.names import NORMS
from analysis.records import CELL
from sweep.results.schema import SCHEMA_VERSION, SPLITS, STATUSES

VALUE_COLUMNS = (
    *("split", *CELL, "attack_radius", "accuracy", "num_samples"),
    *("evaluation_id", "evaluation_options", "evaluation_fingerprint"),
)
TRIAL_COLUMNS = tuple(name for name in RECORD_TYPES if name not in (*VALUE_COLUMNS, "flags"))
RECORDING = ("trial_id", "pack_id", "status")
SAME = 1e-6  # accuracies closer than this are equal: some were written as float32
NAMED = 3  # trials that a note names
_PLACE = ("trial", "cell", "is_test")


@dataclass(frozen=True)
class Numbered:
    """Trials and the trial of every recording that counts.

    Attributes:
        trials: one row per trial, numbered by `trial` in tie order.
        trial_of: `RECORDING, trial, turn`; of what two recordings hold, the lower turn counts.
        repeated: recordings beyond the first of their trial.
    """

    trials: pl.DataFrame
    trial_of: pl.DataFrame
    repeated: int


def recordings_of(rows: pl.LazyFrame) -> pl.DataFrame:
    """Return one row per recording of a trial; a trial that was run twice has two.

    Rows that were added to a network later belong to its recording. Its `flags` are those of all
    its rows.
    """
    recordings = collected(
        rows.select(TRIAL_COLUMNS).unique(
            [*RECORDING, "schema_version"], keep="first", maintain_order=True
        )
    )
    flagged = rows.filter(pl.col("flags") != "").select(*RECORDING, "flags").unique()
    flags = (
        collected(flagged)
        .with_columns(pl.col("flags").str.split(" "))
        .explode("flags")
        .group_by(RECORDING)
        .agg(pl.col("flags").unique().sort().str.join(" "))
    )
    return recordings.join(flags, on=RECORDING, how="left", maintain_order="left").with_columns(
        pl.col("flags").fill_null("")
    )


def rules_of(rows: pl.LazyFrame, numbered: Numbered) -> pl.DataFrame:
    """Return how each trial was measured: `trial, attack, rules`, the rules being JSON.

    Which samples counts is left out, which the number of samples tells, and so is which smaller
    radii count as well, which is another list at every radius.

    Raises:
        ValueError: rules that are no JSON mapping.
    """
    measured = rows.filter(pl.col("evaluation_options").is_not_null())
    found = collected(measured.select(*RECORDING, "attack", "evaluation_options").unique())
    texts = found["evaluation_options"].unique().to_list()
    rules = found.select(
        *RECORDING,
        "attack",
        rules=pl.col("evaluation_options").replace_strict(
            texts, [_without_lists(text) for text in texts], return_dtype=pl.String
        ),
    ).unique()
    return (
        rules.join(numbered.trial_of, on=RECORDING)
        .group_by("trial", "attack")
        .agg(pl.col("rules").unique().sort().str.join(" and "))
    )


def _without_lists(text: str) -> str:
    try:
        rules = json.loads(text)
    except ValueError as error:
        rules = error
    if not isinstance(rules, dict):
        raise ValueError(f"column evaluation_options of the records is no JSON mapping: {rules}")
    own = {key: v for key, v in rules.items() if key not in ("max_samples", "nested")}
    return json.dumps(own, sort_keys=True)


def number(recordings: pl.DataFrame) -> Numbered:
    """Return one row per trial: a finished recording comes before others, then by pack id.

    Recordings of a trial that ended alike add to one another: one may have been evaluated under
    more attacks than the other.
    """
    rank = pl.col("status").replace_strict({s: i for i, s in enumerate(STATUSES)})
    preferred = recordings.sort(rank, "pack_id").with_row_index("turn")
    trials = (
        preferred.unique(subset="trial_id", keep="first", maintain_order=True)
        .drop("turn")
        .sort("grid_radius", "learning_rate", "trial_id")
        .with_row_index("trial")
    )
    trial_of = preferred.select("turn", *RECORDING).join(
        trials.select("trial_id", "status", "trial"), on=["trial_id", "status"]
    )
    return Numbered(trials, trial_of, recordings.height - trials.height)


def cells_of(rows: pl.LazyFrame) -> pl.DataFrame:
    """Return the attacks and radii that occur, each with the number of its `cell`.

    Raises:
        ValueError: a norm that is none of `names.NORMS`, or an unknown split.
    """
    found = collected(rows.select("split", *CELL).unique(maintain_order=True))
    for name, allowed in (("split", SPLITS), ("attack_norm", tuple(NORMS))):
        unknown = sorted(set(found[name]) - set(allowed))
        if unknown:
            raise ValueError(f"unknown {name} {unknown[0]!r}; allowed: {', '.join(allowed)}")
    cells = found.select(CELL).unique(maintain_order=True)
    return cells.with_columns(pl.struct(CELL).rank("dense").cast(pl.UInt16).alias("cell"))


def values_of(rows: pl.LazyFrame, numbered: Numbered, cells: pl.DataFrame) -> pl.DataFrame:
    """Return every row's values under its trial and cell; `turn` orders what is there twice."""
    turn = ["turn"] if numbered.repeated else []
    return collected(
        rows.join(numbered.trial_of.lazy(), on=RECORDING, maintain_order="left")
        .join(cells.lazy(), on=CELL, maintain_order="left")
        .select(
            *("trial", "cell", "attack_radius", "accuracy"),
            pl.col("num_samples").cast(pl.Int32),
            *turn,
            is_test=pl.col("split") == "test",
        )
    )


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


def once(values: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the values with one row per trial, cell and split, and the rows that were left out.

    Of several one that has an accuracy counts, of these one on the most samples, and of these the
    first in turn. The rows left out have `differs`: another accuracy, radius or number of samples
    than the row that counts.
    """
    most = values["cell"].max()
    width = 1 + (most if isinstance(most, int) else 0)
    place = (pl.col("trial").cast(pl.Int64) * width + pl.col("cell")) * 2 + pl.col("is_test")
    if values.select(place.n_unique()).item() == values.height:
        return values.drop("turn", strict=False), values.clear().with_columns(differs=False)
    turns = ["turn"] if "turn" in values.columns else []
    samples = pl.col("num_samples")
    ordered = values.sort(pl.col("accuracy").is_null(), -samples, *turns, maintain_order=True)
    numbers = ordered.with_columns(copy=pl.int_range(pl.len()).over(_PLACE))
    first = numbers.filter(pl.col("copy") == 0).drop("copy", *turns)
    again = numbers.filter(pl.col("copy") > 0).join(first, on=_PLACE, suffix="_first")

    def apart(name: str) -> pl.Expr:
        return ((pl.col(name) - pl.col(f"{name}_first")).abs() > SAME).fill_null(False)

    differs = apart("accuracy") | apart("attack_radius") | apart("num_samples")
    return first, again.with_columns(differs=differs)


def repetition_notes(repeated: int, again: pl.DataFrame, trials: pl.DataFrame) -> tuple[str, ...]:
    """Say what was recorded more than once, and which trials' recordings differ."""
    notes = []
    less = pl.col("num_samples") < pl.col("num_samples_first")
    fewer = again.clear()
    if again.height:
        fewer, again = again.filter(less), again.filter(~less)
    if fewer.height:
        notes.append(f"{fewer.height} rows on fewer samples are left out, as others have more")
    if repeated:
        notes.append(f"{repeated} repeated recordings of a trial were left out")
    elif again.height:
        notes.append(f"{again.height} rows were read twice and count once")
    other = trials.join(again.filter("differs"), on="trial", how="semi")["trial_id"].sort()
    if len(other):
        named = ", ".join(other.head(NAMED)) + (", ..." if len(other) > NAMED else "")
        notes.append(
            f"{len(other)} trials are recorded twice with different numbers, of which the first "
            f"pack's count: {named}"
        )
    return tuple(notes)
