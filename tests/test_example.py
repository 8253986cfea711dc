"""The example that users copy: it runs, and its curve is that of the certificates."""

from __future__ import annotations

import ast
import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_one.py"


@pytest.fixture
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("train_one", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_example_trains_attacks_certifies_and_plots(
    example: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    x, y, x_test, y_test = example.load_arrays()
    few = x[:, :6], y, x_test[:15, :6], y_test[:15]
    monkeypatch.setattr(example, "load_arrays", lambda: few)
    picture = tmp_path / "curve.png"
    example.main(str(picture))
    nominal, robust, last = capsys.readouterr().out.splitlines()
    assert nominal.startswith("nominal")
    assert robust.startswith("rub")
    assert str(picture) in last
    assert picture.read_bytes().startswith(b"\x89PNG")
    for line in (nominal, robust):
        clean, attacked, certified = (float(v) for v in re.findall(r"\d\.\d\d", line))
        assert 1 >= clean >= attacked >= certified >= 0
        assert clean > 0.7


def test_example_imports_neither_ray_nor_hydra_nor_mlflow() -> None:
    tree = ast.parse(EXAMPLE.read_text())
    modules = {
        n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names
    }
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {str(name).split(".")[0] for name in modules}
    assert "robust" in roots
    assert roots.isdisjoint({"ray", "hydra", "mlflow", "sweep", "analysis"})


def test_demo_proves_no_more_than_attacks_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEMO_STEPS", "30")
    monkeypatch.setenv("DEMO_SHOWN", "12")
    found = runpy.run_path(str(EXAMPLE.parent / "demo.py"))
    for method in found["METHODS"]:
        attacked, proven, by_rub = (found[n][method] for n in ("attacked", "proven", "by_rub"))
        assert all(a >= b >= c for a, b, c in zip(attacked, proven, by_rub, strict=True))
        assert attacked[0] == proven[0] > 0.5  # at radius 0 all are the clean accuracy
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
