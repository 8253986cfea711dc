"""Costs of a catalog entry: by column, scaled into the space that networks see."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sweep import datasets
from sweep.datasets import DataOptions, loading
from sweep.datasets.catalog import catalog, read_entry
from sweep.datasets.costs import feature_costs
from sweep.datasets.own import entry_of
from sweep.datasets.values import RawData

ROWS = [
    f"{20 + i % 31},{i * 7 % 13 * 1000},{'fm'[i % 2]},{'bkt'[i % 3]},5,{'ny'[i % 5 > 2]}"
    for i in range(90)
]
HEAD = "age,income,sex,city,same,outcome"
FILE = "root: ..\nfile: mine.csv\ntarget: outcome\ncategorical: one-hot"


def described(folder: Path, entry: str, name: str = "mine") -> datasets.DatasetInfo:
    return datasets.describe(name, options(folder, entry, name), 0)


def options(folder: Path, entry: str, name: str = "mine") -> DataOptions:
    (folder / "catalog").mkdir(exist_ok=True)
    (folder / "mine.csv").write_text("\n".join([HEAD, *ROWS]))
    (folder / "catalog" / f"{name}.yaml").write_text(f"name: {name}\n{entry}\n")
    return DataOptions(catalog=str(folder / "catalog"))


def by_name(info: datasets.DatasetInfo) -> dict[str, float]:
    assert info.costs is not None
    return dict(zip(info.feature_names, info.costs, strict=True))


def test_an_entry_without_costs_has_none(tmp_path: Path) -> None:
    assert described(tmp_path, FILE).costs is None
    assert datasets.describe("wine", DataOptions(), 0).costs is None


def test_costs_are_per_standard_deviation_and_have_a_default(tmp_path: Path) -> None:
    info = described(tmp_path, f"{FILE}\ncosts: {{default: 3, age: inf, city: 2, city=k: 7}}")
    assert by_name(info) == {
        **{"age": math.inf, "income": 3.0, "sex=m": 3.0, "same": 3.0},
        **{"city=b": 2.0, "city=k": 7.0, "city=t": 2.0},
    }
    assert any("no attack tries a switch of category" in note for note in info.notes)


def test_features_that_are_not_listed_cost_one(tmp_path: Path) -> None:
    found = by_name(described(tmp_path, f"{FILE}\ncosts: {{age: .inf}}"))
    assert found.pop("age") == math.inf
    assert set(found.values()) == {1.0}


def test_costs_per_unit_are_those_of_the_scaled_step(tmp_path: Path) -> None:
    given = options(tmp_path, f"{FILE}\ncosts: {{age: 2, city: 6, sex: 4}}\ncosts_per: unit")
    costs = by_name(datasets.describe("mine", given, 0))
    raw, split = datasets.raw_and_split("mine", given, 0)
    data = datasets.load("mine", "standardized", given, 0)
    columns = {name: i for i, name in enumerate(raw.features)}

    def price(name: str) -> float:
        """Of a step of 1 in the table, by two rows of the data: nothing of scaling is used."""
        own = raw.x[split.train][:, columns[name]].astype(float)
        low, high = int(own.argmin()), int(own.argmax())
        seen = data.train.x[:, columns[name]]
        scaled = float(seen[high] - seen[low]) / float(own[high] - own[low])
        return costs[name] * scaled

    assert price("age") == pytest.approx(2, rel=1e-5)
    assert price("income") == pytest.approx(1, rel=1e-5)
    assert price("sex=m") == pytest.approx(4, rel=1e-5)
    # A switch moves two inputs of the column by 1, and costs what the entry says.
    assert price("city=b") + price("city=t") == pytest.approx(6, rel=1e-5)
    assert costs["same"] == math.inf  # it is 0 to every network, whatever it is


def test_costs_change_no_array_and_no_hash(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = described(tmp_path / "a", FILE)
    priced = described(tmp_path / "b", f"{FILE}\ncosts: {{age: inf}}")
    assert plain.hash == priced.hash


def test_costs_have_a_hash_that_splits_share_and_other_costs_do_not(tmp_path: Path) -> None:
    hashes = set()
    entries = ("{age: inf}", "{age: inf, income: 1}", "{age: 2}", "{age: 2}\ncosts_per: unit")
    for number, costs in enumerate(entries):
        (tmp_path / str(number)).mkdir()
        given = options(tmp_path / str(number), f"{FILE}\ncosts: {costs}")
        one, two = (datasets.describe("mine", given, seed) for seed in (0, 1))
        assert one.costs_hash == two.costs_hash
        assert (one.costs != two.costs) is ("unit" in costs)
        hashes.add(one.costs_hash)
    assert len(hashes) == 3  # a cost of 1 that is said is the one that is not


def test_an_entry_of_costs_alone_takes_the_rest_from_the_catalog(tmp_path: Path) -> None:
    given = options(tmp_path, "costs: {alcohol: inf, hue: 0.5}", name="wine")
    info = datasets.describe("wine", given, 0)
    assert by_name(info)["alcohol"] == math.inf
    assert by_name(info)["hue"] == 0.5
    assert info.hash == datasets.describe("wine", DataOptions(), 0).hash
    assert entry_of("wine", given).openml == catalog()["wine"].openml
    remote = DataOptions("openml", str(tmp_path), catalog=given.catalog)
    planned = datasets.planned("wine", remote, 0)
    assert planned.costs is not None  # known to have costs before it is downloaded


def test_facts_that_are_kept_have_the_costs(tmp_path: Path) -> None:
    given = options(tmp_path, f"{FILE}\ncosts: {{age: inf}}")
    first = datasets.describe("mine", given, 0)
    loading._recorded.cache_clear()
    again = loading._recorded("mine", given, 0)
    assert again is not None
    assert again.costs == first.costs


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ("{age: 0}", "costs: age=0: must be a number from 1e-30 to 1e.30, or inf"),
        ("{age: -1}", "costs: age=-1: must be"),
        ("{age: nan}", "costs: age='nan': must be"),
        ("{age: dear}", "costs: age='dear': must be"),
        ("{age: true}", "costs: age=True: must be"),
        ("{age: [1]}", "costs: age="),
        ("[1, 2]", "costs="),
        ("{ages: 2}", "unknown feature 'ages' \\(did you mean 'age'\\?\\)"),
        ("{default: inf}", "all are inf"),
        ("{}\ncosts_per: metre", "costs_per='metre'; allowed: deviation, unit"),
    ],
)
def test_wrong_costs_are_refused_in_one_line(tmp_path: Path, costs: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        described(tmp_path, f"{FILE}\ncosts: {costs}")
    assert "\n" not in str(caught.value)


def test_images_have_no_costs(tmp_path: Path) -> None:
    raw = RawData(x=np.zeros((3, 2, 2, 1), np.uint8), y=np.array([0, 1, 0]), classes=("a", "b"))
    (tmp_path / "mine.yaml").write_text("name: mine\ncosts: {default: 2}\n")
    entry = read_entry(tmp_path / "mine.yaml")
    with pytest.raises(ValueError, match="costs are for tables"):
        feature_costs(entry, raw, None, "mine")  # type: ignore[arg-type]
