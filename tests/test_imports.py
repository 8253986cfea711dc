"""Imports point one way, and heavy libraries are behind one module each."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STANDARD = frozenset(sys.stdlib_module_names)
LEAVES = ("sweep.results.schema", "sweep.results.checksum", "sweep.installation")
SCRIPTS = ("sweep/run.py", "sweep/strong.py")  # run as files, imported by nobody


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


def importers(top: str, *within: str) -> set[str]:
    """The files of packages that import a library, relative to the root, scripts left out."""
    return {
        str(path.relative_to(ROOT))
        for package in within or ("robust", "sweep", "analysis")
        for path in files(package)
        if any(name.split(".")[0] == top for name in imported(path))
    } - set(SCRIPTS)


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)} - STANDARD


@pytest.mark.parametrize("path", files("robust"), ids=lambda p: str(p.relative_to(ROOT)))
def test_robust_needs_torch_and_numpy_only(path: Path) -> None:
    allowed = {"torch", "numpy", "robust"}
    if path.name == "foolbox.py" or "foolbox" in path.stem:
        allowed |= {"foolbox", "eagerpy"}
    if path.parts[-2:] == ("networks", "files.py"):
        allowed |= {"safetensors"}  # where a file is written or read
    assert tops(path) <= allowed


# Runs with every library hidden that neither torch nor numpy asks for.
ALONE = """
import importlib, importlib.metadata as metadata, pkgutil, re, sys

def needed(names):
    found, left = set(), list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # asked for on another platform
        left += [re.match(r"[A-Za-z0-9._-]+", text)[0] for text in asked if "extra ==" not in text]
    return found

kept = needed(["torch", "numpy"])
hidden = {
    module
    for module, owners in metadata.packages_distributions().items()
    if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & (kept | {"robust-sweep"})
} | {"sweep", "analysis", "robust_sweep"}
assert {"ray", "mlflow", "hydra", "pandas", "polars", "sklearn", "foolbox"} <= hidden

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hide())
import robust
for module in pkgutil.walk_packages(robust.__path__, "robust."):
    if "foolbox" not in module.name:
        importlib.import_module(module.name)
import torch
from robust import attacks, certify, defenses, networks, train
x, y = torch.randn(12, 4), torch.arange(12) % 3
net = networks.build("mlp-1x8", num_features=4, num_classes=3, num_networks=1, seed=0)
train.train(net, x, y, defense="rub", radius=torch.tensor([0.1]), batch_size=6,
            learning_rate=torch.tensor([1e-3]), steps=2, seed=0)
assert attacks.get("pgd-linf")(net, x, y, radius=0.1).shape == (1, 12, 4)
assert certify.certified_radius(net, x, y).shape == (1, 12)
print(len(defenses.names()), len(attacks.names()))
"""


def test_robust_works_where_torch_and_numpy_are_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(int(count) > 5 for count in done.stdout.split())


def test_only_its_start_and_tune_import_ray() -> None:
    assert importers("ray") == {"sweep/cluster/start.py", "sweep/cluster/tune.py"}


def test_only_tracking_imports_mlflow() -> None:
    names = ("connection", "models", "run_log")
    assert importers("mlflow") == {f"sweep/tracking/{name}.py" for name in names}


def test_only_composition_imports_hydra() -> None:
    assert importers("hydra") == {"sweep/config/compose.py"}


@pytest.mark.parametrize("path", files("analysis"), ids=lambda p: str(p.relative_to(ROOT)))
def test_analysis_reads_records_and_nothing_else_of_the_sweep(path: Path) -> None:
    assert not tops(path) & {"torch", "ray", "hydra", "omegaconf", "mlflow", "robust"}
    of_sweep = {name for name in imported(path) if name.split(".")[0] == "sweep"} - {"sweep"}
    assert all(name.startswith(LEAVES) for name in of_sweep - {"sweep.results"})


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaf_imports_nothing_else_of_ours_or_of_others(leaf: str) -> None:
    code = (
        "import sys; before = set(sys.modules);"
        f"import {leaf};"
        "print(*sorted({m for m in set(sys.modules) - before"
        " if m.split('.')[0] not in sys.stdlib_module_names}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    parts = leaf.split(".")
    assert done.stdout.split() == [".".join(parts[: i + 1]) for i in range(len(parts))]


def test_packages_form_no_circle() -> None:
    assert not importers("robust_sweep")
    assert not importers("analysis", "robust", "sweep")
    assert not importers("sweep", "robust")
    of_command = set().union(*(tops(path) for path in files("robust_sweep")))
    assert of_command == {"robust_sweep", "sweep", "analysis", "robust"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_imported_by_nobody_and_holds_the_call_of_a_command(script: str) -> None:
    module = script.removesuffix(".py").replace("/", ".")
    everything = [*files("robust_sweep"), *files("sweep"), *files("analysis")]
    assert not [path for path in everything if module in imported(path)]
    assert tops(ROOT / script) == {"robust_sweep"}


def room_of(module: str) -> str:
    """A folder or a single file at the top of a package: `sweep.config`, `sweep.errors`."""
    return ".".join(module.split(".")[:2])


def rooms(package: str) -> dict[str, set[str]]:
    """Every room of a package -> the rooms that it imports, also inside functions."""
    found: dict[str, set[str]] = {}
    for path in files(package):
        # A `__main__` is a script too: nobody imports it.
        if str(path.relative_to(ROOT)) in SCRIPTS or path.stem == "__main__":
            continue
        own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        asked = {room_of(name) for name in imported(path) if name.startswith(f"{package}.")}
        found.setdefault(own, set()).update(asked - {own})
    return found


@pytest.mark.parametrize("package", ["robust", "sweep"])
def test_rooms_form_no_circle(package: str) -> None:
    order = tuple(TopologicalSorter(rooms(package)).static_order())  # a circle raises
    assert 10 < len(order) < 25


@pytest.mark.parametrize("package", ["robust", "sweep"])
def test_map_shows_every_room_after_those_that_it_imports(package: str) -> None:
    text = (ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")
    rows = text.split(f"\n## {package}: ")[1].split("\n## ")[0].splitlines()
    place = {
        f"{package}.{name}": number
        for number, row in enumerate(rows)
        for name in re.findall(r"`(\w+)/?`", row.split("|")[1] if row.startswith("| `") else "")
    }
    graph = rooms(package)
    assert set(place) == set(graph) - {f"{package}.__init__"}
    assert not [(a, b) for a in place for b in graph[a] if place[b] > place[a]]


def test_worker_knows_nothing_of_ray_or_mlflow() -> None:
    seen, left = set(), ["sweep.pack.run"]
    while left:
        name = left.pop()
        path = ROOT / f"{name.replace('.', '/')}.py"
        if name in seen or not path.is_file():
            continue
        seen.add(name)
        left += [other for other in imported(path) if other.startswith("sweep.")]
        assert not tops(path) & {"ray", "mlflow", "hydra"}, name
    assert {"sweep.pack.run", "sweep.results.store", "sweep.pack.records"} <= seen
