"""What past packs teach about the time of the next ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.cost import calibration
from sweep.driver import driver
from tests.sweep.helpers import config

LINE = {
    "device": "cpu",
    "defense": "nominal",
    "failed": 0,
    "train_flops": 4e9,
    "train_seconds": 2.0,
    "evaluation_flops": 9e9,
    "evaluation_seconds": 3.0,
    "seconds": 6.0,
    "predicted_seconds": 6.0,
    "beside_seconds": 1.5,
}


def write(results: Path, *lines: dict[str, object], end: str = "\n") -> None:
    path = results / "small" / "logs" / "packs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps({**LINE, **line}) for line in lines) + end)


def test_rates_are_operations_per_second_of_training_by_defense(tmp_path: Path) -> None:
    write(tmp_path, {}, {"train_flops": 8e9, "train_seconds": 1.0}, {"defense": "rub"})
    rates = calibration.learn(tmp_path, "cpu")
    assert rates.training == {"nominal": 4e9, "rub": 2e9}  # 12e9 in 3 s; 4e9 in 2 s
    assert rates.evaluation == 3e9
    assert rates.packs == 3
    assert rates.overhead == 1.0
    assert rates.around_pack == 1.5
    assert rates.seconds("rub", 4e9, 6e9) == pytest.approx(2.0 + 2.0 + 1.0)
    assert rates.seconds("never seen", 3e9, 0.0) == pytest.approx(3e9 / 3e9 + 1.0)  # the median


def test_error_is_the_median_distance_of_estimate_and_measurement(tmp_path: Path) -> None:
    write(tmp_path, *({"predicted_seconds": p} for p in (6.0, 3.0, 7.5, 60.0, 6.6)))
    # Off by 0, 50%, 25%, 900% and 10%.
    assert calibration.learn(tmp_path, "cpu").error == pytest.approx(0.25)


def test_failed_packs_other_devices_and_half_a_line_are_left_out(tmp_path: Path) -> None:
    half = json.dumps(LINE)[:40]
    write(tmp_path, {}, {"failed": 1}, {"device": "gpu"}, end="\n" + half)
    assert calibration.learn(tmp_path, "cpu").packs == 1
    assert calibration.learn(tmp_path, "another") == calibration.Rates()


DAMAGED = {
    "no json": b"{half",
    "no text": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "a number": b"7",
    "no device": json.dumps({"seconds": 1.0}).encode(),
    "a text for a number": json.dumps({**LINE, "train_seconds": "2"}).encode(),
    "nan": json.dumps({**LINE, "train_flops": math.nan}).encode(),
    "infinite": json.dumps({**LINE, "seconds": math.inf}).encode(),
    "negative": json.dumps({**LINE, "evaluation_seconds": -3.0}).encode(),
    "truth for a number": json.dumps({**LINE, "seconds": True}).encode(),
    "a list for a name": json.dumps({**LINE, "defense": ["rub"]}).encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_line_is_left_out_with_one_note(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {}, {"defense": "rub"})
    path = tmp_path / "small" / "logs" / "packs.jsonl"
    path.write_bytes(DAMAGED[damage] + b"\n" + path.read_bytes())
    for _ in range(2):
        assert calibration.learn(tmp_path, "cpu").packs == 2
        assert calibration.splits(tmp_path, "cpu") == {}
    error = capsys.readouterr().err
    assert error.count(str(path)) == error.count("\n") == 1


def test_line_without_time_or_of_an_older_version_teaches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"seconds": 0.0})
    path = tmp_path / "small" / "logs" / "packs.jsonl"
    path.write_text(path.read_text() + json.dumps({"device": "cpu", "failed": 0}) + "\n\n")
    assert calibration.learn(tmp_path, "cpu") == calibration.Rates()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["folder", "device"])
def test_log_that_is_no_file_teaches_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "small" / "logs" / "packs.jsonl"
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    assert calibration.learn(tmp_path, "cpu") == calibration.Rates()


def test_dry_run_shows_the_error_of_past_estimates_once_there_are_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = config(tmp_path, dry_run=True)
    small = replace(small, ray=replace(small.ray, num_gpus=0))
    driver.dry_run([small])
    assert "estimate not calibrated: no pack has run here yet" in capsys.readouterr().out
    write(tmp_path, *({"predicted_seconds": p} for p in (3.0, 7.5, 6.6)))
    driver.dry_run([small])
    output = " ".join(capsys.readouterr().out.split())
    assert "calibrated on 3 packs that ran here" in output
    assert "past estimates were off by 25% in the median" in output
