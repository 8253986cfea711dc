"""What every registered table and figure does with records that are not whole."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import polars as pl
import pytest

from analysis.artifact import Figure, Table, figures, tables
from analysis.build import write_table
from analysis.figure_files import draw_figure
from analysis.load import load
from analysis.locate import locate
from analysis.names import label
from analysis.records import Records
from tests.analysis.made_records import frame_of, records_of, rows_of

Pair = list[dict[str, object]]
ARTIFACTS = [*tables().items(), *figures().items()]
EVERY = pytest.mark.parametrize("artifact", [pytest.param(a, id=name) for name, a in ARTIFACTS])
ATTACKS = ("pgd-l2", "fgm-l2", "pgd-l1", "fgm-l1", "pgd-linf", "fgsm-linf", "certified-l1")
IMAGES = {"mnist": 784, "fashion-mnist": 784, "cifar10": 3072}


def grid(arm: str = "rub", **changes: object) -> list[Pair]:
    """Two defenses on a tabular and three image sets, dense and convolutional."""
    made = []
    sets = product(["iris", *IMAGES], ["mlp-3x200", "cnn"], ["nominal", arm], [0.0, 0.1])
    for dataset, network, defense, radius in sets:
        for attack in ("pgd-l2",) if network == "cnn" else ATTACKS:
            values: dict[str, object] = {
                "dataset": dataset, "network": network, "defense": defense, "attack": attack,
                "attack_grid_radius": radius, "num_features": IMAGES.get(dataset, 4),
                "attack_norm": attack.split("-")[1], **changes,
            }  # fmt: skip
            if network == "cnn":  # its L2 balls are as in the grid
                values["attack_radius"] = radius
            made.append(rows_of(f"{dataset}-{network}-{defense}", 0.75, 0.5, **values))
    return made


def make(artifact: Table | Figure, records: Records, out: Path) -> int:
    """Build, lay out and write an artifact; return the rows it was made of."""
    frame = artifact.build(records)
    if isinstance(artifact, Figure):
        if not frame.empty:
            draw_figure(artifact.name, frame, out)
        return len(frame)
    printed = write_table(artifact, records, out)
    assert (printed is None) == frame.empty
    for layout in (artifact.layout, artifact.compare, artifact.behind):
        for block in layout(frame) if layout and printed else ():
            assert {len(row.cells) for row in block.rows} == {len(block.columns)}
    return len(frame)


def test_there_are_tables_and_figures() -> None:
    assert tables()
    assert figures()


def without_accuracy(pairs: list[Pair], **changes: object) -> list[Pair]:
    return [[{**row, "accuracy": None, **changes} for row in pair] for pair in pairs]


COUNTS_TRIALS = {"health", "table2", "table6"}  # they need no accuracy


@EVERY
@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_trials_without_accuracies_fill_no_cell(
    artifact: Table | Figure, status: str, tmp_path: Path
) -> None:
    records = records_of(*without_accuracy(grid(), status=status))
    assert (make(artifact, records, tmp_path) > 0) == (artifact.name in COUNTS_TRIALS)


@EVERY
def test_sweep_without_test_records_yet_fills_no_cell(
    artifact: Table | Figure, tmp_path: Path
) -> None:
    records = records_of(*(pair[:1] for pair in grid()))
    rows = make(artifact, records, tmp_path)
    assert (rows > 0) == (artifact.name in {*COUNTS_TRIALS, "hyperparameters"})


@pytest.mark.parametrize(
    "artifact", [pytest.param(a, id=name) for name, a in ARTIFACTS if name not in COUNTS_TRIALS]
)
def test_one_diverged_trial_changes_no_accuracy(artifact: Table | Figure, tmp_path: Path) -> None:
    lost = without_accuracy(grid(learning_rate=1.0), status="diverged", diverged_step=3)
    for pair in lost:
        for row in pair:
            row["trial_id"] = f"{row['trial_id']}-lost"
    whole, more = records_of(*grid()), records_of(*grid(), *lost)
    before, after = artifact.build(whole), artifact.build(more)
    if not before.empty:
        counted = [name for name in before.columns if name == "diverged"]
        assert before.drop(columns=counted).equals(after.drop(columns=counted))
        assert all((after[name] > 0).all() for name in counted)
    make(artifact, more, tmp_path)


MISSING_CELLS = {
    "table4": ("pgd-l2", "fgm-l2"),
    "table8": ("certified-l1",),
    "table12": ("pgd-l2",),
    "scaling": ("pgd-l2", "fgm-l2"),
}


@pytest.mark.parametrize("name", MISSING_CELLS)
def test_missing_cell_is_a_dash_and_never_filled(name: str, tmp_path: Path) -> None:
    family = "cnn" if name == "table12" else "mlp-3x200"
    arm = "arub-l1" if name == "table12" else "rub"  # the paper has no RUB for these networks
    gone = [
        pair
        for pair in grid(arm)
        if not (
            pair[0]["attack"] in MISSING_CELLS[name]
            and (pair[0]["dataset"], pair[0]["network"]) == ("mnist", family)
            and (pair[0]["defense"], pair[0]["attack_grid_radius"]) == (arm, 0.1)
        )
    ]
    whole, partial = (tables()[name].build(records_of(*p)) for p in (grid(arm), gone))
    assert len(whole) == len(partial) + 1
    keys = [k for k in ("dataset", "attack", "attack_norm") if k in partial.columns]
    cells = partial[partial["dataset"] == "mnist"].groupby([*keys, "defense"]).size()
    assert cells.min() == 1
    write_table(tables()[name], records_of(*gone), tmp_path)
    lines = (tmp_path / f"{name}.md").read_text().splitlines()
    assert any(line.startswith(f"| {label(arm)} | **50.00** | –") for line in lines)


def with_nan(folder: Path, status: str) -> Path:
    """A file in which a trial's accuracies are NaN; pandas itself would write null."""
    frame = frame_of(rows_of("a", 0.5, 0.5), rows_of("b", 0.5, 0.5, status=status))
    nan = pl.when(pl.col("trial_id") == "b").then(float("nan")).otherwise(pl.col("accuracy"))
    pl.from_pandas(frame).with_columns(accuracy=nan).write_parquet(folder / "nan.parquet")
    return folder / "nan.parquet"


def test_nan_of_a_complete_trial_is_refused(tmp_path: Path) -> None:
    file = with_nan(tmp_path, "complete")
    with pytest.raises(ValueError, match="complete trial 'b' is NaN") as caught:
        load(locate((), str(file), tmp_path))
    assert "\n" not in str(caught.value)


def test_nan_of_a_diverged_trial_is_missing(tmp_path: Path) -> None:
    records = load(locate((), str(with_nan(tmp_path, "diverged")), tmp_path))
    assert records.test["accuracy"].to_list() == [0.5, None]
