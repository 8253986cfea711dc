"""The example of features that nobody can change: it runs, and what it prints holds together."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "immutable_features.py"


@pytest.fixture
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("immutable_features", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_example_prints_both_balls_of_three_networks(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y, x_test, y_test, names = example.load_arrays()
    kept = [i for i, name in enumerate(names) if name.startswith("worst")]
    few = x[:, kept], y, x_test[:30, kept], y_test[:30], [names[i] for i in kept]
    monkeypatch.setattr(example, "load_arrays", lambda: few)
    monkeypatch.setattr(example, "STEPS", 60)
    example.main()
    first, _, _, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("3 of 10 features cannot be changed")
    assert [row.split("  ")[0] for row in rows] == [
        *("nominal", "rub, uniform costs", "rub, immutable features")
    ]
    for row in rows:
        clean, *shares = (float(v) for v in re.findall(r"\d\.\d\d", row))
        attacked, proven, attacked_within, proven_within = shares
        assert clean >= attacked >= proven
        assert clean >= attacked_within >= proven_within
        assert attacked_within >= attacked  # the ball lies within the other
        assert proven_within >= proven


def test_example_holds_the_sizes_fixed(example: ModuleType) -> None:
    costs = example.costs_of(["mean radius", "area error", "worst texture"])
    assert costs == [math.inf, math.inf, 1.0]
