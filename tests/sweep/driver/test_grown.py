"""A sweep whose evaluation grows trains nothing, and says so before it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sweep.config.schema import Ray, SweepConfig, Training
from sweep.driver import driver
from sweep.results import store
from tests.sweep.helpers import config

ROOT = Path(__file__).resolve().parents[3]
WIDER = {
    "attacks": ["fgsm-linf", "fgm-l1", "vertex-l1"],
    "attack_grid_radii": [0.0, 0.1, 0.3, 0.5],
}


def small(results: Path, **evaluation: Any) -> SweepConfig:
    plain = config(results, debug=True, training=Training(steps=5, curve_every=0))
    ray = Ray(num_cpus=1, num_gpus=0)
    return replace(plain, ray=ray, evaluation=replace(plain.evaluation, **evaluation))


def packs_logged(results: Path) -> list[dict[str, Any]]:
    text = (results / "small" / "logs" / "packs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def weights(results: Path) -> dict[str, tuple[bytes, int]]:
    files = (results / "small" / "networks").iterdir()
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def keys(results: Path) -> list[tuple[str, str]]:
    folder = store.Folder(results, "small")
    rows = [row for path in folder.record_files() for row in pq.read_table(path).to_pylist()]
    return sorted((row["trial_id"], row["evaluation_id"]) for row in rows)


def test_wider_evaluation_is_made_on_kept_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.sweep([small(tmp_path)])
    kept, before = weights(tmp_path), packs_logged(tmp_path)
    capsys.readouterr()
    driver.dry_run([small(tmp_path, **WIDER)])
    planned = capsys.readouterr().out
    ending = driver.sweep([small(tmp_path, **WIDER)])
    said = capsys.readouterr().out
    line = "small: evaluate 4 kept networks in 2 packs (fgsm-linf at 1 radius, fgm-l1 at 1 radius"
    assert line in planned and line in said
    assert "0.00e+00 to train" in planned
    assert (ending.trained, ending.failed) == (4, 0)
    assert weights(tmp_path) == kept
    added = packs_logged(tmp_path)[len(before) :]
    assert [pack["train_seconds"] for pack in added] == [0, 0]
    assert [pack["train_flops"] for pack in added] == [0, 0]
    found = keys(tmp_path)
    assert len(found) == len(set(found)) == 4 * 2 * (3 + 1) * 4  # with the certificate
    driver.sweep([small(tmp_path, **WIDER)])
    assert "all 4 trials are complete; nothing to train" in capsys.readouterr().out


def test_parts_of_a_sweep_that_share_networks_train_them_once(tmp_path: Path) -> None:
    parts = [small(tmp_path), small(tmp_path, **WIDER)]
    ending = driver.sweep(parts)
    assert not ending.unfinished
    assert sum(pack["train_seconds"] > 0 for pack in packs_logged(tmp_path)) == 2
    found = keys(tmp_path)
    assert len(found) == len(set(found)) == 4 * 2 * (3 + 1) * 4


def test_smaller_evaluation_leaves_what_there_is(tmp_path: Path) -> None:
    driver.sweep([small(tmp_path, **WIDER)])
    before = keys(tmp_path)
    assert driver.sweep([small(tmp_path)]).trained == 0
    assert keys(tmp_path) == before


def test_added_rows_that_were_cut_short_are_made_again(tmp_path: Path) -> None:
    driver.sweep([small(tmp_path)])
    driver.sweep([small(tmp_path, **WIDER)])
    whole = keys(tmp_path)
    folder = store.Folder(tmp_path, "small")
    (added, *_) = [path for path in folder.record_files() if path.stem.count(".")]
    added.unlink()
    assert driver.sweep([small(tmp_path, **WIDER)]).trained == 2
    assert keys(tmp_path) == whole


UNDER_RAY = """
import sys
from dataclasses import replace
from pathlib import Path
from sweep.driver import driver
from tests.sweep.driver.test_grown import WIDER, small
results = Path(sys.argv[1])
driver.sweep([small(results)])
asked = small(results, **WIDER)
driver.sweep([replace(asked, debug=False)])
"""


@pytest.mark.slow
def test_kept_networks_are_evaluated_under_ray(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_RAY, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "evaluate 4 kept networks in 2 packs" in done.stdout
    found = keys(tmp_path)
    assert len(found) == len(set(found)) == 4 * 2 * (3 + 1) * 4
    assert len(weights(tmp_path)) == 2
