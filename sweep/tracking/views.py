"""What MLflow's page of an experiment shows first: its description, its views, and its address.

MLflow keeps a view that was saved (columns, order, filter, charts) as a tag of the experiment. The
views made here are set by the public client and appear in its menu of saved views. Where a
version of MLflow reads the tags otherwise, its own default view is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from sweep.tracking import names
from sweep.tracking.detail import FULL

NETWORKS = "networks"  # the view that links lead to
NOTE_TAG = "mlflow.note.content"
KIND_TAG = "mlflow.experimentKind"  # without it, MLflow asks what kind of work this is
VIEW_TAG = "mlflow.sharedViewState."
_KIND = "custom_model_development"
_CURVE = "validation_accuracy"
_SHOWN_RUNS = "FIRST_20_RUNS"  # in charts; MLflow's default are ten
_RUN_NAME = "attributes.`Run Name`"
_ALWAYS_SHOWN = ("1", _RUN_NAME, "runDateAndNestInfo")  # "1" is the box by which a run is chosen

View = Mapping[str, Any]


def link(base: str, experiment_id: str) -> str:
    """Return the address of an experiment's runs table, in the view `networks`.

    Args:
        base: the server's, such as `http://127.0.0.1:5000`.
    """
    asked = urlencode({"workflowType": "machine_learning", "viewStateShareKey": NETWORKS})
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{asked}"


def tags(
    experiment: str, experiment_id: str, datasets: Iterable[str], detail: str, created: int
) -> dict[str, str]:
    """Return an experiment's tags: its kind, its description and its views.

    Args:
        datasets: each gets a view with its curves.
        detail: `full` or `summary`; without curves there is nothing to draw.
        created: milliseconds since 1970, which MLflow shows beside a view.
    """
    views = {NETWORKS: _saved("Networks", _networks(detail), created)}
    for name in datasets:
        views[f"curves-{names.word(name)}"] = _saved(f"Curves: {name}", _curves(name), created)
    note = _note(experiment, experiment_id)
    return {KIND_TAG: _KIND, NOTE_TAG: note} | {
        VIEW_TAG + key: text for key, text in views.items()
    }


def with_report(note: str, experiment_id: str, run_id: str) -> str:
    """Return a description that leads to the report of the experiment."""
    place = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/report.html"
    return f"{note}\n[Report, tables and figures]({place}).\n"


def _saved(name: str, state: View, created: int) -> str:
    times = {"createdAt": created, "updatedAt": created}
    return json.dumps({"name": name, **times, "state": json.dumps(state)})


def _networks(detail: str) -> View:
    """Return the view of all networks: what differs, headline metrics, the most robust first."""
    order = {"orderByKey": _metric(names.accuracy("linf", names.RADIUS)), "orderByAsc": False}
    # SQLite takes seconds to sort tens of thousands of runs by a metric.
    return {**(order if detail == FULL else {}), **_table()}


def _table() -> View:
    """Return the columns of the table, the headline metrics next to the names."""
    metrics = (
        names.CLEAN,
        *(names.accuracy(norm, names.RADIUS) for norm in names.NORMS),
        names.accuracy("certified-l1", names.RADIUS),
        names.RATE,
    )
    parameters = ("dataset", "defense", "grid_radius", "learning_rate", "network")
    shown = [_metric(name) for name in metrics] + [f"params.`{name}`" for name in parameters]
    more = ["attributes.`Models`", "tags.`flags`"]
    return {
        "selectedColumns": [*shown, *more],
        "columnOrder": [*_ALWAYS_SHOWN, *shown, "duration", *more],
        "columnWidths": {_RUN_NAME: 320, "runDateAndNestInfo": 120},
    }


def _curves(dataset: str) -> View:
    """Return the view of a data set: its networks, and charts that compare them."""
    robust = names.accuracy("linf", names.RADIUS)
    charts: list[View] = [
        {"type": "LINE", "metricKey": _CURVE, "selectedMetricKeys": [_CURVE], "xAxisKey": "step"},
        {
            "type": "SCATTER",
            "xaxis": {"key": names.CLEAN, "type": "METRIC"},
            "yaxis": {"key": robust, "type": "METRIC"},
            "runsCountToCompare": 100,
        },
        {"type": "BAR", "metricKey": robust, "runsCountToCompare": 20},
    ]
    made = {"deleted": False, "isGenerated": False}
    section: View = {"uuid": "robust-sweep", "name": "Networks", "display": True, "columns": 2}
    return {
        "searchFilter": f'params.dataset = "{dataset}"',
        "orderByKey": _metric(robust),
        "orderByAsc": False,
        **_table(),
        "runsHiddenMode": _SHOWN_RUNS,
        "compareRunSections": [{**section, **made, "isReordered": False}],
        "compareRunCharts": [
            {"uuid": f"chart-{place}", "metricSectionId": section["uuid"], **chart, **made}
            for place, chart in enumerate(charts)
        ],
    }


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _note(experiment: str, experiment_id: str) -> str:
    """Return the description of an experiment, in Markdown."""
    table = link("", experiment_id).lstrip("/")
    return f"""Networks of the sweep `{experiment}`: a run for each. [The table of them]({table});
the menu of saved views has each data set's curves.

| metric | is |
|---|---|
| `clean_accuracy` | accuracy on test data |
| `pgd_linf_0_1` | on test data under this attack, at grid radius 0.1 |
| `linf_0_1` | the lowest of all recorded attacks of this norm, in balls without costs |
| `certified_l1_0_1` | proven share of test data |
| `certified_l1_mean_radius` | at least the mean certified grid radius, from the recorded radii |
| `validation_...` | the same on validation data, by which networks are selected |
| `validation_accuracy`, `loss` ... | curves, by step |
| `train_steps_per_second` | steps of all networks trained together |

Grid radii are those of the configuration; balls of L1 and L2 attacks are sqrt(D) times as large.
A filter: `metrics.pgd_linf_0_1 > 0.9 and params.dataset = "wine"`.
"""
