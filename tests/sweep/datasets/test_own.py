"""A user's own catalog: each data set may say where it comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sweep import datasets
from sweep.datasets import DataOptions, loading, own

from .openml_server import OpenMLServer

ROWS = [f"{i % 7},{i * i % 5},{['no', 'yes'][i % 3 == 0]}" for i in range(60)]


COLUMNS = {"f": "NUMERIC", "g": "NUMERIC", "kind": "{a,b}"}


def options(root: Path, source: str = "bundled", **entries: str) -> DataOptions:
    """A catalog of these entries, and a CSV in a folder beside it."""
    (root / "catalog").mkdir(exist_ok=True)
    (root / "files").mkdir(exist_ok=True)
    (root / "files" / "mine.csv").write_text("\n".join(["f,g,outcome", *ROWS]))
    for name, text in entries.items():
        (root / "catalog" / f"{name}.yaml").write_text(f"name: {name}\n{text}\n")
    return DataOptions(source, catalog=str(root / "catalog"))


MINE = "root: ../files\nfile: mine.csv\ntarget: outcome"


def test_own_file_stands_beside_bundled_sets(tmp_path: Path) -> None:
    given = options(tmp_path, mine=MINE)
    mine, wine = (datasets.describe(name, given, 0) for name in ("mine", "wine"))
    assert (mine.source, mine.num_features, mine.class_names) == ("folder", 2, ("no", "yes"))
    assert wine.source == "bundled"
    assert wine == datasets.describe("wine", DataOptions("bundled"), 0)


def test_own_file_has_the_hash_that_it_has_without_a_catalog(tmp_path: Path) -> None:
    given = options(tmp_path, mine=MINE)
    (tmp_path / "files" / "mine.yaml").write_text("name: mine\ntarget: outcome\n")
    alone = datasets.describe("mine", DataOptions("folder", str(tmp_path / "files")), 0)
    assert datasets.describe("mine", given, 0) == alone
    for scaling in alone.scalings:
        np.testing.assert_array_equal(
            datasets.load("mine", scaling, given, 0).train.x,
            datasets.load("mine", scaling, DataOptions("folder", alone_root(tmp_path)), 0).train.x,
        )


def alone_root(root: Path) -> str:
    return str(root / "files")


def test_entry_that_says_only_where_takes_the_rest_from_the_catalog(tmp_path: Path) -> None:
    given = options(tmp_path, "openml", iris="source: bundled")
    iris = datasets.describe("iris", given, 0)
    assert iris == datasets.describe("iris", DataOptions("bundled"), 0)
    assert own.located("wine", given).source == "openml"


def test_bundled_own_and_openml_sets_in_one_sweep(tmp_path: Path, server: OpenMLServer) -> None:
    server.add(99999, COLUMNS, [[i, i * i % 7, "ab"[i % 2]] for i in range(50)])
    entry = "openml: {id: 99999, target: kind, rows: 50, features: 2}"
    given = options(tmp_path, mine=MINE, blobs=f"rows: 50\nfeatures: 2\nclasses: 2\n{entry}")
    planned = datasets.planned("blobs", given, 0)
    assert (planned.source, planned.hash) == ("openml", "unloaded")
    found = [datasets.describe(name, given, 0) for name in ("iris", "mine", "blobs")]
    assert [info.source for info in found] == ["bundled", "folder", "openml"]
    assert found[2].num_classes == 2


def test_own_entry_of_a_known_name_stands_in_its_place(tmp_path: Path) -> None:
    given = options(tmp_path, wine=MINE)
    info = datasets.describe("wine", given, 0)
    assert info.num_features == 2
    assert not any("differs from the catalog" in note for note in info.notes)


def test_counts_of_an_own_entry_are_checked(tmp_path: Path) -> None:
    given = options(tmp_path, mine=f"{MINE}\nrows: 61")
    with pytest.raises(ValueError, match=r"mine\.csv is not what.*60 rows, expected 61"):
        datasets.describe("mine", given, 0)


def test_changed_entry_is_read_again(tmp_path: Path) -> None:
    before = datasets.describe("mine", options(tmp_path, mine=MINE), 0)
    given = options(tmp_path, mine=f"{MINE}\nignore: [g]")
    for function in (loading.read_raw, loading._measured, loading._recorded):
        function.cache_clear()
    loading._indices.cache_clear()
    assert datasets.describe("mine", given, 0).num_features == before.num_features - 1


def test_folder_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    given = DataOptions("bundled", catalog=str(tmp_path / "none"))
    assert own.own_names(given) == ()
    assert datasets.describe("iris", given, 0).source == "bundled"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("source: ftp", "data.source='ftp' is unknown; known: authors, bundled"),
        (
            "source: bundled",
            r"mine\.yaml: names no file, and source 'bundled' has no 'mine'",
        ),
        ("source: authors", "data.root is not set.*`root` in the data set's own entry"),
        ("file: other.csv\ntarget: f", r"data set mine: .*catalog/other\.csv is missing"),
        ("root: none\nfile: mine.csv", "catalog/none' is not a folder"),
        ("file: mine.csv\nsorce: folder", r"mine\.yaml: unknown key 'sorce'"),
        ("root: ../files\nfile: mine.csv\ntarget: outcom", "did you mean 'outcome'"),
        ("source: openml\nfile: mine.csv", "no OpenML id is known"),
    ],
)
def test_wrong_entry_is_one_line(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        datasets.describe("mine", options(tmp_path, mine=entry), 0)
    assert "\n" not in str(error.value)


def test_entry_beside_the_data_cannot_say_that_they_are_elsewhere(tmp_path: Path) -> None:
    options(tmp_path)
    (tmp_path / "files" / "mine.yaml").write_text("name: mine\nsource: openml\n")
    with pytest.raises(ValueError, match="an entry beside the data is for those"):
        datasets.describe("mine", DataOptions("folder", alone_root(tmp_path)), 0)


def test_unknown_name_is_told_with_own_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'mines' \(did you mean 'mine'\?\)"):
        datasets.describe("mines", options(tmp_path, mine=MINE), 0)


def test_file_in_place_of_a_name_is_told_how_it_becomes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data check files/mine\.csv` makes a data set"):
        datasets.describe("files/mine.csv", given, 0)


def test_place_of_a_data_set_is_found_twice_the_same(tmp_path: Path) -> None:
    given = options(tmp_path, mine=MINE, iris="source: bundled", wine="source: openml")
    given = dataclasses.replace(given, source="folder", root=str(tmp_path))
    for name in ("mine", "iris", "wine", "yeast"):
        once = own.located(name, given)
        assert own.located(name, once) == once
