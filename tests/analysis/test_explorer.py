"""The interactive part's data: every selected accuracy once, with its trials and settings."""

from __future__ import annotations

import json

import pytest
import vl_convert

from analysis import certificates
from analysis.measurements import MOST_NAMED, measurements
from analysis.report.chart import chart
from analysis.report.explorer import explorer, payload
from tests.analysis.made_records import records_of, rows_of
from tests.analysis.test_answer import proofs
from tests.analysis.test_bands import sweep


def test_measures_are_minima_other_attacks_certificates_and_convolutional_networks() -> None:
    records = records_of(
        *sweep(1, radii=(0.1,)),
        *proofs(1, certified_linf={"rub": 0.5}),
        rows_of("v", 0.5, 0.5, attack="vertex-l1"),
        rows_of("m", 0.5, 0.5, attack="my-own-linf", attack_norm="linf"),
        rows_of("c", 0.5, 0.5, attack="pgd-l2", network="cnn"),
    )
    packed = payload(measurements(records), records)
    titles = [measure["title"] for measure in packed["measures"]]
    assert titles[:2] == [
        "L∞, minimum over PGD and fast gradient",
        "L1, minimum over PGD and fast gradient",
    ]
    assert "Certified L∞, best of all proofs" in titles
    assert any(title.endswith(", convolutional networks") for title in titles)
    norms = sorted(measure["norm"] for measure in packed["measures"])
    assert norms == ["L1", "L1", "L2", "L∞", "L∞", "L∞"]
    assert len(titles) == 6


def test_row_says_accuracy_interval_samples_and_trials() -> None:
    rows = [
        rows_of(f"t{i}", 0.9, 0.5, attack=attack, learning_rate=10.0**-i)
        for i in range(1, 7)
        for attack in ("pgd-linf", "fgsm-linf")
    ]
    records = records_of(*rows)
    packed = payload(measurements(records), records)
    ((defense, radius, ball, accuracy, low, high, n, times, tied, *trials),) = packed["rows"][
        "0 0"
    ]
    assert (packed["defenses"][defense], packed["radii"][radius], ball) == ("Nominal", 0.1, 0.1)
    assert (accuracy, n, times, tied) == (5000, 100, 1, 6)
    # Wilson's interval of 50 of 100, from his formula: 0.4038 to 0.5962.
    assert (low, high) == (4038, 5962)
    assert len(trials) == MOST_NAMED
    assert [packed["ids"][i] for i in trials] == ["t6", "t5", "t4", "t3"]
    experiment, *settings = packed["trials"][trials[0]]
    assert packed["experiments"][experiment] == "made"
    told = {
        name: values[i]
        for name, values, i in zip(packed["settings"], packed["values"], settings, strict=True)
    }
    assert told["learning rate"] == "1e-06"
    assert told["network"] == "mlp-3x200"


def test_repetitions_are_one_row_with_the_trials_of_all() -> None:
    rows = [
        rows_of(f"s{seed}", 0.9, 0.4 + 0.2 * seed, attack="vertex-l1", seed=seed)
        for seed in (0, 1)
    ]
    (row,) = measurements(records_of(*rows)).to_dicts()
    assert row["accuracy"] == pytest.approx(0.5)
    assert (row["repetitions"], row["tied"], row["trials"]) == (2, 2, ["s0", "s1"])


def test_nothing_measured_shows_nothing() -> None:
    records = records_of(rows_of("a", None, None, status="diverged"))
    assert explorer(records) == ""
    assert measurements(records).is_empty()


def test_data_cannot_end_its_own_block() -> None:
    evil = "</script><script>alert(1)</script>"
    page = explorer(records_of(rows_of("a", 0.5, 0.5, dataset=evil, attack="vertex-l1")))
    assert evil not in page
    assert page.count("<script") == page.count("</script>") == 1


def test_chart_compiles_and_looks_as_the_figures_do() -> None:
    spec = chart(["rub", "nominal", "my-own"])
    spec["data"] = {"values": [{"x": -1, "y": 50, "lower": 40, "upper": 60, "defense": "RUB"}]}
    spec["params"] = [{"name": "zero", "value": -2}]
    vega = vl_convert.vegalite_to_vega(spec)
    assert {scale["name"] for scale in vega["scales"]} >= {"x", "y", "color", "shape"}
    assert spec["encoding"]["color"]["scale"]["domain"] == ["RUB", "Nominal", "my-own"]
    json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize("name", [*certificates.PROOFS])
def test_every_known_certificate_names_its_norm(name: str) -> None:
    norm = name.split("-")[1]
    assert certificates.proof_title(name, norm).startswith({"linf": "L∞"}.get(norm, norm.upper()))
