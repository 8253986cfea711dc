"""Messages for the person at the keyboard: one line that says what is wrong."""

from __future__ import annotations

import pytest
import yaml

from sweep.errors import unknown, unreadable, yaml_error


def test_unknown_name_is_told_with_the_nearest_and_all_known() -> None:
    assert unknown("table", "tabel8", ["table8", "leak"]) == (
        "unknown table 'tabel8' (did you mean 'table8'?); known: table8, leak"
    )
    assert "did you mean" not in unknown("table", "xyz", ["table8"])


@pytest.mark.parametrize("text", ["a: [1, 2\nb: 3", "a:\n\t- b", "a: b: c"])
def test_yaml_error_names_the_line(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(text)
    assert yaml_error(caught.value).startswith("line ")
    assert "\n" not in yaml_error(caught.value)


def test_error_without_a_place_in_the_text_is_told_in_one_line() -> None:
    assert yaml_error(ValueError("two\n lines")) == "two lines"


def test_folder_in_place_of_a_file_is_told_in_words() -> None:
    assert unreadable(IsADirectoryError(21, "Is a directory")) == "it is a folder"
    assert unreadable(PermissionError(13, "Permission denied")) == "Permission denied"
    assert unreadable(OSError("no number")) == "no number"
