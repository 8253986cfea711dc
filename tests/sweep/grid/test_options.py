"""A trial's id hashes what its weights follow from, a row's what its accuracy follows from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from robust import attacks, defenses
from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.driver import plan
from sweep.grid import packing
from sweep.grid.expand import expand
from sweep.grid.options import plain, training_options
from sweep.grid.rows import wanted_rows
from sweep.pack import monitor
from sweep.pack.outcome import failed_pack
from sweep.pack.records import Origin, build_records
from sweep.pack.run import run_pack
from sweep.pack.simulate import measure
from sweep.results import identity, schema
from tests.sweep.helpers import config, info, infos, jobs, pack_of

PLAIN = replace(config(), training=Training(), evaluation=Evaluation())
BEST = ["pgd-linf-best", "fgsm-linf"]


def ids(small: SweepConfig, **facts: Any) -> set[str]:
    """The ids of a sweep's trials, on made-up data."""
    known = {key: replace(value, **facts) for key, value in infos(small).items()}
    return {trial.trial_id for trial in expand(small, known)}


def row_ids(small: SweepConfig, **facts: Any) -> set[str]:
    """The ids of the rows that each of a sweep's trials is to have, on made-up data."""
    return {row.evaluation_id for row in wanted_rows(small.evaluation, info(**facts))}


def evaluated(**changes: Any) -> SweepConfig:
    return replace(PLAIN, evaluation=replace(PLAIN.evaluation, **changes))


def trained(**changes: Any) -> SweepConfig:
    return replace(PLAIN, training=replace(PLAIN.training, **changes))


def test_options_name_every_field_at_its_value_defaults_included() -> None:
    options = training_options(PLAIN, defenses.get("pgd-linf"))
    assert options["defense"] == {"norm": "linf"}
    assert options["optimizer"] == {"name": "adam", "beta1": 0.9, "beta2": 0.999, "eps": 1e-7}
    rest = {key: options[key] for key in options if key not in ("defense", "optimizer")}
    assert rest == {
        "loss": "cross-entropy",
        "tf32": False,
        "keep_target_column": False,
        "simulate": False,
    }


@dataclass(frozen=True)
class Schedule:
    """A value that a plug-in may have as a field."""

    start: float = 0.5
    knots: tuple[int, ...] = (1, 2)


def test_field_of_a_plug_in_is_written_as_json() -> None:
    value = plain({"schedule": Schedule(), "limit": float("inf"), "zero": -0.0}, "x")
    assert json.loads(json.dumps(value, allow_nan=False)) == {
        "schedule": {"start": 0.5, "knots": [1, 2]},
        "limit": "inf",
        "zero": 0.0,
    }
    assert str(value["zero"]) == "0.0"  # type: ignore[index]


def test_field_that_no_record_can_hold_is_named() -> None:
    with pytest.raises(ValueError, match=r"defense x: f=.*must be a number, text"):
        plain(object(), "defense x: f")


def test_hyperparameter_that_is_changed_in_the_code_changes_the_id() -> None:
    """The name stays, as where a default is edited; the id must not."""
    base = defenses.get("pgd-linf")

    @dataclass(frozen=True)
    class Other(type(base)):  # type: ignore[misc]
        beta: float = 6.0

    six, one = (Other(name=base.name, norm="linf", beta=beta) for beta in (6.0, 1.0))
    assert training_options(PLAIN, six) != training_options(PLAIN, one)


def test_step_size_of_an_attack_that_is_changed_in_the_code_changes_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = evaluated(attacks=["pgd-linf"], certify=False, attack_grid_radii=[0.5])
    before = row_ids(small)
    other = replace(attacks.get("pgd-linf"), num_steps=41)  # type: ignore[call-arg]
    monkeypatch.setitem(attacks.base.ATTACKS._items, "pgd-linf", other)
    assert not row_ids(small) & before


SAME_NETWORK = {
    "other attacks": evaluated(attacks=BEST),
    "other radii": evaluated(attack_grid_radii=[0.0, 7.0]),
    "unscaled radii": evaluated(scale_radii=False),
    "no certificate": evaluated(certify=False),
    "tight certificate": evaluated(certify_tight=True),
    "nested": evaluated(nested=True),
    "engine": evaluated(engine="foolbox"),
    "restarts": evaluated(restarts=3),
    "samples": evaluated(max_samples=7),
    "no curve": trained(curve_every=0),
    "curve": trained(curve_every=100),
    "trace": trained(trace_every=100),
    "all checked": trained(bound_checks=1.0),
    "recorded steps": trained(cuda_graph=True),
    "strong attacks": evaluated(strong_samples=7, strong_grid_radii=[9.0]),
}


