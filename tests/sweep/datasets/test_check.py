"""`data check`: what is understood of tables as people have them, and what it leads to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep import datasets
from sweep.config import compose
from sweep.config.schema import data_options
from sweep.datasets import DataOptions
from sweep.datasets.__main__ import main
from sweep.datasets.check_command import DEFAULTS
from sweep.datasets.columns import column_of

RNG = np.random.default_rng(0)
AGES = RNG.integers(20, 80, 60).tolist()
LABELS = [["no", "yes"][int(age + shift > 50)] for age, shift in
          zip(AGES, RNG.normal(0, 20, 60), strict=True)]  # fmt: skip
CITIES = ("Bonn", "Köln", "Trier")
PATIENTS = [
    f"P{i:03},{age if i % 9 else ''},{'fm'[i % 2]},{CITIES[i // 2 % 3]},A,{label}"
    for i, (age, label) in enumerate(zip(AGES, LABELS, strict=True))
]
HEADER = "patient_id,age,sex,city,site,outcome"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(lines: list[str], name: str = "patients.csv") -> str:
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What the command prints where all is well."""
    status = main(["check", *argv])
    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    return printed.out


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that the command prints where something is wrong."""
    status = main(["check", *argv])
    printed = capsys.readouterr()
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert not Path("catalog").exists()
    return printed.err


def read(name: str) -> datasets.DatasetInfo:
    return datasets.describe(name, DataOptions(catalog="catalog"), 0)


def test_every_choice_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, save([HEADER, *PATIENTS]), "target=outcome")
    missing = sum(line.split(",")[1] == "" for line in PATIENTS)
    for line in (
        "patients.csv: 60 rows, 6 columns, separated by comma",
        f"target outcome: 2 classes: no {LABELS.count('no')} (",
        "labels: 0 = no, 1 = yes",
        "left out: patient_id, it names the rows (60 different texts in 60 rows)",
        "left out: site, it is constant; keep=site keeps it",
        "one-hot: sex: 1 input, 0 = f, 1 = m",
        "one-hot: city: 3 inputs, Bonn, Köln, Trier",
        f"missing: age {missing}: the mean of the training rows",
        "leaks: none found",
    ):
        assert f"\n{line}" in f"\n{shown}"


def test_sweep_reads_what_was_understood(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, save([HEADER, *PATIENTS]), "--target", "outcome")
    info = read("patients")
    assert info.feature_names == ("age", "sex=m", *(f"city={city}" for city in CITIES))
    assert info.class_names == ("no", "yes")
    assert f"a network sees {info.num_features} inputs; 36 training, 12 validation" in shown


def test_printed_command_plans_a_sweep_on_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, save([HEADER, *PATIENTS]), "--target=outcome")
    (command,) = (line.strip() for line in shown.splitlines() if "+experiment=" in line)
    assert command.startswith("robust-sweep run +experiment=quickstart")
    (config,) = compose.compose(command.split()[2:])
    assert config.name == "patients"
    assert config.grid.dataset == ["patients"]
    assert datasets.planned("patients", data_options(config), 0).num_classes == 2


def test_own_table_stands_beside_bundled_sets_in_one_sweep(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said(capsys, save([HEADER, *PATIENTS]), "target=outcome")
    (config,) = compose.compose(["+experiment=quickstart", "grid.dataset=[patients,wine]"])
    options = data_options(config)
    sources = [datasets.describe(name, options, 0).source for name in config.grid.dataset]
    assert sources == ["folder", "bundled"]


def test_folder_of_the_entry_can_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, save([HEADER, *PATIENTS]), "target=outcome", "catalog=my own")
    assert "data.catalog='my own'" in shown
    moved = DataOptions(catalog="my own")
    assert datasets.describe("patients", moved, 0).num_classes == 2


def test_check_again_replaces_its_own_entry_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = save([HEADER, *PATIENTS])
    said(capsys, file, "target=outcome")
    said(capsys, file, "target=outcome", "ignore=city,sex")
    entry = Path("catalog/patients.yaml")
    assert "ignore:\n- patient_id\n- sex\n- city\n- site\n" in entry.read_text()
    entry.write_text("name: patients\n")
    assert main(["check", file, "target=outcome"]) == 2
    assert "not from this command; give another name=NAME" in capsys.readouterr().err
    assert entry.read_text() == "name: patients\n"


@pytest.mark.parametrize(
    ("mark", "decimal", "separator"),
    [(";", ",", "semicolon"), ("\t", ".", "tab"), ("|", ".", "bar"), (";", ".", "semicolon")],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_form_of_the_file_is_understood(
    capsys: pytest.CaptureFixture[str], mark: str, decimal: str, separator: str, encoding: str
) -> None:
    values = RNG.normal(size=(40, 2)).round(3)
    rows = [[f"{a:.3f}", f"{b:.3f}", "uv"[i % 2]] for i, (a, b) in enumerate(values.tolist())]
    lines = [["f", "g", "class"], *([c.replace(".", decimal) for c in row] for row in rows)]
    text = "\r\n".join(mark.join(f'"{cell}"' for cell in row) for row in lines)
    Path("form.csv").write_bytes(text.encode(encoding))
    assert f"separated by {separator}" in said(capsys, "form.csv")
    raw, _ = datasets.raw_and_split("form", DataOptions(catalog="catalog"), 0)
    np.testing.assert_array_equal(raw.x, values)


def test_parquet_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split(",") for line in PATIENTS]
    pd.DataFrame(rows, columns=HEADER.split(",")).drop(columns="age").to_parquet("p.parquet")
    assert "p.parquet: 60 rows, 5 columns, Parquet" in said(capsys, "p.parquet", "target=outcome")
    assert read("p").class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (range(60), "60 whole numbers in 60 rows, with few left out"),
        ((5000 - i for i in range(60)), "with few left out"),
        ((i if i > 0 else 7 for i in range(60)), "59 whole numbers"),
        ((i if i % 20 else "" for i in range(60)), "57 whole numbers"),
    ],
    ids=["from 0", "downwards", "one twice", "some missing"],
)
def test_numbers_of_the_rows_are_left_out_by_name(
    capsys: pytest.CaptureFixture[str], numbers: range, reason: str
) -> None:
    lines = [f"{n},{age},{label}" for n, age, label in zip(numbers, AGES, LABELS, strict=True)]
    file = save(["n,age,outcome", *lines])
    shown = said(capsys, file, "target=outcome")
    assert "left out: n, it names the rows (" in shown
    assert reason in shown
    assert read("patients").feature_names == ("age",)
    kept = said(capsys, file, "target=outcome", "keep=n", "name=kept")
    assert "left out" not in kept
    assert read("kept").feature_names == ("n", "age")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("salary", RNG.permutation(10**6)[:60]),
        ("height", RNG.normal(size=60)),
        ("age", AGES),
        ("patient_age", np.arange(60) // 2),
    ],
)
def test_measurements_name_no_rows(name: str, values: np.ndarray) -> None:
    assert column_of(pd.Series(values), name).naming == ""


@pytest.mark.parametrize("name", ["id", "patient_id", "PatientID", "patientId", "id_2", "Key"])
def test_scattered_numbers_name_the_rows_where_their_name_says_so(name: str) -> None:
    values = pd.Series(RNG.permutation(10**6)[:60])
    assert "and its name" in column_of(values, name).naming
    assert column_of(values, "valid").naming == ""


def test_texts_for_no_value_among_numbers_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{age if i % 7 else '-'},{'x' if i % 3 else 'y'},{label}"
             for i, (age, label) in enumerate(zip(AGES, LABELS, strict=True))]  # fmt: skip
    shown = said(capsys, save(["age,kind,outcome", *lines]), "target=outcome")
    assert "no value: '-' in any column" in shown
    assert "missing: age 9:" in shown
    assert read("patients").feature_names == ("age", "kind=y")


def test_number_that_often_stands_for_no_value_is_pointed_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"{age if i % 7 else -999},{label}"
             for i, (age, label) in enumerate(zip(AGES, LABELS, strict=True))]  # fmt: skip
    file = save(["age,outcome", *lines])
    assert "age holds -999 more than once" in said(capsys, file, "target=outcome")
    assert "missing: age 9:" in said(capsys, file, "target=outcome", "missing=-999")


def test_codes_can_be_categories(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{i % 3 + 1},{age},{label}"
             for i, (age, label) in enumerate(zip(AGES, LABELS, strict=True))]  # fmt: skip
    shown = said(capsys, save(["ward,age,outcome", *lines]), "target=outcome", "categories=ward")
    assert "one-hot: ward: 3 inputs, 1, 2, 3" in shown
    assert read("patients").groups == (datasets.OneHot("ward", ("1", "2", "3"), (0, 1, 2)),)


@pytest.mark.parametrize(
    ("column", "line"),
    [
        (LABELS, "leak: feature code: one-to-one with the label"),
        ([["a", "b"][label == "yes"] + str(i % 2) for i, label in enumerate(LABELS)],
         "leak: feature code: each of its values has one label"),
        ([i / 7 + 100 * (label == "yes") for i, label in enumerate(LABELS)],
         "leak: feature code: thresholds on it separate every class"),
    ],
    ids=["the label", "a finer label", "a threshold"],
)  # fmt: skip
def test_leak_is_named(
    capsys: pytest.CaptureFixture[str], column: list[object], line: str
) -> None:
    lines = [f"{a},{b},{c}" for a, b, c in zip(AGES, column, LABELS, strict=True)]
    shown = said(capsys, save(["age,code,outcome", *lines]), "target=outcome")
    assert f"{line}; if it is not known before the label, say ignore=COLUMN" in shown
    assert "leaks: none" in said(capsys, "patients.csv", "target=outcome", "ignore=code")


def test_line_of_numbers_in_place_of_names_is_pointed_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [f"{age},{i * i % 17},{label}" for i, (age, label) in
            enumerate(zip(AGES, LABELS, strict=True))]  # fmt: skip
    assert "say header=false" in said(capsys, save(rows), f"target={LABELS[0]}")
    right = said(capsys, "patients.csv", "header=false", "target=V3", "name=right")
    assert "header" not in right
    assert read("right").feature_names == ("V1", "V2")


def test_numbers_written_as_texts_in_parquet_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ages = [str(age) if i % 9 else "unknown" for i, age in enumerate(AGES)]
    pd.DataFrame({"age": ages, "outcome": LABELS}).to_parquet("texts.parquet")
    message = refused(capsys, "texts.parquet", "target=outcome")
    assert "column 'age' holds numbers as texts, and 'unknown'" in message


def test_own_table_can_be_audited_and_verified_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said(capsys, save([HEADER, *PATIENTS]), "target=outcome")
    for command, summary in (("audit", "1 data sets read, 0 with a leak"), ("verify", "1 of 1")):
        assert main([command, "patients"]) == 0
        assert summary in capsys.readouterr().out


def test_rows_that_occur_twice_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{i % 10},{(i * i) % 10},{['no', 'yes'][(i // 10) % 2]}" for i in range(60)]
    shown = said(capsys, save(["f,g,outcome", *lines]), "target=outcome")
    assert "audit: 60 of 60 rows have the features of a row with another label" in shown
    assert "test rows have the features of a training row" in shown


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([], "", "patients.csv: the file is empty"),
        ([HEADER], "target=outcome", "patients.csv: no rows"),
        ([HEADER, *PATIENTS], "target=outcom", "no column 'outcom' (did you mean 'outcome'?)"),
        ([HEADER, *PATIENTS], "", "which column is the target? Say target=NAME; columns: p"),
        ([HEADER, *PATIENTS], "target=outcome ignore=cty", "'cty' (did you mean 'city'?)"),
        ([HEADER, *PATIENTS], "target=site", "only one class (A); at least two are needed"),
        ([HEADER, *PATIENTS], "target=patient_id", "has 60 distinct values in 60 rows"),
        ([HEADER, *PATIENTS, "a,1,f,Bonn,A"], "target=outcome", "line 62 has 5 values, the first"),
        ([HEADER, *PATIENTS, "a,1,f,Bonn,A,"], "target=outcome", "line 62: 1 rows have no 'outco"),
        ([HEADER, *PATIENTS, "a,old,f,Bonn,A,no"], "target=outcome",
         "line 62: column 'age' holds 'old', one of 1 texts among numbers; correct it, or say "
         "missing=old, or categories=age"),
        ([HEADER, *PATIENTS, "a,inf,f,Bonn,A,no"], "target=outcome",
         "line 62: column 'age' has infinite values"),
        ([HEADER, *PATIENTS, "a,1e999,f,Bonn,A,no"], "target=outcome", "line 62: column 'age'"),
        (["a,a,class", "1,2,x", "3,4,y"], "", "duplicate column names: a"),
        (["f,class", "1,x", "2,y"], "", "2 rows are too few for three splits"),
        (["class", *"xy" * 9], "", "no feature columns beside the target"),
        ([HEADER, *PATIENTS], "target=outcome name=wine", "wine: is a data set of conf/catalog"),
        ([HEADER, *PATIENTS], "target=outcome name=a/b", "must be letters, digits"),
        ([HEADER, *PATIENTS], "separator=colon", "unknown separator 'colon' (did you mean 'semi"),
        ([HEADER, *PATIENTS], "taget=x", "(did you mean target=...?); known: "),
        ([HEADER, *PATIENTS], "--target", "--target: has no value; write target=value"),
        ([HEADER, *PATIENTS], "target=outcome keep=patient_id", "these name the rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], lines: list[str], options: str, message: str
) -> None:
    file = save(lines) if lines else str(Path("patients.csv").write_text("") or "patients.csv")
    assert message in refused(capsys, file, *options.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv"], "none.csv: cannot be read (No such file or directory)"),
        (["."], "allowed are files that end in .csv, .tsv, .txt, .data, .parquet"),
        ([], "check takes one file, got 0"),
        (["a.csv", "b.csv"], "check takes one file, got 2"),
    ],
)
def test_file_that_is_none_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in refused(capsys, *words)


def test_rows_without_a_label_can_be_dropped_or_be_a_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = save([HEADER, *PATIENTS, *(f"x{i},3,f,Bonn,A," for i in range(6))])
    shown = said(capsys, file, "target=outcome", "--missing-target=drop")
    assert "dropped: 6 rows without a label" in shown
    said(capsys, file, "target=outcome", "missing_target=class", "name=three")
    assert read("three").class_names == ("missing", "no", "yes")


def test_text_that_is_a_label_too_is_not_taken_for_no_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"{i if i % 5 else 'unknown'},{['a', 'unknown'][i % 2]}" for i in range(40)]
    message = refused(capsys, save(["f,class", *lines]))
    assert "'unknown' stands for no value among numbers and is a label of 'class' too" in message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my data (2).csv", "my-data-2"),
        ("2024.csv", "own-2024"),
        ("null.csv", "own-null"),
        ("wine.csv", "own-wine"),
        ("a.b.csv", "a"),
        ("é.csv", "data"),
    ],
)
def test_name_is_one_that_a_command_line_can_say(
    capsys: pytest.CaptureFixture[str], file: str, name: str
) -> None:
    shown = said(capsys, save([HEADER, *PATIENTS], file), "target=outcome")
    assert f"name={name} grid.dataset={name}" in shown
    (config,) = compose.compose(["+experiment=quickstart", f"grid.dataset={name}"])
    assert datasets.describe(name, data_options(config), 0).num_classes == 2


def test_huge_and_tiny_values_are_inputs_like_any_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"{age}e300,{age}e-300,{10**30 + age * 10**28},{label}"
             for age, label in zip(AGES, LABELS, strict=True)]  # fmt: skip
    said(capsys, save(["f,g,h,outcome", *lines]), "target=outcome")
    x = datasets.load("patients", "standardized", DataOptions(catalog="catalog"), 0).train.x
    np.testing.assert_allclose(x[:, 0], x[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x[:, 0], x[:, 2], rtol=1e-4, atol=1e-5)


def test_help_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert [key for key in DEFAULTS if f"{key}=" not in printed] == []
