"""Records that the program before schema 2 left: `tests/sweep/results/schema1` says which."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.driver.plan import make_plan
from sweep.errors import SchemaError
from sweep.results import schema, store
from sweep.results.__main__ import main
from sweep.upkeep import migrate, schema1
from tests.sweep.helpers import config

BEFORE = Path(__file__).parents[1] / "results" / "schema1"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("real", "made_up"):
        shutil.copytree(BEFORE / name, tmp_path / name)
    return tmp_path


def rows_of(folder: Path, kind: str = "records") -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((folder / kind).glob("*.parquet"))])


def real(results: Path) -> SweepConfig:
    """The first grid that ran under the name `real`."""
    small = config(results, name="real")
    return replace(
        small,
        grid=replace(small.grid, defense=["nominal", "rub", "pgd-linf"], grid_radius=[0.1, 0.3]),
        training=Training(steps=5, curve_every=2),
        evaluation=Evaluation(
            attacks=["fgsm-linf", "pgd-linf"], attack_grid_radii=[0.0, 0.1], max_samples=10
        ),
    )


def wine(results: Path) -> SweepConfig:
    """The second grid that ran under the name `real`."""
    first = real(results)
    return replace(
        first,
        grid=replace(
            first.grid,
            dataset=["wine"],
            defense=["arub-linf", "coap-linf"],
            learning_rate=[1e-3],
        ),
        training=Training(steps=4, curve_every=0, bound_checks=0.5, trace_every=2),
    )


def made_up(results: Path) -> SweepConfig:
    first = real(results)
    return replace(
        first,
        name="made_up",
        simulate=True,
        grid=replace(first.grid, learning_rate=[1.0, 1e-3], defense=["nominal", "arub-l1", "rub"]),
        evaluation=Evaluation(attack_grid_radii=[0.0, 0.1, 1.0], certify_tight=True),
    )


def test_records_of_schema_1_are_refused_with_the_command_that_brings_them(results: Path) -> None:
    with pytest.raises(SchemaError, match=r"python -m sweep\.results migrate"):
        store.finished(results)


@pytest.mark.parametrize(("of", "trials"), [(real, 10), (wine, 4), (made_up, 10)])
def test_sweep_over_a_migrated_grid_has_nothing_to_do(
    of: Callable[[Path], SweepConfig], trials: int, results: Path
) -> None:
    """But for certificates, which are now those of the network as it runs."""
    assert main(["migrate", f"results={results}"]) == 0
    config = of(results)
    attacks = replace(config.evaluation, certify=False, certify_tight=False, certificates=[])
    plan = make_plan([replace(config, evaluation=attacks)])
    assert len(plan.trials) == trials
    assert not [trial for part in plan.parts for trial in plan.missing(part)]


def test_no_number_changes(results: Path) -> None:
    list(migrate.migrate(results))
    for name in ("real", "made_up"):
        old, new = rows_of(BEFORE / name), rows_of(results / name)
        kept = [c for c in old.columns if c in new.columns]
        kept = [c for c in kept if c not in ("trial_id", "schema_version")]
        key = [*kept[:6], "seed", "defense", "grid_radius", "learning_rate", "split", "attack"]
        order = [*dict.fromkeys(key), "attack_grid_radius"]
        assert new.select(kept).sort(order).equals(old.select(kept).sort(order))
        assert set(new["schema_version"]) == {schema.SCHEMA_VERSION}


def test_migrated_folder_is_found_sound(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"results={results}"]) == 1
    assert "python -m sweep.results migrate" in capsys.readouterr().out
    list(migrate.migrate(results))
    assert main(["check", f"results={results}"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_curves_and_manifest_follow_their_trials(results: Path) -> None:
    list(migrate.migrate(results))
    for name in ("real", "made_up"):
        recorded = set(rows_of(results / name)["trial_id"])
        assert set(rows_of(results / name, "curves")["trial_id"]) <= recorded
        assert rows_of(results / name, "curves").height == rows_of(BEFORE / name, "curves").height
        manifest = json.loads((results / name / "manifest.json").read_text())
        assert set(manifest["trial_ids"]) == recorded
        before = json.loads((BEFORE / name / "manifest.json").read_text())
        assert manifest["commands"] == before["commands"]


def test_old_files_are_kept_as_they_were(results: Path) -> None:
    list(migrate.migrate(results))
    for path in BEFORE.glob("*/*/*.parquet"):
        experiment, kind, name = path.relative_to(BEFORE).parts
        copy = results / experiment / "schema-1" / kind / name
        assert copy.read_bytes() == path.read_bytes()


def test_second_migration_finds_nothing_to_do(results: Path) -> None:
    list(migrate.migrate(results))
    before = {path: path.read_bytes() for path in results.rglob("*.parquet")}
    assert [done.files for done in migrate.migrate(results)] == [0, 0]
    assert {path: path.read_bytes() for path in results.rglob("*.parquet")} == before


@pytest.mark.parametrize("writes", range(1, 26, 3))
def test_migration_killed_at_any_write_is_completed_by_the_next(
    writes: int, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [writes]

    def replace_or_die(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        self.rename(target)
        return target

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_or_die)
        with pytest.raises(KeyboardInterrupt):
            list(migrate.migrate(results))
    list(migrate.migrate(results))
    assert main(["check", f"results={results}"]) == 0
    assert rows_of(results / "real").height == rows_of(BEFORE / "real").height
    assert rows_of(results / "real", "curves").height == rows_of(BEFORE / "real", "curves").height


def changed(results: Path, **columns: pl.Expr) -> Path:
    """Change columns of one file of records; return the file."""
    path = sorted((results / "real" / "records").glob("*.parquet"))[0]
    table = pl.read_parquet(path).with_columns(**columns).to_arrow()
    store.write_table(path, table)
    return path


def test_trials_that_do_not_say_how_they_were_made_are_left_and_counted(results: Path) -> None:
    path = changed(results, options=pl.lit(None, pl.String))
    trials = set(pl.read_parquet(path)["trial_id"])
    done = {one.experiment: one for one in migrate.migrate(results)}["real"]
    assert done.reasons[schema1.NO_OPTIONS] == len(trials)
    assert f"{len(trials)} left behind" in done.line()
    assert not path.exists()
    assert set(pl.read_parquet(results / "real" / "schema-1" / "records" / path.name)["trial_id"])


def test_ids_that_are_not_the_hash_of_their_columns_are_left(results: Path) -> None:
    changed(results, steps=pl.col("steps") + 1)
    done = {one.experiment: one for one in migrate.migrate(results)}["real"]
    assert done.reasons[schema1.OTHER_IDS] > 0


def test_damaged_file_is_left_and_named(results: Path) -> None:
    path = sorted((results / "real" / "records").glob("*.parquet"))[0]
    whole = bytearray(path.read_bytes())
    whole[100] ^= 1
    path.write_bytes(whole)
    done = {one.experiment: one for one in migrate.migrate(results)}["real"]
    assert path.name in done.line()


def test_one_network_evaluated_in_two_ways_becomes_one_with_the_rows_of_both(
    results: Path,
) -> None:
    # As schema 1 recorded it: another id, because of another bound on samples.
    path = sorted((results / "made_up" / "records").glob("*.parquet"))[0]
    rows = pl.read_parquet(path)
    ids = {}
    for row in rows.unique("trial_id").to_dicts():
        options = json.dumps(
            {**json.loads(row["options"]), "max_samples": 7},
            sort_keys=True,
            separators=(",", ":"),
        )
        values = {name: row[name] for name in schema1._HASHED} | {"options": options}
        ids[row["trial_id"]] = (schema1.content_hash({**values, "numerics_version": 3}), options)
    other = rows.with_columns(
        trial_id=pl.col("trial_id").replace_strict({k: v[0] for k, v in ids.items()}),
        options=pl.col("trial_id").replace_strict({k: v[1] for k, v in ids.items()}),
        pack_id=pl.lit("0123456789abcdef"),
    )
    store.write_table(path.with_name("0123456789abcdef.parquet"), other.to_arrow())
    list(migrate.migrate(results))
    new = rows_of(results / "made_up")
    assert new.height == rows_of(BEFORE / "made_up").height + rows.height
    of_before = new.filter(pl.col("pack_id") != "0123456789abcdef")
    assert set(new["trial_id"]) == set(of_before["trial_id"])
    assert not new.select("trial_id", "evaluation_id").is_duplicated().any()


def test_version_of_numerics_is_the_one_that_the_id_tells() -> None:
    row = rows_of(BEFORE / "real").to_dicts()[0]
    assert schema1.numerics_version(row) == 3
    older = {name: row[name] for name in schema1._HASHED}
    older["trial_id"] = schema1.content_hash({**older, "numerics_version": 2})
    assert schema1.numerics_version(older) == 2
    assert schema1.numerics_version({**older, "steps": 6}) is None


def test_nested_rows_say_at_which_smaller_radii() -> None:
    row = {
        **rows_of(BEFORE / "real").to_dicts()[0],
        "attack": "pgd-linf",
        "attack_radius": 0.3,
        "options": '{"nested":true}',
    }
    told = schema1.evaluation_columns(row, [0.0, 0.3, 0.1, 0.2, 0.5])
    assert json.loads(told["evaluation_options"])["nested"] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["migrate", "experiment=nope"], "experiment=nope"),
        (["migrate", "results=nowhere"], "results=nowhere"),
        (["check", "results=s3://bucket"], "object store"),
        (["mend"], "'mend'"),
        (["check", "what"], "'what'"),
    ],
)
def test_wrong_argument_is_named_in_one_line(
    given: list[str], named: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = any(text.startswith("results=") for text in given)
    assert main(given if elsewhere else [*given, f"results={results}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_fixture_is_of_schema_1() -> None:
    assert not (BEFORE / "real" / "schema-1").exists()
    assert {migrate._version(path) for path in BEFORE.glob("*/*/*.parquet")} == {schema1.VERSION}
