"""Whatever is wrong with a command ends in one line and exit code 2, before Ray starts."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust_sweep import run
from sweep.cluster import start
from sweep.config import compose
from sweep.datasets import DataOptions, catalog, loading
from sweep.datasets.cache import cache_folder
from sweep.driver import driver

ROOT = Path(run.__file__).resolve().parent.parent
QUICK = ("+experiment=quickstart", "grid.dataset=[iris]", "grid.network=[mlp-1x8]")
Make = Callable[[Path], Sequence[str]]  # what to lay into a folder -> further arguments


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(start, "running", started)


def refused(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command; return the one line that it must end in."""
    code = run.main(list(argv))
    captured = capsys.readouterr()
    assert code == 2, captured
    lines = captured.err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines, captured.err
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.out
    return lines[0]


HUGE = "99999999999999999999"
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "table that there is none": (["shows=tabel8"], ["shows", "'tabel8'", "'table8'", "ranking"]),
    "seed beyond int64": ([f"grid.seed=[{HUGE}]"], ["grid.seed", HUGE]),
    "seed of 2^63": ([f"grid.seed=[{2**63}]"], ["grid.seed", str(2**63 - 1)]),
    "split seed beyond int64": ([f"grid.split_seed=[{HUGE}]"], ["grid.split_seed", HUGE]),
    "seed below zero": (["grid.seed=[-1]"], ["grid.seed=-1"]),
    "seed that is a truth value": (["grid.seed=[true]"], ["grid.seed", "true"]),
    "steps that are a truth value": (["training.steps=true"], ["training.steps", "true"]),
    "rate that is a truth value": (["grid.learning_rate=[true]"], ["grid.learning_rate"]),
    "rate that is null": (["grid.learning_rate=[null]"], ["grid.learning_rate"]),
    "seeds in a list of lists": (["grid.seed=[[0]]"], ["grid.seed", "[0]"]),
    "seed with a key": (["grid.seed={a:1}"], ["grid.seed", "a"]),
    "data set in a list of lists": (["grid.dataset=[[iris]]"], ["grid.dataset", "iris"]),
    "radii with a key": (["evaluation.attack_grid_radii=[{a:1}]"], ["attack_grid_radii", "a"]),
    "attack that is null": (["evaluation.attacks=[null]"], ["evaluation.attacks"]),
    "database of no folder": (["tracking.uri=sqlite:mlflow.db"], ["tracking.uri", "sqlite:///"]),
    "database of two slashes": (
        ["tracking.uri=sqlite://mlflow.db"],
        ["tracking.uri", "sqlite:///"],
    ),
    "password with a space": (["tracking.uri=mysql://u:hunter2 x@h/["], ["tracking.uri", "***"]),
    "steps with a fraction": (["training.steps=1.5"], ["training.steps", "1.5"]),
    "steps that no memory holds": (["training.steps=100000000000"], ["training.steps", "memory"]),
    "steps beyond int64": ([f"training.steps={HUGE}"], ["training.steps", HUGE]),
    "batch beyond int64": ([f"grid.batch_size=[{HUGE}]"], ["grid.batch_size", HUGE]),
    "network that no memory holds": (
        ["grid.network=[mlp-99x99999]"],
        ["grid.network", "mlp-99x99999", "memory"],
    ),
    "cnn on flat data": (["grid.network=[cnn]"], ["grid.network", "cnn", "iris", "image"]),
    "coap on cnn": (
        ["grid.network=[cnn]", "grid.defense=[coap-linf]"],
        ["coap-linf", "cnn", "mlp"],
    ),
    "tight certificate on cnn": (
        ["grid.network=[cnn]", "evaluation.certify_tight=true"],
        ["evaluation.certify_tight", "cnn"],
    ),
    "rate beyond float32": (["grid.learning_rate=[1e39]"], ["grid.learning_rate", "1e+39"]),
    "rate below float32": (["grid.learning_rate=[1e-40]"], ["grid.learning_rate", "1e-40"]),
    "radius beyond float32": (["grid.grid_radius=[1e39]"], ["grid.grid_radius", "1e+39"]),
    "radius below float32": (["grid.grid_radius=[1e-40]"], ["grid.grid_radius", "1e-40"]),
    "true radius beyond float32": (
        ["grid.grid_radius=[2e38]", "grid.defense=[arub-l1]"],
        ["grid.grid_radius", "2e+38", "arub-l1"],
    ),
    "attack radius beyond float32": (
        ["evaluation.attack_grid_radii=[0,1e39]"],
        ["evaluation.attack_grid_radii", "1e+39"],
    ),
    "true attack radius beyond float32": (
        ["evaluation.attack_grid_radii=[0,2e38]", "evaluation.attacks=[fgm-l1]"],
        ["evaluation.attack_grid_radii", "2e+38"],
    ),
    "attack radius below float32": (
        ["evaluation.attack_grid_radii=[0,1e-40]"],
        ["evaluation.attack_grid_radii", "1e-40"],
    ),
    "strong radius beyond float32": (
        ["evaluation.strong_grid_radii=[1e39]"],
        ["evaluation.strong_grid_radii", "1e+39"],
    ),
    "radius that is no number": (["grid.grid_radius=[nan]"], ["grid.grid_radius=nan"]),
    "attack radius that is no number": (
        ["evaluation.attack_grid_radii=[0,nan]"],
        ["evaluation.attack_grid_radii=nan"],
    ),
    "no data set": (["grid.dataset=[]"], ["grid.dataset=[]"]),
    "no attack": (["evaluation.attacks=[]"], ["evaluation.attacks=[]"]),
    "no strong radius": (["evaluation.strong_grid_radii=[]"], ["strong_grid_radii=[]"]),
    "seed twice": (["grid.seed=[0,0]"], ["grid.seed", "twice"]),
    "radius twice": (["grid.grid_radius=[0.1,0.10]"], ["grid.grid_radius", "twice"]),
    "zero twice": (["grid.grid_radius=[0,-0.0]"], ["grid.grid_radius", "twice"]),
    "strong radius twice": (["evaluation.strong_grid_radii=[0.1,0.1]"], ["strong", "twice"]),
    "experiment twice": (["include=[quickstart,quickstart]"], ["include", "twice"]),
    "data set outside": (["grid.dataset=[../x]"], ["grid.dataset", "../x"]),
    "name outside": (["name=../x"], ["name='../x'"]),
    "name of two lines": (["name='a\nb'"], ["name="]),
    "name that no folder has": ([f"name={'n' * 300}"], ["name=", "200"]),
    "results elsewhere": (["paths.results=s3://bucket/x"], ["paths.results", "s3://bucket/x"]),
    "results of one slash": (["paths.results=s3:/bucket"], ["paths.results", "s3:/bucket"]),
    "results in a store": (["paths.results='gs://bucket/x'"], ["gs://bucket/x", "object store"]),
    "unknown retrain": (["retrain=yes"], ["retrain=", "none, changed, all"]),
    "results nowhere": (["paths.results="], ["paths.results"]),
    "results at home": (["paths.results='~/x'"], ["paths.results", "~/x"]),
    "pack of no memory": (["packing.max_memory_gb=0"], ["packing.max_memory_gb"]),
    "checkpoints at nan": (["checkpoint.every_seconds=nan"], ["checkpoint.every_seconds"]),
    "database without driver": (
        ["tracking.uri=postgresql+psycopg://u:hunter2@h/d"],
        ["tracking.uri", "psycopg", "***@h/d"],
    ),
    "unknown database driver": (
        ["tracking.uri=postgresql+nope://u:hunter2@h/d"],
        ["tracking.uri", "nope"],
    ),
    "server of no name": (
        ["tracking.uri=http://u:hunter2@127.0.0.1:1"],
        ["tracking.uri", "***@127.0.0.1:1"],
    ),
    "server without port": (
        ["tracking.uri=http://u:hunter2@no.such.host.invalid"],
        ["tracking.uri", "***@no.such"],
    ),
    "tracking by an unknown scheme": (
        ["tracking.uri=ftp://u:hunter2@h/d"],
        ["tracking.uri", "***@h/d"],
    ),
}