@pytest.mark.parametrize("other", SAME_NETWORK.values(), ids=SAME_NETWORK.keys())
def test_what_changes_no_weight_changes_no_trial(other: SweepConfig) -> None:
    assert ids(PLAIN) == ids(other)


OTHER_NETWORK = {
    "loss": trained(loss="hinge"),
    "steps": trained(steps=4999),
    "tf32": trained(tf32=True),
    "simulated": replace(PLAIN, simulate=True),
    "label kept": replace(PLAIN, data=replace(PLAIN.data, keep_target_column=True)),
}


@pytest.mark.parametrize("other", OTHER_NETWORK.values(), ids=OTHER_NETWORK.keys())
def test_what_changes_weights_changes_every_trial(other: SweepConfig) -> None:
    assert not ids(PLAIN) & ids(other)


SAME_ROWS = {
    "order of attacks": (evaluated(attacks=BEST), evaluated(attacks=BEST[::-1])),
    "attack twice": (evaluated(attacks=BEST), evaluated(attacks=[*BEST, *BEST])),
    "order of radii": (
        evaluated(attack_grid_radii=[0.0, 1.0]),
        evaluated(attack_grid_radii=[1.0, -0.0, 1.0]),
    ),
    "radius as a whole number": (
        evaluated(attack_grid_radii=[0.0, 1.0]),
        evaluated(attack_grid_radii=[0, 1]),
    ),
    "as many restarts as without": (
        evaluated(attacks=BEST),
        evaluated(attacks=BEST, restarts=5),
    ),
    "restarts of attacks that have none": (PLAIN, evaluated(restarts=3)),
    "no bound on samples": (PLAIN, evaluated(max_samples=30)),
    "a bound beyond all samples": (PLAIN, evaluated(max_samples=10**9)),
    "nested radii of which one is positive": (
        evaluated(attack_grid_radii=[0.0, 1.0]),
        evaluated(attack_grid_radii=[0.0, 1.0], nested=True),
    ),
    "scaled radii of an unscaled norm": (
        evaluated(attacks=["fgsm-linf"], certify=False),
        evaluated(attacks=["fgsm-linf"], certify=False, scale_radii=False),
    ),
    "scaled radius of zero": (
        evaluated(attack_grid_radii=[0.0]),
        evaluated(attack_grid_radii=[0.0], scale_radii=False),
    ),
    "engine of attacks that it has not": (
        evaluated(attacks=["vertex-l1"]),
        evaluated(attacks=["vertex-l1"], engine="foolbox"),
    ),
    "recorded attacks": (PLAIN, evaluated(cuda_graph=True)),
    "attacks on what is proven safe": (PLAIN, evaluated(skip=False)),
}


@pytest.mark.parametrize(("one", "other"), SAME_ROWS.values(), ids=SAME_ROWS.keys())
def test_rules_with_the_same_accuracies_give_the_same_rows(
    one: SweepConfig, other: SweepConfig
) -> None:
    assert row_ids(one) == row_ids(other)


TINY = config(training=Training(steps=6), evaluation=Evaluation(attack_grid_radii=[0.0, 0.5]))


def tiny(training: dict[str, Any], evaluation: dict[str, Any]) -> SweepConfig:
    return replace(
        TINY,
        training=replace(TINY.training, **training),
        evaluation=replace(
            TINY.evaluation, attacks=[*BEST, "vertex-l1"], certificates=[], **evaluation
        ),
    )


MEASURED = {
    "restarts": ({}, {"restarts": 5}),
    "samples": ({}, {"max_samples": 30}),
    "nested": ({}, {"nested": True}),
    "curve at the last step": ({"curve_every": 6}, {}),
    "curve beyond the last step": ({"curve_every": 10**6}, {}),
    "trace beyond the last step": ({"trace_every": 7}, {}),
    "tf32 on a CPU": ({"tf32": True}, {}),
    "checks at a later step": ({"curve_every": 9, "bound_checks": 1.0}, {}),
}


