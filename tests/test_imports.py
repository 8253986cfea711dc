"""Imports point one way, and heavy libraries are behind one module each."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STANDARD = frozenset(sys.stdlib_module_names)


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(top: str) -> set[str]:
    """The project's files that import a library, relative to the root."""
    return {
        str(path.relative_to(ROOT))
        for package in ("robust", "sweep", "analysis")
        for path in files(package)
        if any(name.split(".")[0] == top for name in imported(path))
    }


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)} - STANDARD


@pytest.mark.parametrize("path", files("robust"), ids=lambda p: str(p.relative_to(ROOT)))
def test_robust_needs_torch_and_numpy_only(path: Path) -> None:
    allowed = {"torch", "numpy", "robust"}
    if path.name == "foolbox.py" or "foolbox" in path.stem:
        allowed |= {"foolbox", "eagerpy"}
    assert tops(path) <= allowed


def test_only_its_start_and_tune_import_ray() -> None:
    assert importers("ray") == {"sweep/local_ray.py", "sweep/ray_start.py", "sweep/tune.py"}


def test_only_tracking_imports_mlflow() -> None:
    names = ("backend", "connection", "database", "server")
    assert importers("mlflow") == {f"sweep/tracking/{name}.py" for name in names}


def test_only_composition_imports_hydra() -> None:
    assert importers("hydra") == {"sweep/compose.py"}


@pytest.mark.parametrize("path", files("analysis"), ids=lambda p: str(p.relative_to(ROOT)))
def test_analysis_reads_records_and_nothing_else_of_the_sweep(path: Path) -> None:
    assert not tops(path) & {"torch", "ray", "hydra", "omegaconf", "mlflow", "robust"}
    of_sweep = {name for name in imported(path) if name.split(".")[0] == "sweep"} - {"sweep"}
    assert all(name.startswith(("sweep.schema", "sweep.checksum")) for name in of_sweep)


@pytest.mark.parametrize("name", ["schema", "checksum"])
def test_what_analysis_reads_of_the_sweep_is_a_leaf(name: str) -> None:
    assert not tops(ROOT / "sweep" / f"{name}.py")


def test_worker_knows_nothing_of_ray_or_mlflow() -> None:
    seen, left = set(), ["sweep.worker"]
    while left:
        name = left.pop()
        path = ROOT / f"{name.replace('.', '/')}.py"
        if name in seen or not path.is_file():
            continue
        seen.add(name)
        left += [other for other in imported(path) if other.startswith("sweep.")]
        assert not tops(path) & {"ray", "mlflow", "hydra"}, name
    assert {"sweep.worker", "sweep.store", "sweep.records"} <= seen
