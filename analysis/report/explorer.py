"""The interactive part: every selected accuracy as data of the page, and what to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from shlex import quote
from typing import Any

import polars as pl

from analysis.measurements import measure_title, measurements
from analysis.names import NORMS, dataset_title, label, norm_label, ordered
from analysis.records import Records
from analysis.report.chart import chart
from analysis.report.script import data_block

_SETTINGS = (
    "network",
    "grid_radius",
    "learning_rate",
    "batch_size",
    "scaling",
    "seed",
    "split_seed",
)
_SHARE = 10_000  # accuracies travel as whole hundredths of a percent
_DIGITS = 4
_RESULTS = "results"  # where `robust-sweep networks` looks by itself


def explorer(records: Records) -> str:
    """Return the controls, the chart's place and the data; nothing where nothing was measured."""
    frame = measurements(records)
    if frame.is_empty():
        return ""
    packed = payload(frame, records)
    text = json.dumps(packed, separators=(",", ":"), ensure_ascii=False)
    return _controls(packed) + data_block("measurements", text)


def payload(frame: pl.DataFrame, records: Records) -> dict[str, Any]:
    """Return what the script reads, from the rows of `measurements`.

    Rows are grouped by data set and measure, and name defenses, radii and trials by their places
    in lists: `defense, radius, ball, accuracy, low, high, samples, repetitions, tied, trials...`.
    """
    sets = sorted(set(frame["dataset"]))
    defenses = ordered(set(frame["defense"]))
    radii = sorted(set(frame["attack_grid_radius"]))
    measures = _measures(frame)
    ids = sorted(set(frame["trials"].explode().drop_nulls()))
    place = {name: i for i, name in enumerate(ids)}
    rows: dict[str, list[list[float]]] = {}
    for row in frame.iter_rows(named=True):
        key = f"{sets.index(row['dataset'])} {list(measures).index(row['measure'])}"
        shares = (round(_SHARE * row[name]) for name in ("accuracy", "low", "high"))
        counts = (row["num_samples"], row["repetitions"], row["tied"])
        rows.setdefault(key, []).append(
            [
                *(defenses.index(row["defense"]), radii.index(row["attack_grid_radius"])),
                _short(row["attack_radius"]),
                *shares,
                *counts,
                *(place[trial] for trial in row["trials"]),
            ]
        )
    titles = [dataset_title(name) for name in sets]
    known = titles if len(set(titles)) == len(titles) else sets
    return {
        "sets": known,
        "defenses": [label(name) for name in defenses],
        "measures": [
            {"title": title, "norm": norm_label(norm)} for title, norm in measures.values()
        ],
        "radii": radii,
        "rows": rows,
        "ids": ids,
        "where": _where(records),
        **_trials(records, ids),
        "spec": chart(defenses),
    }


def _where(records: Records) -> str:
    """Return what a command needs to find the records; nothing where they are at the default."""
    folder = records.provenance.folder
    if folder is None or not records.provenance.manifests or folder.parent == Path(_RESULTS):
        return ""
    return f" results={quote(str(folder.parent))}"


def _short(radius: float) -> float:
    return float(f"{radius:.{_DIGITS}g}")


def _measures(frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Return each measure's title and norm, the paper's minima first and then by norm."""
    kinds = frame.select("measure", "family", "attack", "attack_norm").unique().iter_rows()

    def turn(kind: tuple[str, str, str, str]) -> tuple[bool, bool, int, str]:
        _, family, attack, norm = kind
        return family != "mlp", attack != "minimum", NORMS[::-1].index(norm), attack

    return {
        measure: (measure_title(family, attack, norm), norm)
        for measure, family, attack, norm in sorted(kinds, key=turn)
    }


def _trials(records: Records, ids: Sequence[str]) -> dict[str, Any]:
    """Return the settings of trials, each as places in the lists of values that occur."""
    columns = ("experiment", *_SETTINGS)
    found = records.trials.filter(pl.col("trial_id").is_in(ids)).select("trial_id", *columns)
    values = {name: sorted(set(found[name])) for name in columns}
    places = {name: {value: i for i, value in enumerate(known)} for name, known in values.items()}
    return {
        "trials": [
            [places[c][v] for c, v in zip(columns, row[1:], strict=True)]
            for row in found.sort("trial_id").iter_rows()
        ],
        "experiments": values["experiment"],
        "settings": [
            name.replace("grid_radius", "training ρ").replace("_", " ") for name in _SETTINGS
        ],
        "values": [[str(v) for v in values[name]] for name in _SETTINGS],
    }


def _controls(packed: Mapping[str, Any]) -> str:
    sets = [(-1, f"all {len(packed['sets'])}, on average")] if len(packed["sets"]) > 1 else []
    sets += list(enumerate(packed["sets"]))
    norms = dict.fromkeys(measure["norm"] for measure in packed["measures"])
    boxes = "".join(
        f'<label><input type="checkbox" value="{i}" checked> {escape(name)}</label>'
        for i, name in enumerate(packed["defenses"])
    )
    heads = ("defense", "radius ρ", "ball's radius", "accuracy, %", "95% interval", "n", "trials")
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        '<p data-unless-script="">The chart and the filters need a browser with JavaScript; all '
        "numbers are in the tables below and in the CSV files.</p>"
        '<div id="explore" hidden><div class="controls">'
        + _select("choose-set", "Data set", sets)
        + _select("choose-norm", "Norm", [("", "all"), *((n, n) for n in norms)])
        + _select("choose-measure", "Accuracy", [])
        + f'<fieldset id="choose-defenses"><legend>Defenses</legend>{boxes}</fieldset></div>'
        '<p class="small">What is chosen here also filters the tables below. Hover a mark for its '
        "numbers, click it for its trials; every cell of the tables opens its trials too.</p>"
        '<div id="chart"></div>'
        '<p id="chart-empty" class="note" hidden>Nothing was measured so.</p>'
        "<details><summary>The same numbers as a table</summary>"
        '<p><label>Find rows with <input type="search" id="search"></label> '
        '<span id="count" role="status"></span></p>'
        f'<div class="wide"><table id="numbers"><thead><tr>{head}</tr></thead><tbody></tbody>'
        "</table></div></details></div>"
        '<dialog id="trials" aria-labelledby="trials-title"><h2 id="trials-title"></h2>'
        '<p class="more"></p><p>A command per network puts it into a file: its kept weights or, '
        'where none are kept, trained again. What trains all of them: <a href="#origin">the '
        "sweep's own command</a>.</p><ul></ul>"
        '<button type="button" id="close-trials">Close</button></dialog>'
    )


def _select(name: str, text: str, options: Sequence[tuple[object, str]]) -> str:
    choices = "".join(f'<option value="{escape(str(v))}">{escape(t)}</option>' for v, t in options)
    return f'<label for="{name}">{text} <select id="{name}">{choices}</select></label>'
