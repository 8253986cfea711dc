"""What differs in anything but what is compared is kept apart, named, and can be chosen."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from analysis.load import from_frame
from analysis.make_tables import main
from analysis.records import Records
from analysis.select import selected
from analysis.summary import notes, ranking
from tests.analysis.made_records import frame_of, records_of, rows_of

Rows = list[dict[str, object]]
ATTACKS = ("pgd-l1", "fgm-l1", "pgd-linf", "fgsm-linf")


def sweep(
    name: str, value: float, datasets: int = 3, rates: int = 2, **more: object
) -> list[Rows]:
    """Trials of two defenses under four attacks; `value` is the test accuracy of all."""
    return [
        rows_of(
            f"{name}-{dataset}-{defense}-{rate}", value, value, dataset=f"set-{dataset}",
            defense=defense, learning_rate=10.0**-rate, attack=attack,
            **({"grid_radius": 0.5, "train_radius": 1.0} if defense == "rub" else {}) | more,
        )
        for dataset in range(datasets)
        for defense in ("rub", "nominal")
        for rate in range(rates)
        for attack in ATTACKS
    ]  # fmt: skip


def load(*parts: list[Rows], protocol: int = 1) -> Records:
    return from_frame(frame_of(*(pair for part in parts for pair in part)), protocol)


OTHERS = {
    "steps": {"steps": 500},
    "loss": {"training_options": '{"loss":"hinge"}'},
    "version of the data": {"dataset_hash": "d1"},
    "made up": {"simulated": True},
    "samples": {"num_samples": 50},
    "training radii": {"grid_radius": 0.5, "train_radius": 0.5},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=list(OTHERS))
def test_trials_of_another_protocol_do_not_compete(other: dict[str, object]) -> None:
    main_sweep, less = sweep("a", 0.5), sweep("b", 0.9, rates=1, **other)
    less = [pair for pair in less if "train_radius" not in other or pair[0]["defense"] == "rub"]
    records, alone = load(main_sweep, less), load(main_sweep)
    assert records.trials["trial_id"].sort().equals(alone.trials["trial_id"].sort())
    assert selected(records)["accuracy"].unique().to_list() == [0.5]
    assert ranking(records).equals(ranking(alone))
    (note,) = notes(records)
    assert f"{len({p[0]['trial_id'] for p in less})} trials of set-0, set-1, set-2" in note
    assert note.endswith("protocol=2 analyses them")
    assert notes(alone) == []


def test_unscaled_radii_do_not_compete() -> None:
    scaled = sweep("a", 0.5)
    unscaled = [
        [{**row, "attack_radius": row["attack_grid_radius"]} for row in pair]
        for pair in sweep("b", 0.9, rates=1, train_radius=0.5)
    ]
    records = load(scaled, unscaled)
    assert set(selected(records)["accuracy"]) == {0.5}
    (note,) = notes(records)
    assert "attack radii as in the grid, not times sqrt(D)" in note
    chosen = load(scaled, unscaled, protocol=2)
    assert set(selected(chosen)["accuracy"]) == {0.9}
    assert notes(chosen)[0].startswith("analysed are 6 trials")


def test_protocol_is_the_one_that_most_trials_have_over_all_data_sets() -> None:
    # On the first set the short sweep has more trials, over all of them the long one.
    records = load(
        sweep("long", 0.5, datasets=4),
        sweep("short", 0.9, datasets=1, rates=4, steps=500),
    )
    assert set(records.trials["steps"]) == {5000}


def test_data_sets_of_unlike_steps_are_pointed_out() -> None:
    records = load(
        sweep("a", 0.5, datasets=2),
        [[{**r, "dataset": "other"} for r in p] for p in sweep("b", 0.5, datasets=1, steps=500)],
    )
    assert notes(records) == ["steps differ between data sets: 500 on other; 5000 on set-0, set-1"]


def test_splits_have_data_of_their_own() -> None:
    records = load(sweep("a", 0.5), sweep("b", 0.6, split_seed=1, dataset_hash="d1"))
    assert set(records.trials["split_seed"]) == {0, 1}
    assert notes(records) == []


def test_attack_that_some_trials_lack_is_no_other_protocol() -> None:
    whole = sweep("a", 0.5)
    less = [p for p in sweep("b", 0.6, seed=1) if p[0]["attack"] != "fgm-l1"]
    assert notes(load(whole, less)) == []


def test_radii_in_single_precision_follow_the_same_rule() -> None:
    root = float(pl.Series([7.0], dtype=pl.Float32).sqrt().cast(pl.Float64)[0])
    half = [
        [{**r, "attack_radius": root * 0.1} if r["attack_norm"] == "l1" else r for r in pair]
        for pair in sweep("b", 0.6, seed=1, num_features=7)
    ]
    assert notes(load(sweep("a", 0.5, num_features=7), half)) == []


def test_diverged_trials_have_no_samples_and_stay() -> None:
    lost = [
        [{**r, "accuracy": None, "status": "failed", "num_samples": 0} for r in pair]
        for pair in sweep("b", 0.6, rates=1, batch_size=32)
    ]
    records = load(sweep("a", 0.5), lost)
    assert records.trials.filter(pl.col("status") == "failed").height == 6
    assert not any("protocol" in note for note in notes(records))


def test_leaky_trials_have_protocols_of_their_own() -> None:
    leaky = sweep("b", 0.9, leaky=True, dataset_hash="leaky")
    records = load(sweep("a", 0.5), leaky)
    assert records.with_label is not None
    assert not any("protocol" in note for note in notes(records))


def test_unknown_protocol_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame_of(*sweep("a", 0.5), *sweep("b", 0.9, rates=1, steps=500)).to_parquet(
        tmp_path / "p0.parquet", index=False
    )
    out = [f"records={tmp_path}", f"out={tmp_path / 'out'}", "only=accuracy"]
    for wrong, message in (("3", "protocols 1 to 2"), ("0", "allowed: 1, 2"), ("x", "allowed")):
        assert main([*out, f"protocol={wrong}"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main([*out, "protocol=2"]) == 0
    assert "steps 500, not 5000" in capsys.readouterr().out
    assert pl.read_csv(tmp_path / "out" / "accuracy.csv")["percent"].unique().to_list() == [90.0]


def test_defense_of_another_protocol_alone_is_named() -> None:
    others = [
        [{**row, "steps": 500} if row["defense"] == "rub" else row for row in pair]
        for pair in sweep("a", 0.5)
    ]
    more = [p for p in sweep("b", 0.5, batch_size=32) if p[0]["defense"] == "nominal"]
    records = load(others, more)
    assert set(records.trials["defense"]) == {"nominal"}
    assert notes(records)[1] == "no trial of the protocol analysed: RUB on set-0, set-1, set-2"


def test_image_set_is_analysed_alike_alone_and_among_others() -> None:
    short = sweep("short", 0.9, datasets=4, steps=500)
    images = [
        [{**row, "dataset": "mnist"} for row in pair]
        for pair in (
            *sweep("a", 0.5, datasets=1, rates=3),
            *sweep("b", 0.9, datasets=1, steps=500),
        )
    ]
    for records in (load(images), load(short, images)):
        assert set(records.trials.filter(pl.col("dataset") == "mnist")["steps"]) == {5000}


def options_of(**changes: object) -> str:
    return json.dumps({"loss": "cross-entropy", "tf32": False, "defense": {}} | changes)


def test_trials_of_another_loss_are_told_apart_in_words() -> None:
    plain = rows_of("a", 0.5, 0.6, training_options=options_of())
    more = rows_of("b", 0.5, 0.6, training_options=options_of(), learning_rate=1e-2)
    hinge = rows_of("c", 0.9, 0.8, training_options=options_of(loss="hinge"))
    records = records_of(plain, more, hinge)
    assert records.trials["trial_id"].sort().to_list() == ["a", "b"]
    assert any("loss hinge, not cross-entropy" in line for line in notes(records))


def test_defenses_differ_in_fields_of_their_own_and_are_compared() -> None:
    one = rows_of("a", 0.5, 0.6, training_options=options_of(defense={"norm": None}))
    other = rows_of(
        "b", 0.5, 0.6, defense="rub", training_options=options_of(defense={"norm": "l1"})
    )
    assert set(records_of(one, other).trials["trial_id"]) == {"a", "b"}


def test_defense_whose_default_was_changed_is_told_apart_from_itself() -> None:
    before = [
        rows_of(f"a{i}", 0.5, 0.6, defense="trades-linf", learning_rate=10.0**-i,
                training_options=options_of(defense={"beta": 6.0}))
        for i in range(2)
    ]  # fmt: skip
    after = rows_of(
        "b", 0.9, 0.8, defense="trades-linf", training_options=options_of(defense={"beta": 1.0})
    )
    records = records_of(*before, after)
    assert set(records.trials["trial_id"]) == {"a0", "a1"}
    assert any('{"beta": 1.0}' in line for line in notes(records))


def test_options_that_are_no_mapping_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="column training_options") as error:
        records_of(rows_of("a", 0.5, 0.6, training_options="hinge"))
    assert "\n" not in str(error.value)


def test_options_that_differ_between_data_sets_are_pointed_out() -> None:
    large = rows_of("a", 0.5, 0.6, dataset="digits", training_options=options_of())
    hinge = rows_of("c", 0.5, 0.6, dataset="wine", training_options=options_of(loss="hinge"))
    (line,) = [line for line in notes(records_of(large, hinge)) if "differ between" in line]
    assert line == "loss differ between data sets: cross-entropy on digits; hinge on wine"


def test_trials_measured_by_other_rules_are_told_apart() -> None:
    def measured(trial: str, engine: str, rate: float) -> Rows:
        rules = json.dumps({"engine": engine, "max_samples": None, "nested": []})
        return rows_of(trial, 0.5, 0.6, learning_rate=rate, evaluation_options=rules)

    records = records_of(
        measured("a", "packed", 1.0), measured("b", "packed", 0.1), measured("c", "foolbox", 0.01)
    )
    assert records.trials["trial_id"].sort().to_list() == ["a", "b"]
    assert any("rules of measurement" in line and "foolbox" in line for line in notes(records))


def test_smaller_radii_that_count_as_well_tell_no_trials_apart() -> None:
    rows = [
        rows_of("a", 0.5, 0.6, attack_grid_radius=radius, learning_rate=rate,
                evaluation_options=json.dumps({"nested": smaller, "max_samples": 7}))
        for radius, rate, smaller in ((0.1, 1.0, []), (0.2, 1.0, [0.1]))
    ]  # fmt: skip
    assert notes(records_of(*rows)) == []


def test_rows_on_more_samples_count_and_the_others_are_named() -> None:
    few = rows_of("a", 0.9, 0.9, num_samples=10)
    many = rows_of("a", 0.5, 0.6, num_samples=500)
    for order in ((few, many), (many, few)):
        records = records_of(*order)
        assert records.test["num_samples"].to_list() == [500]
        assert any("2 rows on fewer samples are left out" in line for line in notes(records))


def test_networks_of_one_defense_that_different_code_trained_are_named() -> None:
    by = {"source_fingerprint": "a" * 12, "git_commit": "c0ffee0"}
    alike = sweep("a", 0.5, **by)
    assert load(alike).provenance.notes == load(sweep("a", 0.5)).provenance.notes
    other = [
        pair
        for pair in sweep("b", 0.5, rates=1, **by | {"source_fingerprint": "b" * 12})
        if pair[0]["defense"] == "rub"
    ]
    (note,) = set(load(alike, other).provenance.notes) - set(load(alike).provenance.notes)
    assert "RUB" in note
    assert "2 versions of its code" in note
    assert "6 by c0ffee0 and 3 by c0ffee0" in note
    assert "retrain=changed" in note
