"""A trial's id hashes what changes its records, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.driver import plan
from sweep.grid import packing
from sweep.grid.expand import expand
from sweep.grid.options import options_of
from sweep.hashing import content_hash
from sweep.pack import monitor
from sweep.pack.outcome import failed_pack
from sweep.pack.records import Origin, build_records
from sweep.pack.run import run_pack
from sweep.pack.simulate import measure
from sweep.results import schema, store
from tests.sweep.helpers import config, info, infos, jobs, pack_of, trials

PLAIN = replace(config(), training=Training(), evaluation=Evaluation())
BEST = ["pgd-linf-best", "fgsm-linf"]


def ids(small: SweepConfig, **facts: Any) -> set[str]:
    """The ids of a sweep's trials, on made-up data."""
    known = {key: replace(value, **facts) for key, value in infos(small).items()}
    return {trial.trial_id for trial in expand(small, known)}


def evaluated(**changes: Any) -> SweepConfig:
    return replace(PLAIN, evaluation=replace(PLAIN.evaluation, **changes))


def trained(**changes: Any) -> SweepConfig:
    return replace(PLAIN, training=replace(PLAIN.training, **changes))


def test_options_of_a_plain_configuration_are_none() -> None:
    assert options_of(PLAIN, info()) == {}
    assert {trial.options for trial in expand(PLAIN, infos(PLAIN))} == {"{}"}


# Whoever changes one of these raises NUMERICS_VERSION: ids leave options at their default out.
DEFAULTS = {
    "loss": "cross-entropy",
    "curve_every": 500,
    "trace_every": 0,
    "bound_checks": 0.0,
    "tf32": False,
}
EVALUATED = {
    "attacks": [*("pgd-l1", "pgd-l2", "pgd-linf", "fgm-l1", "fgm-l2", "fgsm-linf"), "vertex-l1"],
    "attack_grid_radii": [
        *(0.0, 0.0002, 0.0005, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1, 0.3, 0.5),
        *(1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0),
    ],
    "scale_radii": True,
    "certify": True,
    "certify_tight": False,
    "nested": False,
    "engine": "packed",
    "restarts": None,
    "max_samples": None,
}


def test_defaults_that_ids_leave_out_are_these() -> None:
    assert {name: getattr(Training(), name) for name in DEFAULTS} == DEFAULTS
    assert {name: getattr(Evaluation(), name) for name in EVALUATED} == EVALUATED


