"""Rows of raw features, read from a CSV file for a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robust import networks
from robust.predictor import Predictor
from robust.preprocessing import Preprocessing
from sweep.driver.rows import read_features, read_rows

NAMED = Preprocessing(
    "affine",
    (3,),
    ("bad", "good"),
    ("a", "colour=red", "colour=blue"),
    categories=(("colour", ("red", "blue", "green")),),
)
PIXELS = Preprocessing("affine", (2, 1, 1), ("0", "1"), unit=(255.0,))
CODES = Preprocessing("affine", (2,), (), ("a", "b"))


def predictor(rule: Preprocessing) -> Predictor:
    return Predictor(networks.build("mlp-1x3", rule.num_features, 2, 1, 0), rule)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_name_and_categories_made_again(tmp_path: Path) -> None:
    path = written(tmp_path, "extra,colour,target,a\nx,red,good,1\ny,blue,bad,2.5\nz,,bad,?\n")
    rows = read_rows(path, predictor(NAMED))
    wanted = torch.tensor([[1.0, 1, 0], [2.5, 0, 1], [0, 0, 0]])  # missing: the training mean, 0
    assert torch.equal(rows.x, wanted)
    assert rows.y.tolist() == [1, 0, 0]
    assert rows.names == ("good", "bad", "bad")
    raw = read_features(path, predictor(NAMED))
    assert torch.equal(predictor(NAMED).inputs(raw), wanted)


def test_rows_are_read_as_those_of_training_were(tmp_path: Path) -> None:
    rule = replace(CODES, missing=("-9", "unknown"), decimal=",")
    path = written(tmp_path, "a;b;class\n1,5;-9;1\nunknown;2,25;0\n")
    assert read_rows(path, predictor(rule)).x.tolist() == [[1.5, 0.0], [0.0, 2.25]]
    assert Preprocessing.from_text(rule.to_text()) == rule


def test_labels_beside_an_id_are_told_by_their_classes(tmp_path: Path) -> None:
    path = written(tmp_path, "id,a,colour,outcome\np1,1,red,bad\np2,2,blue,good\n")
    assert read_rows(path, predictor(NAMED)).names == ("bad", "good")


def test_encoded_columns_are_taken_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, "a,colour=red,colour=blue,quality\n1,1,0,good\n")
    assert read_rows(path, predictor(NAMED)).x.tolist() == [[1.0, 1.0, 0.0]]


def test_pixels_are_all_columns_beside_the_target(tmp_path: Path) -> None:
    path = written(tmp_path, "label,p0,p1\n1,255,0\n0,51,102\n")
    rows = read_rows(path, predictor(PIXELS))
    torch.testing.assert_close(rows.x, torch.tensor([[1.0, 0.0], [0.2, 0.4]]))
    assert rows.y.tolist() == [1, 0]
    assert read_features(path, predictor(PIXELS)).to_numpy().tolist() == [[255, 0], [51, 102]]


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a,b,class\n1,2,1\n3,4,0\n"), predictor(CODES))
    assert rows.y.tolist() == [1, 0]


def test_features_need_no_labels(tmp_path: Path) -> None:
    features = read_features(written(tmp_path, "b,a\n1,2\n"), predictor(CODES))
    assert predictor(CODES).inputs(features).tolist() == [[2, 1]]
    with pytest.raises(ValueError, match=r"rows\.csv: no column 'b'; columns: a, c"):
        read_features(written(tmp_path, "a,c\n1,2\n"), predictor(CODES))


MISTAKES = {
    "class": (
        NAMED,
        "a,colour,target\n1,red,poor\n",
        "",
        "unknown class 'poor'; known: bad, good",
    ),
    "code": (CODES, "a,b,class\n1,2,x\n", "", "unknown class 'x'; known: 0, 1"),
    "absent": (NAMED, "a,target\n1,bad\n", "", "no column 'colour'; columns: a"),
    "category": (
        NAMED,
        "a,colour,target\n1,pink,bad\n",
        "",
        "column 'colour' holds 'pink', which no row had in training; known: red, blue, green",
    ),
    "text": (CODES, "a,b,class\n1,far,0\n", "", "column 'b' holds 'far', not a number"),
    "target": (CODES, "a,b,class\n1,2,0\n", "kind", "no column target='kind'; columns: a, b, cla"),
    "which": (CODES, "a,b,c,d\n1,2,0,1\n", "", "which column holds the labels? Say target=NAME"),
    "pixels": (PIXELS, "label,p0\n1,3\n", "", "x must have shape (N, 2), got (1, 1)"),
    "none": (CODES, "a,b,class\n", "", "no rows"),
    "infinite": (CODES, "a,b,class\n1,inf,0\n", "", "x must be finite or NaN"),
    "empty": (CODES, "", "", "the file is empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_that_names_the_file(mistake: str, tmp_path: Path) -> None:
    rule, text, target, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=r"rows\.csv: ") as error:
        read_rows(written(tmp_path, text), predictor(rule), target)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
