from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweep.config.schema import RETRAIN
from sweep.driver import stale
from sweep.results import fingerprint
from sweep.results.provenance import short

OLD, NOW = "a" * 40, "b" * 40


def row(trial: str, attack: str = "pgd-linf", rows: int = 4, **changes: Any) -> stale.Made:
    """What is recorded of a trial under an attack, by today's code unless changed."""
    source = stale.Source("rub", "mlp-1x8", attack, None, None, OLD)
    defense = changes.get("defense", source.defense)
    today = {
        "training": fingerprint.of_training(defense, source.network),
        "evaluation": fingerprint.of_evaluation(attack, source.network),
    }
    return stale.Made(replace(source, **(today | changes)), frozenset([trial]), rows)


def found(*rows: stale.Made) -> stale.Staleness:
    return stale.compare(rows, NOW)


def test_what_todays_code_made_is_not_stale() -> None:
    whole = found(row("a"), row("a", "certified-l1"), row("b", defense="pgd-linf"))
    assert not whole
    assert (whole.unknown, whole.commits) == (0, (OLD,))
    assert list(stale.warnings_of(whole, NOW, "none")) == []


def test_nothing_recorded_is_nothing_stale() -> None:
    assert not found()


def test_networks_of_other_source_are_counted_by_defense_and_commit() -> None:
    whole = found(
        row("a", training="0" * 12),
        row("a", "vertex-l1", training="0" * 12),
        row("b", training="1" * 12, commit=f"{OLD}+dirty"),
        row("c", defense="nominal", training="0" * 12),
        row("d", defense="nominal"),
    )
    assert whole.trials == {"a", "b", "c"}
    assert [(g.name, g.count, g.commits) for g in whole.defenses] == [
        ("rub", 2, (OLD, f"{OLD}+dirty")),
        ("nominal", 1, (OLD,)),
    ]
    assert not whole.rows
    (line,) = stale.warnings_of(whole, NOW, "none")
    for part in (
        "trained 3 of 4 recorded networks",
        "rub 2",
        "aaaaaaa+dirty",
        "nominal 1",
        "bbbbbbb",
    ):
        assert part in line
    assert "retrain=changed" in line
    assert "\n" not in line


def test_rows_of_other_source_are_counted_by_attack() -> None:
    whole = found(
        row("a", evaluation="0" * 12),
        row("b", evaluation="0" * 12, rows=2),
        row("b", "certified-l1"),
    )
    assert not whole.trials
    assert [(g.name, g.count) for g in whole.attacks] == [("pgd-linf", 6)]
    assert whole.rows == {"pgd-linf": {"a", "b"}}
    (line,) = stale.warnings_of(whole, NOW, "none")
    assert "measured 6 recorded rows of 2 networks" in line


def test_rows_of_a_stale_network_are_not_counted_beside_it() -> None:
    whole = found(row("a", training="0" * 12, evaluation="0" * 12))
    assert whole.trials == {"a"}
    assert whole.attacks == ()


def test_networks_without_a_fingerprint_are_unknown_and_said_once() -> None:
    whole = found(
        row("a", training=None, evaluation=None),
        row("a", "vertex-l1", training=None),
        row("b", training=None),
    )
    assert not whole
    assert whole.unknown == 2
    (line,) = stale.warnings_of(whole, NOW, "none")
    assert "2 of 2 recorded networks" in line


@pytest.mark.parametrize("retrain", RETRAIN)
def test_warning_says_what_is_done(retrain: str) -> None:
    whole = found(row("a", training="0" * 12), row("b", evaluation="1" * 12))
    lines = list(stale.warnings_of(whole, NOW, retrain))
    assert len(lines) == 2
    assert all(f"retrain={retrain}" in line for line in lines)


def test_commits_are_short_and_other_names_whole() -> None:
    assert short(OLD) == "aaaaaaa"
    assert short(f"{OLD}+dirty") == "aaaaaaa+dirty"
    assert short("release-1.0+local") == "release-1.0+local"
    assert short("unknown") == "unknown"
