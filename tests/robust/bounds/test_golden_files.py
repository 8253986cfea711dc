"""The committed golden files: all there, small, of no data set but wine, equal to the full set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from tests.conftest import SHARED
from tests.robust.helpers import COMMITTED, golden_files, load_golden

NAMES = (
    "attack__wine",
    "coap__wine_h2_init",
    "coap__wine_h2_trained",
    "coap__wine_h3_trained",
    "loss__wine_d1_init",
    "loss__wine_d1_rubtrained",
    "loss__wine_d1_trained",
    "loss__wine_d3_rubtrained",
    "loss__wine_d3_trained",
)
FULL = SHARED / "golden"


def test_committed_files_are_all_there_and_small() -> None:
    assert tuple(sorted(path.stem for path in COMMITTED.glob("*.npz"))) == NAMES
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 1_500_000


@pytest.mark.parametrize("kind", ["loss", "attack", "coap"])
def test_tests_run_over_every_committed_file(kind: str) -> None:
    assert {name for name in NAMES if name.startswith(kind)} <= set(golden_files(kind))


def test_missing_files_are_an_error_and_no_skip(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no loss__\*\.npz"):
        golden_files("loss", (tmp_path, COMMITTED))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_rows_of_the_wine_data_that_scikit_learn_ships(name: str) -> None:
    case = load_golden(name)
    raw, labels = load_wine(return_X_y=True)
    scaled = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    distances = np.abs(case["x"][:, None] - scaled).max(axis=2)
    rows = distances.argmin(axis=1)
    # The files were scaled by the statistics of a training part: close, and linear by column.
    assert (labels[rows] == case["y"]).all()
    for ours, theirs in zip(case["x"].T, raw[rows].T, strict=True):
        line = np.polynomial.Polynomial.fit(theirs, ours, 1)
        np.testing.assert_allclose(line(theirs), ours, atol=1e-5)


@pytest.mark.skipif(not FULL.is_dir(), reason="the full set is not beside the repository")
@pytest.mark.parametrize("name", NAMES)
def test_committed_values_are_those_of_the_full_set(name: str) -> None:
    whole = load_golden(name, (FULL,))
    for key, array in load_golden(name, (COMMITTED,)).items():
        if key in ("weights_of", "n_saved"):
            continue
        cut = tuple(slice(length) for length in array.shape)
        np.testing.assert_array_equal(array, whole[key][cut], err_msg=key)
        assert array.ndim == whole[key].ndim
