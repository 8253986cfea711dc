from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from sweep.config.schema import RETRAIN
from sweep.driver import stale
from sweep.results import fingerprint
from sweep.results.provenance import short

OLD, NOW = "a" * 40, "b" * 40
KINDS = dict.fromkeys(stale._SOURCE, pl.String()) | {"rows": pl.UInt32()}


def row(trial: str, attack: str = "pgd-linf", **changes: Any) -> dict[str, Any]:
    """What is recorded of a trial under an attack, by today's code unless changed."""
    whole = {
        "trial_id": trial,
        "defense": "rub",
        "network": "mlp-1x8",
        "attack": attack,
        "git_commit": OLD,
        "rows": 4,
    }
    whole |= changes
    training = fingerprint.of_training(whole["defense"], whole["network"])
    evaluation = fingerprint.of_evaluation(attack, whole["network"])
    return {"source_fingerprint": training, "evaluation_fingerprint": evaluation} | whole


def found(*rows: dict[str, Any]) -> stale.Staleness:
    return stale.compare(pl.DataFrame(list(rows), schema=KINDS), NOW)


def test_what_todays_code_made_is_not_stale() -> None:
    whole = found(row("a"), row("a", "certified-l1"), row("b", defense="pgd-linf"))
    assert not whole
    assert (whole.unknown, whole.commits) == (0, (OLD,))
    assert list(stale.warnings_of(whole, NOW, "none")) == []


def test_nothing_recorded_is_nothing_stale() -> None:
    assert not found()


def test_networks_of_other_source_are_counted_by_defense_and_commit() -> None:
    whole = found(
        row("a", source_fingerprint="0" * 12),
        row("a", "vertex-l1", source_fingerprint="0" * 12),
        row("b", source_fingerprint="1" * 12, git_commit=f"{OLD}+dirty"),
        row("c", defense="nominal", source_fingerprint="0" * 12),
        row("d", defense="nominal"),
    )
    assert whole.trials == {"a", "b", "c"}
    assert [(g.name, g.count, g.commits) for g in whole.defenses] == [
        ("rub", 2, (OLD, f"{OLD}+dirty")),
        ("nominal", 1, (OLD,)),
    ]
    assert not whole.rows
    (line,) = stale.warnings_of(whole, NOW, "none")
    for part in ("3 recorded networks", "rub 2", "aaaaaaa+dirty", "nominal 1", "bbbbbbb"):
        assert part in line
    assert "retrain=changed" in line
    assert "\n" not in line


def test_rows_of_other_source_are_counted_by_attack() -> None:
    whole = found(
        row("a", evaluation_fingerprint="0" * 12),
        row("b", evaluation_fingerprint="0" * 12, rows=2),
        row("b", "certified-l1"),
    )
    assert not whole.trials
    assert [(g.name, g.count) for g in whole.attacks] == [("pgd-linf", 6)]
    assert whole.rows == {("mlp-1x8", "pgd-linf", "0" * 12)}
    (line,) = stale.warnings_of(whole, NOW, "none")
    assert "6 recorded rows" in line


def test_rows_of_a_stale_network_are_not_counted_beside_it() -> None:
    whole = found(row("a", source_fingerprint="0" * 12, evaluation_fingerprint="0" * 12))
    assert whole.trials == {"a"}
    assert whole.attacks == ()


def test_networks_without_a_fingerprint_are_unknown_and_said_once() -> None:
    whole = found(
        row("a", source_fingerprint=None, evaluation_fingerprint=None),
        row("a", "vertex-l1", source_fingerprint=None),
        row("b", source_fingerprint=None),
    )
    assert not whole
    assert whole.unknown == 2
    (line,) = stale.warnings_of(whole, NOW, "none")
    assert "2 recorded networks" in line


@pytest.mark.parametrize("retrain", RETRAIN)
def test_warning_says_what_is_done(retrain: str) -> None:
    whole = found(row("a", source_fingerprint="0" * 12), row("b", evaluation_fingerprint="1" * 12))
    lines = list(stale.warnings_of(whole, NOW, retrain))
    assert len(lines) == 2
    assert all(f"retrain={retrain}" in line for line in lines)


def test_commits_are_short_and_other_names_whole() -> None:
    assert short(OLD) == "aaaaaaa"
    assert short(f"{OLD}+dirty") == "aaaaaaa+dirty"
    assert short("release-1.0+local") == "release-1.0+local"
    assert short("unknown") == "unknown"
