"""Read CSV files of very many columns: pandas takes 30 s for 10^5 of them and twenty rows.

Row by row, numbers go into one array. Only columns that hold anything but numbers and missing
values are left to pandas, so that it alone decides what a cell means.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MANY = 5_000  # columns from which on this is faster than pandas

Reader = Callable[..., pd.DataFrame]  # `pandas.read_csv` with the settings of table_files


def rows_of(path: Path) -> Iterator[list[str]]:
    """Yield the cells of each line that is not empty."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from (row for row in csv.reader(file, skipinitialspace=True) if row)


def read_wide(path: Path, header: bool, read: Reader) -> pd.DataFrame | None:
    """Read a file; None where its lines differ in length, about which pandas has more to say.

    Args:
        path: of the file.
        header: whether the first line holds the names of the columns.
        read: reads a file, or some columns of it, with pandas.
    """
    lines = rows_of(path)
    width = len(next(lines)) if header else None
    values: list[NDArray[np.float64]] = []
    kinds: dict[str, bool] = {}  # a cell that is no number -> whether it is a text
    texts: set[int] = set()  # columns that hold one
    for cells in lines:
        width = width or len(cells)
        if len(cells) != width:
            return None
        for column in texts:
            cells[column] = "nan"
        numbers = _numbers(cells)
        values.append(numbers)
        odd = {column: cells[column] for column in np.flatnonzero(np.isnan(numbers)).tolist()}
        kinds |= _kinds(set(odd.values()) - set(kinds), read)
        texts |= {column for column, cell in odd.items() if kinds[cell]}
    table = pd.DataFrame(np.array(values).reshape(len(values), width or 0))
    if not texts:
        return table
    columns = sorted(texts)
    again = read(path, header=0 if header else None, usecols=columns)
    again.columns = pd.Index(columns)
    whole = pd.concat([table.drop(columns=columns), again], axis=1)
    return whole[list(table.columns)]


def _kinds(cells: Iterable[str], read: Reader) -> dict[str, bool]:
    """Whether a cell is a text or else a mark of a missing value, by pandas' own judgement."""
    ordered = sorted(cells)
    if not ordered:
        return {}
    column = io.StringIO()
    csv.writer(column, quoting=csv.QUOTE_ALL).writerows([["cells"], *([c] for c in ordered)])
    column.seek(0)
    missing = read(column, header=0)["cells"].isna()
    return {cell: not absent for cell, absent in zip(ordered, missing, strict=True)}


def _numbers(cells: list[str]) -> NDArray[np.float64]:
    """The cells as numbers, NaN where they are none."""
    text = "".join(cells)
    if text.isascii() and "_" not in text:  # numpy takes 1_000 for a number, pandas does not
        with contextlib.suppress(ValueError):
            return np.array(cells, dtype=np.float64)
    found = pd.to_numeric(np.array(cells, dtype=object), errors="coerce")
    return np.asarray(found, dtype=np.float64)
