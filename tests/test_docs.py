"""README and docs/: commands work as they stand, Python blocks run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from robust_sweep import cli, new, run, ui
from sweep import datasets
from sweep.config import show
from sweep.config.schema import Evaluation, Keep
from sweep.datasets.preprocessing import preprocessing
from sweep.pack.run import run_pack
from sweep.results import weights
from tests.sweep.helpers import config, jobs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CALLED = (
    "README.md",
    "first-sweep.md",
    "results.md",
    "reading-records.md",
    "cluster.md",
)  # pages whose commands are called here
PROGRAMS = ("robust-sweep", "python", "make", "ray", "pip")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """The indented lines of a page that call a program."""
    lines = (line.strip() for line in text_of(page).splitlines() if line.startswith("    "))
    return [line for line in lines if line.split(" ")[0] in PROGRAMS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as after the quickstart, with few networks; rows of wine; a table of one's own."""
    root = tmp_path_factory.mktemp("quickstart")
    small = config(root / "results", name="quickstart", keep=Keep("all"))
    small.grid.dataset, small.grid.defense = ["wine"], ["nominal", "rub"]
    small.evaluation = Evaluation(
        attacks=["pgd-l2", "pgd-linf", "fgsm-linf"], attack_grid_radii=[0.0, 0.1], max_samples=20
    )
    for job in jobs(small):
        assert run_pack(job).error is None
    options = datasets.DataOptions("bundled")
    made = preprocessing("wine", "standardized", options, split_seed=0)
    raw, _ = datasets.raw_and_split("wine", options, split_seed=0)
    rows = [[*x, made.classes[y]] for x, y in zip(raw.x[:5], raw.y[:5], strict=True)]
    lines = [",".join(map(str, row)) for row in [[*made.features, "target"], *rows]]
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    own = [f"{i % 13},{i * i % 11},{'ill' if i % 3 else 'well'}" for i in range(60)]
    (root / "patients.csv").write_text("\n".join(["a,b,outcome", *own]) + "\n")
    (root / "mlflow.db").touch()
    return root


def planned(words: list[str]) -> int:
    if words == ["--help"] or "ray=cluster" in words:  # a plan of all of the paper takes seconds
        return len(show.help_text(words if "ray=cluster" in words else [])) == 0
    return run.main([*words, "dry_run=true"])


def served(words: list[str]) -> int:
    return 0 if ui.read(words) else 1


def drawn(words: list[str]) -> int:
    return cli.main(["tables", *words, "only=health"])


INSTEAD: dict[str, Callable[[list[str]], int]] = {
    "run": planned, "plan": planned, "ui": served, "tables": drawn
}  # fmt: skip


def call(command: str, trial: str) -> int:
    """Call a command, with a trial's id for TRIAL; sweeps are planned only."""
    named = re.sub(r" experiment=(NAME|first)", " experiment=quickstart", command)
    named = named.replace("TRIAL", trial)
    program, *words = shlex.split(named, comments=True)
    if program == "make":
        assert re.search(rf"^{words[0]}:", text_of(ROOT / "Makefile"), re.MULTILINE)
        return 0
    if program == "python" and words[0] == "sweep/run.py":
        return planned(words[1:])
    if program != "robust-sweep":
        return 0 if program in ("ray", "pip") else 1
    name, *rest = words
    return INSTEAD[name](rest) if name in INSTEAD else cli.main(words)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name in CALLED])
def test_every_command_works(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(new, "write_text", lambda path, text: None)
    found = commands(page)
    assert found
    for command in sorted(found, key=lambda text: "prune" in text):  # last: it deletes networks
        trial = next(iter(weights.find(folder / "results")))
        code = call(command, trial)
        assert code == 0, command + capsys.readouterr().err


def test_python_of_the_library_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    page = text_of(ROOT / "docs" / "library.md")
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), names)
    assert (tmp_path / "pack.safetensors").is_file()
    assert (tmp_path / "second.onnx").is_file()


def test_cell_is_read_from_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    page = text_of(ROOT / "docs" / "reading-records.md")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/reading-records.md", "exec"), names)
    assert cli.main(["tables", "experiment=quickstart", "only=accuracy", "out=tables"]) == 0
    table = pl.read_csv(folder / "tables" / "accuracy.csv")
    shown = table.filter(
        pl.col("attack_norm") == "linf",
        pl.col("attack_grid_radius") == 0.1,
        pl.col("defense") == "rub",
    )
    assert names["best"]["test"].mean() == pytest.approx(shown["accuracy"].item(), abs=1e-12)
    capsys.readouterr()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if heading:
            heads = re.findall(r"^#+ (.*)$", text_of(file), re.MULTILINE)
            made = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert heading in made, target


def test_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) < 200