SAME = {
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
    "curve with no point before the last": (
        trained(steps=200),
        trained(steps=200, curve_every=200),
    ),
    "curve beyond the last step": (trained(steps=200), trained(steps=200, curve_every=9999)),
    "trace beyond the last step": (trained(steps=200), trained(steps=200, trace_every=201)),
    "recorded steps": (PLAIN, trained(cuda_graph=True)),
    "recorded attacks": (PLAIN, evaluated(cuda_graph=True)),
    "strong attacks": (PLAIN, evaluated(strong_samples=7, strong_grid_radii=[9.0])),
    "no check": (PLAIN, trained(bound_checks=0.0)),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_options_with_the_same_records_have_the_same_ids(
    one: SweepConfig, other: SweepConfig
) -> None:
    assert ids(one) == ids(other)


TINY = config(training=Training(steps=6), evaluation=Evaluation(attack_grid_radii=[0.0, 0.5]))


def tiny(training: dict[str, Any], evaluation: dict[str, Any]) -> SweepConfig:
    return replace(
        TINY,
        training=replace(TINY.training, **training),
        evaluation=replace(TINY.evaluation, attacks=[*BEST, "vertex-l1"], **evaluation),
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


OTHER = {
    "loss": (PLAIN, trained(loss="hinge")),
    "attacks": (PLAIN, evaluated(attacks=BEST)),
    "radii": (PLAIN, evaluated(attack_grid_radii=[0.0])),
    "unscaled radii": (PLAIN, evaluated(scale_radii=False)),
    "no certificate": (PLAIN, evaluated(certify=False)),
    "tight certificate": (PLAIN, evaluated(certify_tight=True)),
    "nested": (PLAIN, evaluated(nested=True)),
    "engine": (PLAIN, evaluated(engine="foolbox")),
    "restarts": (evaluated(attacks=BEST), evaluated(attacks=BEST, restarts=4)),
    "samples": (PLAIN, evaluated(max_samples=29)),
    "no curve": (PLAIN, trained(curve_every=0)),
    "curve": (PLAIN, trained(curve_every=100)),
    "trace": (PLAIN, trained(trace_every=100)),
    "last step of a short trace": (trained(steps=200), trained(steps=200, trace_every=200)),
    "tf32": (PLAIN, trained(tf32=True)),
    "all checked": (PLAIN, trained(bound_checks=1.0)),
    "simulated": (PLAIN, replace(PLAIN, simulate=True)),
    "label kept": (PLAIN, replace(PLAIN, data=replace(PLAIN.data, keep_target_column=True))),
}


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER.keys())
def test_options_with_other_records_have_other_ids(one: SweepConfig, other: SweepConfig) -> None:
    assert not ids(one) & ids(other)


def test_bound_on_samples_counts_where_a_split_has_more() -> None:
    bounded = evaluated(max_samples=100)
    assert ids(PLAIN, num_test=100) == ids(bounded, num_test=100)
    assert not ids(PLAIN, num_test=101) & ids(bounded, num_test=101)
    assert not ids(PLAIN, num_validation=101) & ids(bounded, num_validation=101)


def test_scaling_of_radii_counts_where_there_are_several_features() -> None:
    unscaled = evaluated(scale_radii=False)
    assert ids(PLAIN, num_features=1) == ids(unscaled, num_features=1)
    assert not ids(PLAIN, num_features=2) & ids(unscaled, num_features=2)


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


def test_share_of_checks_leaves_the_ids_of_the_other_trials() -> None:
    before = {trial.trial_id for trial in expand(many(0.0), infos(many(0.0)))}
    after = expand(many(0.1), infos(many(0.1)))
    assert {t.trial_id for t in after if not monitor.is_checked(t)} < before
    assert not {t.trial_id for t in after if monitor.is_checked(t)} & before
    assert len({t.trial_id for t in after}) == len(before)


def test_checked_trials_are_packed_with_the_others() -> None:
    every = expand(many(0.1), infos(many(0.1)))
    assert len({packing.pack_key(t) for t in every}) == 2 * 500  # defenses x seeds


def test_checks_asked_for_later_are_made(tmp_path: Any) -> None:
    plain = config(tmp_path, training=Training(steps=3))
    for job in jobs(plain):
        run_pack(job)
    assert jobs(plain) == []
    asked = config(tmp_path, training=Training(steps=3, bound_checks=1.0))
    missing = jobs(asked)
    assert sum(len(job.pack) for job in missing) == 4
    for job in missing:
        run_pack(job)
    assert jobs(asked) == []
    curves = [pq.read_table(p) for p in sorted((tmp_path / "small" / "curves").glob("*.parquet"))]
    found = [row for table in curves for row in table.to_pylist()]
    checks = {row["trial_id"] for row in found if row["quantity"] == "bound_holds"}
    assert checks == {trial.trial_id for job in missing for trial in job.pack.trials}
    assert {row["step"] for row in found if row["quantity"] == "bound_holds"} == {3}


def test_checks_that_are_no_longer_asked_for_are_not_made_again(tmp_path: Any) -> None:
    asked = config(tmp_path, training=Training(steps=3, bound_checks=1.0))
    for job in jobs(asked):
        run_pack(job)
    plain = config(tmp_path, training=Training(steps=3))
    made = plan.make_plan([plain])
    assert jobs(plain) == []
    assert set(made.finished) == {trial.trial_id for trial in made.trials}
    assert set(made.finished) == set(store.finished(tmp_path))


def test_options_of_the_curves_are_options() -> None:
    watched = trained(bound_checks=1.0, curve_every=7, trace_every=7)
    (options,) = {trial.options for trial in expand(watched, infos(watched))}
    assert set(json.loads(options)) == set(schema.CURVE_OPTIONS)


def test_options_that_tell_accuracies_apart_leave_the_curves_out() -> None:
    watched = trained(bound_checks=1.0, curve_every=7, trace_every=7, loss="hinge")
    (options,) = {trial.options for trial in expand(watched, infos(watched))}
    (hinge,) = {trial.options for trial in expand(trained(loss="hinge"), infos(PLAIN))}
    assert schema.compared_options(options) == hinge == '{"loss":"hinge"}'
    assert schema.compared_options("{}") == "{}"
    assert schema.compared_options(None) is None


# The column `options`.
def test_records_carry_the_options_that_the_id_hashes() -> None:
    small = evaluated(max_samples=7, attacks=["fgsm-linf"])
    small = replace(small, training=replace(small.training, bound_checks=1.0))
    trial = expand(small, infos(small))[0]
    table = build_records(
        pack_of(trial),
        info(),
        small.evaluation,
        Origin("made-up", "none"),
        measure(pack_of(trial), info(), small.evaluation, small.training),
    )
    (text,) = set(table["options"].to_pylist())
    assert json.loads(text) == {"max_samples": 7, "attacks": ["fgsm-linf"], "bound_checks": True}
    fields = {name: getattr(trial, name) for name in trial.__dataclass_fields__}
    assert content_hash({**fields, "options": text}) == trial.trial_id


def test_failed_records_carry_the_options_too() -> None:
    small = config()
    trial = expand(small, infos(small))[0]
    table = build_records(
        pack_of(trial),
        info(),
        small.evaluation,
        Origin("made-up", "none"),
        failed_pack(1, "lost"),
    )
    assert set(table["options"].to_pylist()) == {trial.options}


def test_options_are_the_last_column_and_may_be_absent() -> None:
    assert list(schema.RECORD_COLUMNS)[-1] == "options"
    assert schema.RECORD_COLUMNS["options"] == ("string", True)
    assert schema.SCHEMA_VERSION == 1


def test_records_from_before_the_column_are_still_finished(tmp_path: Any) -> None:
    small = config(tmp_path)
    for job in jobs(small):
        run_pack(job)
    folder = store.Folder(tmp_path, "small")
    for path in folder.record_files():
        store.write_table(path, pq.read_table(path).drop_columns(["options"]))
    assert store.consolidate(folder) == 0
    assert jobs(small) == []
    assert len(store.finished(tmp_path)) == len(trials())
