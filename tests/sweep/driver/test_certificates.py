"""Certificates by the best proof in a sweep: which rows there are, and what the plan says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from robust.evaluate import BEST_CERTIFICATES
from sweep.config import checks
from sweep.config.schema import Evaluation, Grid, Paths, SweepConfig, Training
from sweep.driver.dry_run import show_certificates
from sweep.driver.plan import make_plan
from sweep.grid.options import evaluated_attacks
from sweep.grid.rows import wanted_rows
from sweep.results import schema


def config(folder: Path, network: str, **evaluation: object) -> SweepConfig:
    """A small sweep on wine."""
    return SweepConfig(
        name="certificates",
        grid=Grid(dataset=["wine"], network=[network], defense=["nominal"], learning_rate=[1e-3]),
        training=Training(steps=5),
        evaluation=Evaluation(**evaluation),  # type: ignore[arg-type]
        paths=replace(Paths(), results=str(folder)),
    )


def made(folder: Path, network: str, **evaluation: object) -> list[str]:
    """The certificates that the plan of a sweep makes."""
    plan = make_plan([config(folder, network, **evaluation)])
    return plan.parts[0].config.evaluation.certificates


def test_names_of_records_are_those_of_the_certificates() -> None:
    assert tuple(BEST_CERTIFICATES) == schema.CERTIFIED_BEST


def test_cheap_certificates_come_with_a_trial_and_dear_ones_do_not(tmp_path: Path) -> None:
    assert made(tmp_path, "mlp-1x200") == list(schema.CERTIFIED_BEST)
    assert made(tmp_path, "mlp-3x200") == []
    assert made(tmp_path, "mlp-1x200", attacks=["fgsm-linf"]) == []


def test_certificates_that_are_asked_for_are_made_whatever_they_cost(tmp_path: Path) -> None:
    asked = {"certificates": ["certified-linf"]}
    assert made(tmp_path, "mlp-3x200", **asked) == ["certified-linf"]
    assert made(tmp_path, "mlp-3x200", certificates=["auto", "certified-l2"]) == ["certified-l2"]
    assert made(tmp_path, "mlp-1x200", certificates=[]) == []


def test_every_certificate_has_rows_at_the_radii_of_its_norm(tmp_path: Path) -> None:
    plan = make_plan([config(tmp_path, "mlp-1x200", attack_grid_radii=[0.0, 0.1])])
    (part,) = plan.parts
    rows = wanted_rows(part.config.evaluation, part.info(part.trials[0]))
    names = evaluated_attacks(part.config.evaluation)
    assert {*schema.CERTIFIED_BEST} < set(names)
    assert len(rows) == len(schema.SPLITS) * len(names) * 2
    largest = {row.attack: row.attack_radius for row in rows}
    assert largest["certified-linf"] == 0.1
    assert largest["certified-l2"] == largest["certified-l1-best"] == 0.1 * 13**0.5


def test_plan_says_which_certificates_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_certificates(make_plan([config(tmp_path, "mlp-1x200")]))
    assert "best proof: certified-l1-best, certified-l2, certified-linf" in capsys.readouterr().out
    show_certificates(make_plan([config(tmp_path, "mlp-3x200")]))
    said = capsys.readouterr().out
    assert "not made: certified-l1-best, certified-l2, certified-linf" in said and "20%" in said


def test_unknown_certificate_is_refused_in_one_line(tmp_path: Path) -> None:
    message = "evaluation.certificates: unknown certificate 'certified-l3'.*known: auto, "
    with pytest.raises(ValueError, match=message) as error:
        checks.check(config(tmp_path, "mlp-1x200", certificates=["certified-l3"]))
    assert "\n" not in str(error.value)
