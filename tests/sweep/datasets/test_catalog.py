"""The catalog's files, and what is refused in one."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from sweep import datasets
from sweep.datasets import DataOptions, loading
from sweep.datasets.catalog import catalog, read_entry
from sweep.datasets.values import UNLOADED


def test_catalog_has_the_49_sets() -> None:
    entries = catalog().values()
    assert len(entries) == 49
    assert {entry.name for entry in entries if entry.is_vision} == {
        "MNIST",
        "Fashion-MNIST",
        "CIFAR-10",
    }


@pytest.mark.parametrize("name", sorted(catalog()))
def test_entry_is_complete_and_consistent(name: str) -> None:
    entry = catalog()[name]
    assert entry.title
    assert entry.licence
    assert entry.citation
    assert entry.notes
    assert entry.rows
    assert entry.features
    assert entry.classes
    if not entry.is_vision:
        assert sum(entry.class_sizes) == entry.rows
        assert len(entry.class_sizes) == entry.classes
    if entry.openml is not None and entry.openml.paper_rows is not None:
        assert entry.openml.paper_rows.first == entry.rows < entry.openml.rows


def test_catalog_agrees_with_the_facts_found_so_far(shared_path: Path) -> None:
    with (shared_path / "data" / "catalog.csv").open() as file:
        facts = {row["name"]: row for row in csv.DictReader(file)}
    assert set(facts) == set(catalog())
    for name, row in facts.items():
        entry = catalog()[name]
        assert (entry.confidence == "confirmed") == (row["confidence"] == "confirmed")
        if row["rows_uci_here"]:
            assert entry.rows == int(row["rows_uci_here"])
        if not row["openml_id"]:
            assert entry.openml is None
            continue
        assert entry.openml is not None
        assert entry.openml.id == int(row["openml_id"])
        assert entry.openml.rows == int(row["openml_rows"])
        assert entry.openml.features == int(row["features"])


def test_planning_the_whole_catalog_downloads_nothing_and_is_fast(tmp_path: Path) -> None:
    options = DataOptions("openml", str(tmp_path))
    start = time.perf_counter()
    infos = [datasets.planned(name, options, 0) for name in datasets.names("openml")]
    assert time.perf_counter() - start < 2.0
    assert len(infos) == 49
    assert {info.hash for info in infos} == {UNLOADED}
    sizes = {info.name: (info.num_train, info.num_validation, info.num_test) for info in infos}
    assert sizes["MNIST"] == (59000, 1000, 10000)
    assert sizes["iris"] == (90, 30, 30)
    assert sizes["poker-hand"] == (15006, 5002, 5002)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nrow: 3", "unknown key 'row'; allowed: name, title, rows"),
        ("name: a\nrows: many", "rows='many' must be of type int"),
        ("name: a\nrows: true", "rows=True must be of type int"),
        ("name: a\nignore: b", "ignore='b' must be of type list"),
        ("name: a\ncategorical: drop", "categorical='drop'; allowed: refuse, one-hot, numeric"),
        ("name: a\nopenml: {id: 1}", "openml: key 'target' is missing"),
        ("title: a", "key 'name' is missing"),
        ("name: b", "name='b' must be the file's name, 'a'"),
        ("- a", "expected keys and values"),
        ("name: [", "not valid YAML"),
    ],
)
def test_wrong_entry_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=".") as error:
        read_entry(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_data_set_of_unknown_size_is_not_planned(tmp_path: Path) -> None:
    (tmp_path / "mystery.yaml").write_text(
        "name: mystery\nsource: openml\nfeatures: 4\n"
        "openml: {id: 1, target: y, rows: 9, features: 4, paper_rows: {first: 5}}\n"
    )
    with pytest.raises(ValueError, match=r"mystery: its catalog entry names no rows, without"):
        loading.planned("mystery", DataOptions("openml", catalog=str(tmp_path)), 0)