def measured(small: SweepConfig, folder: Any) -> list[list[tuple[Any, ...]]]:
    """All that is recorded of a sweep but times, names of packs, and code."""
    for job in jobs(replace(small, paths=replace(small.paths, results=str(folder)))):
        run_pack(job)
    kept = {
        "records": ("split", "attack", "attack_radius", "accuracy", "num_samples", "flags"),
        "curves": ("step", "quantity", "norm", "radius", "value"),
    }
    found = []
    for table, columns in kept.items():
        paths = (folder / "small" / table).glob("*.parquet")
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        found.append(sorted(tuple(map(str, map(row.get, ("trial_id", *columns)))) for row in rows))
    return found


@pytest.mark.parametrize("changes", MEASURED.values(), ids=MEASURED.keys())
def test_options_with_the_same_ids_really_have_the_same_records(
    changes: tuple[dict[str, Any], dict[str, Any]], tmp_path: Any
) -> None:
    checks = {key: v for key, v in changes[0].items() if key == "bound_checks"}
    plain = measured(tiny(checks, {}), tmp_path / "plain")
    assert plain == measured(tiny(*changes), tmp_path / "other")
    assert len(plain[0]) == 4 * 2 * 4 * 2  # trials x splits x attacks and certificate x radii


OTHER_ROWS = {
    "unscaled radii": (evaluated(attack_grid_radii=[0.5]), {"scale_radii": False}),
    "nested": (evaluated(attack_grid_radii=[1.0]), {"attack_grid_radii": [0.5, 1.0]}),
    "engine": (evaluated(attacks=["pgd-l1"], certify=False), {"engine": "foolbox"}),
    "restarts": (evaluated(attacks=["pgd-linf-best"], certify=False), {"restarts": 4}),
    "samples": (PLAIN, {"max_samples": 29}),
}


@pytest.mark.parametrize("name", OTHER_ROWS)
def test_rules_with_other_accuracies_give_other_rows(name: str) -> None:
    one, changes = OTHER_ROWS[name]
    if name == "nested":  # what is broken at 0.5 counts as broken at 1
        one = replace(one, evaluation=replace(one.evaluation, nested=True))
    other = replace(one, evaluation=replace(one.evaluation, **changes))
    left_alone = "linf" if name == "unscaled radii" else None  # the same in both
    concerned = {
        row.evaluation_id
        for row in wanted_rows(one.evaluation, info())
        if row.attack_norm != left_alone and (name != "nested" or row.attack != schema.CERTIFIED)
    }
    assert concerned
    assert not concerned & row_ids(other)


def test_more_radii_and_attacks_leave_the_rows_that_there_are() -> None:
    few = evaluated(attacks=["pgd-linf"], attack_grid_radii=[0.0, 0.5], certify=False)
    many = evaluated(attacks=["fgm-l1", "pgd-linf"], attack_grid_radii=[0.0, 0.3, 0.5, 9.0])
    assert row_ids(few) < row_ids(many)


def test_bound_on_samples_counts_where_a_split_has_more() -> None:
    bounded = evaluated(max_samples=100)
    assert row_ids(PLAIN, num_test=100) == row_ids(bounded, num_test=100)
    assert not row_ids(PLAIN, num_test=101) & row_ids(bounded, num_test=101)
    assert not row_ids(PLAIN, num_validation=101) & row_ids(bounded, num_validation=101)


def test_scaling_of_radii_counts_where_there_are_several_features() -> None:
    unscaled = evaluated(scale_radii=False)
    assert row_ids(PLAIN, num_features=1) == row_ids(unscaled, num_features=1)
    assert row_ids(PLAIN, num_features=2) != row_ids(unscaled, num_features=2)


def test_radius_of_minus_zero_is_zero() -> None:
    grid = replace(PLAIN.grid, defense=["arub-linf"])
    zero, minus = replace(grid, grid_radius=[0.0]), replace(grid, grid_radius=[-0.0])
    assert ids(replace(PLAIN, grid=zero)) == ids(replace(PLAIN, grid=minus))


