"""Costs as an axis of the grid: part of ids and of keys of rows, refused where there are none."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from sweep.config import compose
from sweep.config.checks import check
from sweep.config.schema import Grid, SweepConfig, in_balls
from sweep.datasets import DatasetInfo
from sweep.grid.expand import expand
from sweep.grid.packing import pack_key
from sweep.grid.rows import Row, wanted_rows
from sweep.grid.trial import Trial
from sweep.results import identity
from tests.sweep.helpers import config, info

COSTS = (1.0, math.inf, 0.5, 2.0)
PRICED = info(costs=COSTS, costs_hash="one")


def sweep(*defenses: str, costs: list[str], **evaluation: object) -> SweepConfig:
    made = config(grid=replace(config().grid, defense=list(defenses), costs=costs))
    attacks = ["fgm-l1", "fgm-l2", "vertex-l1"]
    asked = replace(made.evaluation, attacks=attacks, certificates=[], **evaluation)
    return replace(made, evaluation=in_balls(asked, made.grid))


def expanded(made: SweepConfig, facts: DatasetInfo = PRICED) -> list[Trial]:
    return expand(made, {("iris", 0): facts})


def rows(made: SweepConfig, facts: DatasetInfo = PRICED) -> list[Row]:
    return [row for row in wanted_rows(made.evaluation, facts) if row.split == "test"]


def test_costs_are_an_axis_of_what_trains_in_an_l1_ball() -> None:
    found = expanded(sweep("nominal", "rub", "arub-l1", costs=["uniform", "catalog"]))
    names = [t.defense for t in found]
    assert list(dict.fromkeys(names)) == [
        *("nominal", "rub", "rub(costs=catalog)", "arub-l1", "arub-l1(costs=catalog)")
    ]
    assert len({t.trial_id for t in found}) == len(found)
    radii = {t.train_radius for t in found if t.defense != "nominal"}
    assert len(radii) == 1  # the radius is what the ball may cost in all


def test_ids_of_uniform_trials_know_nothing_of_costs() -> None:
    plain = expanded(sweep("nominal", "rub", costs=["uniform"]), info())
    both = expanded(sweep("nominal", "rub", costs=["uniform", "catalog"]))
    old = {t.trial_id for t in plain}
    assert old == {t.trial_id for t in both if t.defense in ("nominal", "rub")}
    assert "costs" not in plain[0].training_options
    before = {row.evaluation_id for row in rows(sweep("rub", costs=["uniform"]), info())}
    after = {row.evaluation_id for row in rows(sweep("rub", costs=["uniform", "catalog"]))}
    assert before < after


def test_other_costs_are_other_networks_and_other_balls() -> None:
    made = sweep("rub", costs=["catalog"])
    other = replace(PRICED, costs_hash="another")
    one, two = ({t.trial_id for t in expanded(made, facts)} for facts in (PRICED, other))
    assert not one & two
    mine, theirs = (
        {row.evaluation_id for row in rows(made, facts) if row.attack_norm == "l1"}
        for facts in (PRICED, other)
    )
    assert not mine & theirs
    same = [
        {row.evaluation_id for row in rows(made, f) if row.attack_norm == "l2"}
        for f in (PRICED, other)
    ]
    assert same[0] == same[1]


def test_ids_can_be_computed_from_the_columns_of_a_record() -> None:
    made = sweep("rub", costs=["catalog"])
    trial, row = expanded(made)[0], rows(made)[0]
    assert identity.trial_id(vars(trial)) == trial.trial_id
    assert identity.evaluation_id(vars(row)) == row.evaluation_id
    assert json.loads(trial.training_options)["costs"] == "one"


def test_trials_of_other_costs_are_other_packs() -> None:
    found = expanded(sweep("rub", costs=["uniform", "catalog"]))
    assert len({pack_key(trial) for trial in found}) == 2


def test_l1_rows_are_made_in_every_ball_and_others_once() -> None:
    def names(made: SweepConfig) -> list[str]:
        return list(dict.fromkeys(row.attack for row in rows(made)))

    weighted = [f"{name}(costs=catalog)" for name in ("fgm-l1", "vertex-l1", "certified-l1")]
    plain = ["fgm-l1", "fgm-l2", "vertex-l1", "certified-l1"]
    assert names(sweep("rub", costs=["uniform"])) == plain
    assert names(sweep("rub", costs=["uniform", "catalog"])) == [*plain, *weighted]
    assert names(sweep("rub", costs=["catalog"])) == ["fgm-l2", *weighted]
    # A network that is trained without costs can be measured with them.
    made = config(grid=replace(config().grid, defense=["nominal"]))
    asked = replace(made.evaluation, attacks=["vertex-l1"], costs=["catalog"])
    assert names(replace(made, evaluation=asked))[0] == "vertex-l1(costs=catalog)"


def test_a_data_set_without_costs_is_refused() -> None:
    with pytest.raises(ValueError, match="grid.costs=catalog: data set 'iris' has no costs"):
        expanded(sweep("rub", costs=["uniform", "catalog"]), info())
    with pytest.raises(ValueError, match="evaluation.costs=catalog: data set 'iris' has no costs"):
        expanded(sweep("nominal", costs=["catalog"]), info())


@pytest.mark.parametrize(
    ("defense", "network", "attacks", "evaluation", "message"),
    [
        ("pgd-linf", "mlp-1x8", ["vertex-l1"], {}, "defense 'pgd-linf' takes no costs"),
        (
            "arub-l2",
            "mlp-1x8",
            ["vertex-l1"],
            {},
            "defense 'arub-l2' takes no costs: they are for",
        ),
        ("rub", "resmlp-1x8", ["vertex-l1"], {}, "grid.defense=rub.costs=catalog.: is not made"),
        (
            *("arub-l1", "resmlp-1x8", ["vertex-l1"], {}),
            "evaluation.costs=catalog, evaluation.certify=true: is not made for network",
        ),
        (
            *("arub-l1", "mlp-1x8", ["vertex-l1"], {"certify_tight": True}),
            "evaluation.costs=catalog, evaluation.certify_tight=true: is not made",
        ),
    ],
)
def test_what_takes_no_costs_is_refused_in_one_line(
    defense: str, network: str, attacks: list[str], evaluation: dict[str, bool], message: str
) -> None:
    made = sweep(defense, costs=["uniform", "catalog"], **evaluation)
    asked = replace(made.evaluation, attacks=attacks)
    grid = replace(made.grid, network=[network])
    with pytest.raises(ValueError, match=message) as caught:
        check(replace(made, grid=grid, evaluation=asked))
    assert "\n" not in str(caught.value)


def test_costs_by_another_name_are_refused() -> None:
    with pytest.raises(ValueError, match="grid.costs: unknown costs 'catalogue' .did you mean"):
        compose.compose(["+experiment=quickstart", "grid.costs=[uniform,catalogue]"])


def test_composed_evaluation_takes_the_costs_of_the_grid() -> None:
    (plain,) = compose.compose(["+experiment=quickstart"])
    assert plain.grid.costs == plain.evaluation.costs == Grid().costs == ["uniform"]
