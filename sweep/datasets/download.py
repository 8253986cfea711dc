"""Data sets from OpenML's server, whose silence is bounded.

The openml package sets no limit to how long it waits and offers no way to; so the two files of a
data set are fetched here, and the package reads the table.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 2**20  # bytes
_SERVER_IS_BUSY = "107"  # the one error in OpenML's own words that another attempt may cure


class RefusedError(ValueError):
    """The server says that it does not give the data set."""


def fetch_table(data_id: int, folder: Path, timeout: float) -> pd.DataFrame:
    """Return a data set's table with all its columns.

    Args:
        data_id: OpenML's number of the data set.
        folder: for the files, which are deleted again.
        timeout: seconds that the server may say nothing.

    Raises:
        RefusedError: there is no such data set, or not for everybody.
        ValueError: a file is damaged.
        requests.RequestException: the server fails, or is silent for too long.
    """
    import openml

    described = _description(f"{openml.config.server.rstrip('/')}/data/{data_id}", timeout)
    folder = folder / str(data_id)
    shutil.rmtree(folder, ignore_errors=True)  # a killed process may have left half a file
    folder.mkdir(parents=True)
    parquet = _parquet(described, folder, timeout)
    arff = None if parquet is not None else _arff(described, folder, timeout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own deprecations
        dataset = openml.OpenMLDataset(
            described["name"],
            described.get("description"),
            data_format=described["format"],
            dataset_id=data_id,
            data_file=arff and str(arff),
            parquet_file=parquet and str(parquet),
        )
        table: pd.DataFrame = dataset.get_data()[0]
    shutil.rmtree(folder, ignore_errors=True)
    return table


def _description(url: str, timeout: float) -> dict[str, str]:
    """What OpenML says of a data set: the names of its fields without their namespace."""
    response = requests.get(url, timeout=timeout)
    if response.status_code != requests.codes.precondition_failed:
        response.raise_for_status()
    fields = {
        element.tag.rpartition("}")[2]: element.text or ""
        for element in ElementTree.fromstring(response.content)
    }
    if "code" in fields:  # an error in OpenML's own words
        kind = requests.HTTPError if fields["code"] == _SERVER_IS_BUSY else RefusedError
        raise kind(fields.get("message", f"error {fields['code']}"))
    return fields


def _parquet(described: dict[str, str], folder: Path, timeout: float) -> Path | None:
    """The table as Parquet; None where the server has none."""
    url = described.get("parquet_url")
    if not url:
        return None
    try:
        return _download(url, folder / "dataset.pq", timeout)
    except requests.HTTPError:
        return None


def _arff(described: dict[str, str], folder: Path, timeout: float) -> Path:
    """The table as ARFF.

    Raises:
        ValueError: it is not the file that the description says.
    """
    path = _download(described["url"], folder / "dataset.arff", timeout)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != described.get("md5_checksum", found):
        raise ValueError(f"Checksum {found}, expected {described['md5_checksum']}")
    return path


def _download(url: str, path: Path, timeout: float) -> Path:
    with requests.get(url, timeout=timeout, stream=True) as response, path.open("wb") as file:
        response.raise_for_status()
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
    return path
