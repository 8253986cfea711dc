"""The command `best`: what it chooses, on what data, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from analysis.best import choose
from analysis.load import from_frame, load
from analysis.locate import locate
from analysis.records import Records
from robust_sweep import cli
from tests.analysis.simulated import simulate

WINE = ("dataset=wine", "radius=0.1", "allow_simulated=true")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up records of wine."""
    folder = tmp_path_factory.mktemp("my results")
    simulate(folder, "+experiment=quickstart", "grid.dataset=[wine]", "name=study")
    return folder


@pytest.fixture(scope="module")
def frame(results: Path) -> pd.DataFrame:
    files = sorted((results / "study" / "records").glob("*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files])


@pytest.fixture(scope="module")
def records(results: Path) -> Records:
    return load(locate(["study"], "", results), allow_simulated=True)


@pytest.mark.parametrize(("norm", "measure"), [("linf", "attacked"), ("l1", "certified")])
def test_choice_has_the_highest_validation_accuracy(
    norm: str, measure: str, frame: pd.DataFrame, records: Records
) -> None:
    """A reference in pandas: the worst attack or the best proof of each trial, then the best."""
    proof = frame["attack"].str.startswith("certified")
    at = frame[
        (frame["attack_norm"] == norm)
        & (frame["attack_grid_radius"] == 0.1)
        & (frame["split"] == "validation")
        & (proof if measure == "certified" else ~proof)
    ]
    each = at.groupby("trial_id")["accuracy"].agg("max" if measure == "certified" else "min")
    chosen = choose(records, "wine", norm, 0.1, measure)
    assert chosen.validation == pytest.approx(each.max())
    assert each[chosen.trial["trial_id"]] == pytest.approx(each.max())
    assert chosen.candidates == len(each)
    assert chosen.tied == int((each == each.max()).sum())


def test_choice_does_not_look_at_test_data(frame: pd.DataFrame, records: Records) -> None:
    chosen = choose(records, "wine", "linf", 0.1, "attacked")
    spoilt = frame.copy()
    on_test = spoilt["split"] == "test"
    spoilt.loc[on_test, "accuracy"] = 1 - spoilt.loc[on_test, "accuracy"]
    again = choose(from_frame(spoilt), "wine", "linf", 0.1, "attacked")
    assert again.trial["trial_id"] == chosen.trial["trial_id"]
    assert not again.test["accuracy"].equals(chosen.test["accuracy"])


def test_diverged_trials_are_never_chosen(frame: pd.DataFrame, records: Records) -> None:
    chosen = choose(records, "wine", "linf", 0.1, "attacked").trial["trial_id"]
    lost = frame[frame["trial_id"] == chosen].head(1).copy()
    lost["status"], lost["diverged_step"], lost["accuracy"] = "diverged", 3, None
    others = frame[frame["trial_id"] != chosen]
    again = choose(from_frame(pd.concat([others, lost])), "wine", "linf", 0.1, "attacked")
    assert again.trial["trial_id"] != chosen
    assert again.candidates == others["trial_id"].nunique()


def test_defense_restricts_the_choice(records: Records) -> None:
    assert choose(records, "wine", "l2", 0.5, "attacked", "rub").trial["defense"] == "rub"


def test_test_rows_are_those_of_the_chosen_trial(frame: pd.DataFrame, records: Records) -> None:
    chosen = choose(records, "wine", "linf", 0.1, "attacked")
    own = frame[(frame["trial_id"] == chosen.trial["trial_id"]) & (frame["split"] == "test")]
    at = own[(own["attack_norm"] == "linf") & (own["attack_grid_radius"] == 0.1)]
    clean, *others = chosen.test.iter_rows(named=True)
    assert clean["accuracy"] == own[own["attack_grid_radius"] == 0]["accuracy"].iloc[0]
    assert {row["attack"]: row["accuracy"] for row in others} == dict(
        zip(at["attack"], at["accuracy"], strict=True)
    )


def test_commands_name_the_network_and_a_folder_with_a_space(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["best", *WINE, f"results={results}"]) == 0
    out = capsys.readouterr().out
    (trial,) = (line.split()[1] for line in out.splitlines() if line.startswith("trial "))
    export = f"robust-sweep networks export {trial} format=onnx experiment=study"
    assert f"export: {export} results='{results}'" in out
    assert "weights are not kept" in out  # made-up networks have none


def test_options_may_be_written_as_flags(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["best", *WINE, "norm=l2", f"results={results}"])
    plain = capsys.readouterr().out
    flags = ("--dataset", "wine", "--norm", "l2", "--radius", "0.1", "--allow-simulated", "true")
    assert cli.main(["best", *flags, f"--results={results}"]) == 0
    assert capsys.readouterr().out == plain


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["radius=0.1"], "dataset is missing"),
        (["dataset=wine"], "radius is missing"),
        ([*WINE, "radius=x"], "radius=x: must be a number"),
        ([*WINE, "radius=nan"], "radius=nan: not measured in linf (attacked); known: 0, 0.01"),
        ([*WINE, "radius=0.11"], "radius=0.11: not measured"),
        ([*WINE, "norm=l3"], "norm=l3: unknown norm 'l3'"),
        ([*WINE, "dataset=wines"], "did you mean 'wine'"),
        ([*WINE, "defense=rubb"], "did you mean 'rub'"),
        ([*WINE, "measure=proven"], "known: attacked, certified"),
        ([*WINE, "experiment=none"], "unknown experiment='none'"),
        ([*WINE, "norn=l1"], "unknown argument 'norn=l1'"),
        (["wine"], "unknown argument 'wine'"),
        (["dataset=wine", "radius=0.1"], "allow_simulated"),
    ],
)
def test_mistake_is_one_line(
    arguments: list[str], message: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["best", *arguments, f"results={results}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_no_finished_network_is_said(frame: pd.DataFrame) -> None:
    lost = frame.drop_duplicates("trial_id").copy()
    lost["status"], lost["diverged_step"], lost["accuracy"] = "diverged", 3, None
    assert pl.from_pandas(lost)["accuracy"].null_count() == len(lost)
    with pytest.raises(ValueError, match="wine"):
        choose(from_frame(lost), "wine", "linf", 0.1, "attacked")
