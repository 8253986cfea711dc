"""Files that must agree with each other: commands, workflows, hooks, the guide, the image."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = set(re.findall(r"^([a-z]+):.*?##", (ROOT / "Makefile").read_text(), re.MULTILINE))
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def workflows() -> dict[str, Any]:
    """The steps of every workflow, by its file."""
    folder = ROOT / ".github" / "workflows"
    found = {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}
    return {
        name: [step for job in flow["jobs"].values() for step in job["steps"]]
        for name, flow in found.items()
    }


def test_groups_are_the_extras_of_the_same_name() -> None:
    for name in ("test", "lint"):
        extras = PROJECT["project"]["optional-dependencies"]
        assert PROJECT["dependency-groups"][name] == extras[name]


def test_every_direct_dependency_has_a_tested_version() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    names = {re.split(r"[\[><=]", text)[0].lower() for text in asked}
    assert names <= tested


def test_hooks_run_the_tested_ruff() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (rev,) = (repo["rev"] for repo in hooks if "ruff" in repo["repo"])
    assert f"ruff=={rev.removeprefix('v')}\n" in (ROOT / "constraints.txt").read_text()


def test_workflows_call_targets_that_exist() -> None:
    commands = [step["run"] for steps in workflows().values() for step in steps if "run" in step]
    called = {command.split()[1] for command in commands}
    assert called == {"lint", "docs", "test", "floors", "slow", "gpu"}
    assert called <= TARGETS


def test_workflows_pin_what_they_use() -> None:
    used = [step["uses"] for steps in workflows().values() for step in steps if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name) for name in used)


def test_guide_names_commands_and_folders_that_exist() -> None:
    assert set(re.findall(r"make ([a-z]+)", GUIDE)) <= TARGETS
    paths = re.findall(r"^\| [a-z ]+ \| [^|]*?`([\w./-]+)`", GUIDE, re.MULTILINE)
    assert len(paths) >= 9
    for path in paths:
        assert (ROOT / path.replace("NAME", "x")).parent.is_dir(), path


def test_image_copies_what_the_installation_reads() -> None:
    lines = (
        (ROOT / "docker" / "Dockerfile").read_text().split("RUN pip install -c constraints.txt -e")
    )
    copied = {
        name
        for line in re.findall(r"^COPY (.*) \S+$", lines[0], re.MULTILINE)
        for name in line.split()
    }
    (packages,) = re.findall(r"PACKAGES = \((.*)\)", (ROOT / "setup.py").read_text())
    read = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "conf"}
    assert read | set(re.findall(r'"(\w+)"', packages)) <= copied


def test_files_that_documents_and_docstrings_name_exist() -> None:
    folders = "robust|robust_sweep|sweep|analysis|benchmarks|tests|conf|docs|docker|examples"
    named = re.compile(rf"\b((?:{folders})/[\w./-]+\.(?:py|md|ya?ml|csv))\b")
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("benchmarks/*.md")]
    for package in ("robust", "robust_sweep", "sweep", "analysis", "benchmarks"):
        texts += (ROOT / package).rglob("*.py")
    found = {name for path in texts for name in named.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 20
    assert not [name for name in found if "NAME" not in name and not (ROOT / name).exists()]
