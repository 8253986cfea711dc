"""A sweep in balls with the catalog's costs: what is trained, measured and recorded."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from robust import certify
from robust.networks import load
from sweep import datasets
from sweep.config.schema import Data, SweepConfig, data_options
from sweep.pack import assess, run
from sweep.pack.run import Job, run_pack
from tests.sweep.helpers import config, jobs

RADII = [0.0, 0.1, 0.5]
CATALOG = "(costs=catalog)"


def priced(tmp_path: Path, costs: str, *defenses: str) -> SweepConfig:
    (tmp_path / "catalog").mkdir(exist_ok=True)
    (tmp_path / "catalog" / "iris.yaml").write_text(f"name: iris\ncosts: {costs}\n")
    small = config(tmp_path / "results")
    grid = replace(
        small.grid, defense=list(defenses), costs=["uniform", "catalog"], learning_rate=[1e-2]
    )
    evaluation = replace(
        small.evaluation,
        attacks=["fgm-l1", "pgd-l1", "vertex-l1"],
        attack_grid_radii=RADII,
        certificates=["certified-l1-best"],
    )
    return replace(
        small,
        grid=grid,
        evaluation=evaluation,
        training=replace(small.training, steps=30, trace_every=10),
        data=Data(source="bundled", catalog=str(tmp_path / "catalog")),
    )


def measured(job: Job) -> dict[tuple[str, str, float], dict[str, Any]]:
    run_pack(job)
    path = run.folder(job).records(job.pack.pack_id)
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return {(r["split"], r["attack"], r["attack_grid_radius"]): r for r in rows}


def test_costs_of_one_give_the_numbers_of_plain_balls(tmp_path: Path) -> None:
    found = {j.pack.first.defense: measured(j) for j in jobs(priced(tmp_path, "{}", "rub"))}
    plain, weighted = found["rub"], found["rub(costs=catalog)"]
    for (split, attack, radius), row in plain.items():
        assert row["error"] is None
        other = weighted[split, attack, radius]
        assert row["accuracy"] == other["accuracy"]
        assert row["weights_hash"] == other["weights_hash"]
        if not attack.endswith("(costs=catalog)"):
            same = plain[split, f"{attack}(costs=catalog)", radius]
            assert (row["accuracy"], row["flags"]) == (same["accuracy"], same["flags"])


def test_immutable_features_are_what_training_and_rows_say(tmp_path: Path) -> None:
    made = priced(tmp_path, '{"petal length (cm)": inf, "petal width (cm)": inf}', "rub")
    found = {j.pack.first.defense: (j, measured(j)) for j in jobs(made)}
    assert len({rows["test", "fgm-l1", 0.0]["weights_hash"] for _, rows in found.values()}) == 2
    for _, rows in found.values():
        for split in ("validation", "test"):
            for radius in RADII:
                low, high = (
                    rows[split, f"{name}(costs=catalog)", radius]["accuracy"]
                    for name in ("certified-l1-best", "vertex-l1")
                )
                assert low <= high
                for name in ("certified-l1-best", "certified-l1", "vertex-l1"):
                    # The ball with immutable features lies within the plain one.
                    within = rows[split, f"{name}(costs=catalog)", radius]["accuracy"]
                    assert within >= rows[split, name, radius]["accuracy"]
    _check_by_hand(made, *found["rub(costs=catalog)"])


def _check_by_hand(made: SweepConfig, job: Job, rows: dict[Any, dict[str, Any]]) -> None:
    """The recorded certificates again, of the kept network, by the library alone."""
    data = datasets.load("iris", "standardized", data_options(made), 0)
    costs = [math.inf if "petal" in name else 1.0 for name in data.info.feature_names]
    path = next((Path(made.paths.results)).rglob(f"*{job.pack.pack_id}*.safetensors"))
    net, x, y = load(path), torch.from_numpy(data.test.x), torch.from_numpy(data.test.y)
    row = rows["test", "certified-l1-best(costs=catalog)", 0.5]
    proven = certify.certified(net, x, y, row["attack_radius"], method="best", costs=costs)
    counted = made.evaluation.max_samples
    assert counted is not None
    assert counted < len(y)
    assert 0 < row["num_samples"] == counted
    share = float(proven.double().mean())
    assert row["accuracy"] == pytest.approx(share, abs=3 / math.sqrt(counted))


def test_an_entry_that_changed_under_a_plan_stops_its_packs(tmp_path: Path) -> None:
    made = priced(tmp_path, "{default: 2}", "rub")
    job = jobs(made)[0]
    stale = replace(job, info=replace(job.info, costs=(1.0, 2.0, 3.0, 4.0)))
    run_pack(stale)
    path = run.folder(stale).records(stale.pack.pack_id)
    rows = pq.read_table(path).to_pylist()
    assert {row["status"] for row in rows} == {"failed"}
    assert "other costs here" in rows[0]["error"]


def test_what_is_settled_in_plain_balls_says_nothing_of_wider_ones(tmp_path: Path) -> None:
    """At costs below 1 the ball is wider, and would count as kept what attacks there break."""
    told = []
    for skip in (True, False):
        folder = tmp_path / str(skip)
        folder.mkdir()
        made = priced(folder, "{default: 0.2}", "rub")
        job = jobs(replace(made, evaluation=replace(made.evaluation, skip=skip)))[0]
        found = {key: (row["accuracy"], row["flags"]) for key, row in measured(job).items()}
        told.append(found)
    assert told[0] == told[1]
    wide, plain = (told[0]["test", name, 0.1][0] for name in (f"vertex-l1{CATALOG}", "vertex-l1"))
    assert wide < plain


def test_rows_in_balls_with_costs_are_judged_beside_attacks_there() -> None:
    asked = {f"vertex-l1{CATALOG}": {1.0}, f"pgd-l1{CATALOG}": {2.0}, "pgd-l1": {3.0}}
    assert assess.with_companions({**asked, f"certified-l1{CATALOG}": {4.0}}) == {
        f"vertex-l1{CATALOG}": (1.0,),
        f"pgd-l1{CATALOG}": (1.0, 2.0),
        f"fgm-l1{CATALOG}": (1.0, 2.0),
        "pgd-l1": (3.0,),
        "fgm-l1": (3.0,),
        f"certified-l1{CATALOG}": (4.0,),
    }