def test_tf32_counts_only_where_there_may_be_a_gpu(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = config(tmp_path, training=Training(steps=3, tf32=True))
    exact = config(tmp_path, training=Training(steps=3))

    def planned(one: SweepConfig) -> set[str]:
        return {trial.trial_id for trial in plan.make_plan([one]).trials}

    monkeypatch.setattr(plan, "local_device", lambda ray: "cpu")
    assert planned(rounded) == planned(exact)
    assert not planned(joined(rounded)) & planned(joined(exact))
    monkeypatch.setattr(plan, "local_device", lambda ray: "cuda")
    assert not planned(rounded) & planned(exact)


def joined(small: SweepConfig) -> SweepConfig:
    return replace(small, ray=replace(small.ray, address="127.0.0.1:1"))


# Bound checks: of a share of trials, chosen by the ids that they have without.
def many(share: float) -> SweepConfig:
    grid = replace(PLAIN.grid, seed=list(range(500)))
    return replace(PLAIN, grid=grid, training=Training(bound_checks=share))


def test_checked_trials_are_about_the_share_that_is_asked_and_grow_with_it() -> None:
    every = expand(many(0.0), infos(many(0.0)))
    assert not any(monitor.is_checked(trial) for trial in every)

    def checked(share: float) -> set[str]:
        grown = expand(many(share), infos(many(share)))
        return {trial.trial_id for trial in grown if monitor.is_checked(trial)}

    some, more = checked(0.1), checked(0.2)
    assert some < more
    assert len(some) == pytest.approx(0.1 * len(every), rel=0.25)
    assert len(checked(1.0)) == len(every)


def test_share_of_checks_leaves_every_id() -> None:
    before, after = (expand(many(share), infos(many(share))) for share in (0.0, 0.1))
    assert [trial.trial_id for trial in before] == [trial.trial_id for trial in after]


def test_checked_trials_are_packed_with_the_others() -> None:
    every = expand(many(0.1), infos(many(0.1)))
    assert len({packing.pack_key(t) for t in every}) == 2 * 500  # defenses x seeds


# The columns that ids are computed from.
def recorded(small: SweepConfig, **fates: Any) -> list[dict[str, Any]]:
    """The records of the first trial of a sweep, as they are read back."""
    trial = expand(small, infos(small))[0]
    rows = wanted_rows(small.evaluation, info())
    outcome = fates.get("outcome") or measure(pack_of(trial), info(), rows, small.training)
    table = build_records(
        pack_of(trial), info(), rows, small.training, Origin("made-up", "none"), outcome
    )
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@pytest.mark.parametrize("fates", [{}, {"outcome": failed_pack(1, "lost")}], ids=["", "failed"])
def test_ids_can_be_computed_again_from_any_record(fates: dict[str, Any]) -> None:
    small = evaluated(max_samples=7, attacks=["fgsm-linf", "pgd-l1-best"], nested=True)
    small = replace(small, training=replace(small.training, bound_checks=1.0))
    trial = expand(small, infos(small))[0]
    rows = recorded(small, **fates)
    for row in rows:
        assert identity.trial_id(row) == row["trial_id"] == trial.trial_id
        assert identity.evaluation_id(row) == row["evaluation_id"]
        assert json.loads(row["evaluation_options"])["max_samples"] == 7
    assert len({row["evaluation_id"] for row in rows}) == len(rows)
    assert {row["curve_options"] for row in rows} == {
        '{"bound_checks":true,"curve_every":500,"trace_every":0}'
    }


@pytest.mark.parametrize("name", identity.TRIAL_FIELDS)
def test_every_field_of_a_trial_changes_its_id(name: str) -> None:
    row = recorded(PLAIN)[0]
    other = row[name] + (1 if isinstance(row[name], (int, float)) else "x")
    assert identity.trial_id({**row, name: other}) != row["trial_id"]


def test_radius_of_the_grid_is_in_no_trials_id() -> None:
    row = recorded(PLAIN)[0]
    assert identity.trial_id({**row, "grid_radius": 7.0}) == row["trial_id"]


def test_columns_of_ids_come_after_those_that_other_tools_rely_on() -> None:
    names = list(schema.RECORD_COLUMNS)
    assert names.index("git_commit") < min(
        names.index(n) for n in ("training_options", "evaluation_id", "evaluation_options")
    )
    assert schema.SCHEMA_VERSION == 2
    assert {"numerics_version", "weights_hash", "source_fingerprint"} <= set(names)
