"""The command line: what it writes and how it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from analysis.artifact import chosen
from analysis.load import load
from analysis.locate import locate
from analysis.make_tables import main

SCRIPT = Path(__file__).parents[2] / "analysis" / "make_tables.py"


def test_run_as_a_file_from_elsewhere_builds_the_latest_experiment(
    simulated: Path, tmp_path: Path
) -> None:
    arguments = [f"results={simulated}", f"out={tmp_path}", "allow_simulated=true", "only=table2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "simulated_small: 364 trials" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} == {"table2.csv", "table2.md", "table2.tex"}


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    only = [] if any(a.startswith("only=") for a in arguments) else ["only=table2"]
    assert main([*arguments, *only]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_mistakes_are_one_line(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = f"results={simulated}"
    assert "no records under" in error_of(capsys, f"results={tmp_path}")
    assert "does not exist" in error_of(capsys, f"records={tmp_path / 'none'}")
    assert "no *.parquet file" in error_of(capsys, f"records={tmp_path}")
    assert "simulated_small" in error_of(capsys, results, "experiment=unheard-of")
    assert "allow_simulated=true" in error_of(capsys, results)
    assert "only='table99' is unknown" in error_of(capsys, results, "only=table99")
    assert "unknown argument 'colour=red'" in error_of(capsys, results, "colour=red")
    (tmp_path / "file").write_text("")
    inside = f"out={tmp_path / 'file' / 'x'}"
    assert "Not a directory" in error_of(capsys, results, inside, "allow_simulated=true")
    assert "not both" in error_of(capsys, results, "experiment=a", "records=b")


def one_pack(simulated: Path) -> pl.DataFrame:
    return pl.read_parquet(next((simulated / "simulated_small" / "records").iterdir()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": pl.lit(99)}, "schema version 99"),
        (
            {"schema_version": pl.when(pl.col("split") == "test").then(1).otherwise(2)},
            "mix schema versions [1, 2]",
        ),
        ({"accuracy": pl.lit(97.0)}, "must lie in [0, 1]"),
        ({"accuracy": pl.lit("high")}, "`f64` failed in column 'accuracy'"),
        ({"grid_radius": pl.lit("big")}, "`f64` failed in column 'grid_radius'"),
        ({"status": pl.lit("done")}, "unknown status 'done'"),
        ({"split": pl.lit("train")}, "unknown split 'train'"),
    ],
)
def test_foreign_records_are_refused(
    change: dict[str, pl.Expr],
    message: str,
    simulated: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "records.parquet"
    one_pack(simulated).with_columns(**change).write_parquet(file)
    assert message in error_of(capsys, f"records={file}", "allow_simulated=true")


def test_file_without_a_needed_column_names_it(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "records.parquet"
    one_pack(simulated).drop("accuracy").write_parquet(file)
    assert "lacks accuracy" in error_of(capsys, f"records={file}")


def test_columns_beyond_the_design_may_be_absent(simulated: Path, tmp_path: Path) -> None:
    extras = ["split_seed", "num_features", "num_classes", "pack_size", "train_seconds"]
    extras += ["evaluation_seconds", "device", "leaky", "simulated", "flags", "error"]
    whole = one_pack(simulated)
    whole.drop(extras).write_parquet(tmp_path / "records.parquet")
    trials = load(locate((), str(tmp_path), Path())).trials
    assert trials["num_features"].unique().to_list() == whole["num_features"].unique().to_list()
    assert trials["pack_size"].unique().to_list() == [trials.height]


def test_only_accepts_names_of_tables_and_figures() -> None:
    found_tables, found_figures = chosen(("figure2", "table2"))
    assert [t.name for t in found_tables] == ["table2"]
    assert [f.name for f in found_figures] == ["figure2"]