@pytest.mark.parametrize(("given", "named"), VALUES.values(), ids=VALUES.keys())
def test_wrong_value_is_named_in_one_line(
    given: list[str],
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused([*QUICK, "tracking.enabled=true", *given], capsys)
    for part in named:
        assert part in line
    assert "hunter2" not in line


def _csv(text: str | bytes) -> Make:
    def make(root: Path) -> Sequence[str]:
        (root / "mine.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return ()

    return make


def _npz(**arrays: object) -> Make:
    def make(root: Path) -> Sequence[str]:
        np.savez(root / "mine.npz", **{name: np.asarray(a) for name, a in arrays.items()})
        return ()

    return make


def _folder(name: str) -> Make:
    def make(root: Path) -> Sequence[str]:
        (root / name).mkdir()
        return ()

    return make


def _entry(text: str | bytes) -> Make:
    def make(root: Path) -> Sequence[str]:
        rows = "".join(f"{i},{i * i % 7},{'ab'[i % 2]}\n" for i in range(40))
        (root / "mine.csv").write_text(f"u,v,class\n{rows}")
        (root / "mine.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return ()

    return make


def _twice(root: Path) -> Sequence[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.array([1.0] * 40), pa.array([2.0] * 40), pa.array([0, 1] * 20)]
    pq.write_table(pa.Table.from_arrays(columns, ["u", "u", "class"]), root / "mine.parquet")
    return ()


def _text_root(root: Path) -> Sequence[str]:
    (root / "file").write_text("in the way")
    return (f"data.root={root / 'file'}",)


def _wide_test_rows(root: Path) -> Sequence[str]:
    """Ordinary training rows, and rows that are beyond float32 in units of their deviation."""
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[-8:, 1] = 1e300
    frame = pd.DataFrame(x, columns=["u", "v"]).assign(label=[0, 1] * 20)
    frame.to_csv(root / "mine.csv", index=False)
    (root / "mine.yaml").write_text("name: mine\nnum_test: 8\n")
    return ()


Y = [0, 1] * 20
X = np.arange(80.0).reshape(40, 2)
DATA: dict[str, tuple[Make, list[str]]] = {
    "label that is no number": (_npz(x=X, y=[*map(float, Y[:-1]), np.nan]), ["mine.npz", "y"]),
    "label that is infinite": (_npz(x=X, y=[*map(float, Y[:-1]), np.inf]), ["mine.npz", "y"]),
    "feature that is infinite": (_npz(x=np.full((40, 2), np.inf), y=Y), ["mine.npz", "infinite"]),
    "no feature": (_npz(x=np.zeros((40, 0)), y=Y), ["mine", "feature"]),
    "image without pixels": (_npz(x=np.zeros((40, 0, 4, 1), np.uint8), y=Y), ["mine", "feature"]),
    "no row": (_npz(x=np.zeros((0, 2)), y=np.zeros(0, int)), ["mine"]),
    "one class": (_npz(x=X, y=[0] * 40), ["mine.npz", "one class"]),
    "x of no dimension": (_npz(x=1.0, y=Y), ["mine.npz", "x"]),
    "y of no dimension": (_npz(x=X, y=1), ["mine.npz", "y"]),
    "split x of no dimension": (_npz(x_train=1.0, y_train=0, x_test=1.0, y_test=0), ["mine.npz"]),
    "an array missing": (_npz(x=X), ["mine.npz", "'y'"]),
    "an array twice": (_npz(x=X, X=X, y=Y), ["mine.npz", "twice"]),
    "labels of objects": (_npz(x=X, y=np.array([None] * 40, dtype=object)), ["mine.npz"]),
    "float32 overflows": (_wide_test_rows, ["mine", "'v'", "float32"]),
    "empty csv": (_csv(""), ["mine.csv", "empty"]),
    "csv of blank lines": (_csv("\n\n\n"), ["mine.csv", "empty"]),
    "csv without rows": (_csv("a,class\n"), ["mine.csv", "no rows"]),
    "csv without features": (_csv("class\na\nb\n" * 10), ["mine.csv", "feature"]),
    "csv of one class": (_csv("a,class\n" + "1,x\n" * 30), ["mine.csv", "one class"]),
    "csv with a column twice": (
        _csv("a,a,class\n" + "1,2,x\n1,2,y\n" * 20),
        ["mine.csv", "duplicate", ": a"],
    ),
    "csv that is no text": (_csv(b"a,class\n\xff\xfe,x\n" * 9), ["mine.csv", "UTF-8"]),
    "csv with a zero byte": (_csv(b"a,class\n" + b"1\x00,x\n2,y\n" * 20), ["mine.csv"]),
    "csv that is a folder": (_folder("mine.csv"), ["mine.csv", "folder"]),
    "npz that is a folder": (_folder("mine.npz"), ["mine.npz", "folder"]),
    "parquet that is a folder": (_folder("mine.parquet"), ["mine.parquet", "folder"]),
    "entry that is a folder": (_folder("mine.yaml"), ["mine.yaml", "folder"]),
    "entry with a tab": (_entry("name: mine\n\trows: 4\n"), ["mine.yaml", "line 2"]),
    "entry that is no text": (_entry(b"name: \xff\xfe\n"), ["mine.yaml", "UTF-8"]),
    "empty entry": (_entry(""), ["mine.yaml"]),
    "entry of another name": (_entry("name: yours\n"), ["mine.yaml", "yours"]),
    "entry with too many test rows": (_entry("name: mine\nnum_test: 400\n"), ["mine", "400"]),
    "entry with negative test rows": (_entry("name: mine\nnum_test: -4\n"), ["mine", "-4"]),
    "entry with a flat image": (_entry("name: mine\ninput_shape: [2, 1]\n"), ["mine", "[2, 1]"]),
    "entry with a wrong image": (_entry("name: mine\ninput_shape: [3, 1, 1]\n"), ["mine", "3"]),
    "entry with a list for a mapping": (_entry("name: mine\nhashes: [a]\n"), ["mine.yaml"]),
    "parquet with a column twice": (_twice, ["mine.parquet", "u"]),
    "a file as the folder": (_text_root, ["data.root"]),
}


@pytest.mark.parametrize(("make", "named"), DATA.values(), ids=DATA.keys())
def test_wrong_data_are_named_in_one_line(
    make: Make,
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "data"
    root.mkdir()
    own = [*QUICK, "data.source=folder", f"data.root={root}", "grid.dataset=[mine]"]
    own += [f"paths.results={tmp_path / 'results'}", "tracking.enabled=false", *make(root)]
    line = refused(own, capsys)
    for part in named:
        assert part in line


CONF = {
    "tab": ("# @package _global_\ngrid:\n\tseed: [0]\n", ["broken.yaml", "line 3"]),
    "bracket": ("# @package _global_\ngrid:\n  seed: [0\n", ["broken.yaml", "line"]),
    "no text": (b"# @package _global_\nname: \xff\n", ["broken.yaml", "UTF-8"]),
    "a list": ("- 1\n- 2\n", ["broken.yaml"]),
    "a word": ("quickstart\n", ["broken.yaml"]),
    "unknown key": ("# @package _global_\ngrid:\n  sed: [0]\n", ["sed"]),
    "wrong type": ("# @package _global_\ngrid: 3\n", ["broken", "value: 3"]),
    "a key twice": ("# @package _global_\nname: a\nname: b\n", ["broken.yaml", "line 3"]),
    "an unknown reference": ("# @package _global_\nname: ${nope}\n", ["nope"]),
    "a broken reference": ("# @package _global_\nname: ${\n", ["${"]),
    "a date": ("# @package _global_\nname: a\n? [1, 2]\n: 3\n", ["broken.yaml"]),
    "zero byte": (b"# @package _global_\nname: a\x00b\n", ["broken.yaml"]),
    "a folder": (None, ["broken.yaml", "folder"]),
    "unknown experiment": ("# @package _global_\ninclude: [nope]\n", ["nope"]),
    "itself": ("# @package _global_\ninclude: [broken]\n", ["include", "broken"]),
}


@pytest.mark.parametrize(("text", "named"), CONF.values(), ids=CONF.keys())
def test_unreadable_experiment_is_named_with_its_line(
    text: str | bytes | None,
    named: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conf = tmp_path / "conf"
    subprocess.run(["cp", "-r", str(ROOT / "conf"), str(conf)], check=True)
    path = conf / "experiment" / "broken.yaml"
    if text is None:
        path.mkdir()
    else:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    monkeypatch.setattr(compose, "CONF", conf)
    line = refused(["+experiment=broken", "tracking.enabled=false"], capsys)
    for part in named:
        assert part in line


def test_unreadable_ray_choice_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "conf"
    subprocess.run(["cp", "-r", str(ROOT / "conf"), str(conf)], check=True)
    (conf / "ray" / "local.yaml").write_text("address: [\n")
    monkeypatch.setattr(compose, "CONF", conf)
    line = refused([*QUICK, "tracking.enabled=false"], capsys)
    assert "local.yaml" in line
    assert "line" in line


@pytest.mark.parametrize("root", ["~nobody-of-this-name/data", "/etc/passwd", "/proc/none"])
def test_data_root_that_is_no_folder_is_named(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [*QUICK, "data.source=folder", f"data.root='{root}'", f"paths.results={tmp_path}"]
    line = refused([*own, "tracking.enabled=false"], capsys)
    assert "data.root" in line
    assert root in line


def test_cache_of_somebody_without_a_home_is_no_folder_called_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # nothing is known of him
    monkeypatch.chdir(tmp_path)
    folder = cache_folder(DataOptions())
    assert "~" not in str(folder)
    assert folder.is_absolute()
    assert not folder.is_relative_to(tmp_path)


def test_damaged_catalog_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "catalog"
    subprocess.run(["cp", "-r", str(catalog.CATALOG), str(conf)], check=True)
    (conf / "iris.yaml").write_text("name: iris\nrows: [150\nfeatures: 4\n")
    monkeypatch.setattr(catalog, "CATALOG", conf)
    loading._recorded.cache_clear()
    line = refused([*QUICK, "data.source=openml", "tracking.enabled=false"], capsys)
    assert "iris.yaml" in line
    assert "line" in line


def _database(kind: str) -> Make:
    def make(root: Path) -> Sequence[str]:
        path = root / "runs.db"
        if kind == "folder":
            path.mkdir()
        elif kind == "text":
            path.write_text("no database, but a text that is long enough to be one\n" * 9)
        elif kind == "below a file":
            path.write_text("")
            path = path / "runs.db"
        elif kind == "locked away":
            return (f"tracking.uri=sqlite:////proc/{path.name}",)
        return (f"tracking.uri=sqlite:///{path}",)

    return make


@pytest.mark.parametrize("kind", ["folder", "text", "below a file", "locked away"])
def test_database_that_cannot_be_one_is_named(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*QUICK, f"paths.results={tmp_path / 'results'}", *_database(kind)(tmp_path)]
    line = refused(argv, capsys)
    assert "tracking.uri" in line
    assert "runs.db" in line


def test_database_that_is_one_is_not_touched_by_the_check(tmp_path: Path) -> None:
    from sweep.tracking.tracker import check_uri

    path = tmp_path / "runs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table mine (a)")
    connection.close()
    before = path.read_bytes()
    check_uri(f"sqlite:///{path}")
    assert path.read_bytes() == before
    check_uri(f"sqlite:///{tmp_path / 'new.db'}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs.db"]


@pytest.mark.parametrize("dry", ["dry_run=true", "dry_run=false"])
@pytest.mark.parametrize("place", ["results", "results/quickstart"])
def test_results_that_are_a_file_are_named(
    place: str, dry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / place
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("in the way")
    argv = [*QUICK, dry, f"paths.results={tmp_path / 'results'}", "tracking.enabled=false"]
    assert f"paths.results={tmp_path / 'results'}" in refused(argv, capsys)


def test_temporary_folder_that_is_too_long_for_ray_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import tempfile

    long = tmp_path / ("t" * 80)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    line = refused([*QUICK, f"paths.results={tmp_path / 'r'}", "tracking.enabled=false"], capsys)
    assert "RAY_TMPDIR" in line
    assert "107" in line


@pytest.mark.parametrize("home", ["/proc/none", "/etc/passwd/none"])
def test_home_that_cannot_be_written_is_named_where_it_is_needed(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    loading._recorded.cache_clear()
    loading._measured.cache_clear()
    loading.read_raw.cache_clear()
    own = [*QUICK, f"paths.results={tmp_path / 'r'}", "tracking.enabled=false"]
    line = refused([*own, "data.source=openml"], capsys)
    assert home in line
    assert "data.root" in line
    assert run.main([*own, "dry_run=true"]) == 0  # bundled data do without


def test_error_is_one_line_whatever_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("two\nlines of mysql://u:hunter2@h/d")

    monkeypatch.setattr(compose, "read", fails)
    assert refused(QUICK, capsys) == "error: two lines of mysql://***@h/d"


def test_disk_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(driver, "previewed_plan", fails)
    assert "/somewhere" in refused([*QUICK, "dry_run=true"], capsys)
