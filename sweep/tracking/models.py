"""Trained networks as models of MLflow, and a report as artifacts, in the runs that are there."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types import ParamSchema, ParamSpec

import robust
from sweep.hashing import content_hash
from sweep.tracking import names, network_loader
from sweep.tracking.run_log import RunLog

MODEL_TAG = "model_id"  # of the model that a network's run has
WEIGHTS_TAG = "model_weights"  # tells the weights that the model has
SELECTED_TAG = "selected"
REPORT_TAG = "report"  # tells the files that the experiment's run has
PREVIEW = "records.csv"
_MODEL_TYPE = "robust-network"
_NEEDS = ("torch", "numpy", "safetensors")
_LARGEST = 2**26  # bytes of a file of a report


def missing_models(run_log: RunLog, wanted: Mapping[str, str]) -> list[str]:
    """Return the networks that have a run, and no model or one of other weights.

    Args:
        run_log: of the experiment.
        wanted: trial id -> what tells its weights.
    """
    there = {
        run.data.tags["trial_id"]: run.data.tags.get(WEIGHTS_TAG)
        for run in run_log.search(f"tags.{SELECTED_TAG} = 'true' and {run_log.own()}")
    }
    return [
        trial
        for trial, weights in wanted.items()
        if trial in run_log.networks and there.get(trial) != weights
    ]


def log_model(run_log: RunLog, trial_id: str, file: Path, weights: str, preview: str) -> str:
    """Log a network as a model of its run, and its records for MLflow's pages to show.

    Args:
        run_log: of the experiment.
        trial_id: of the network, which has a run.
        file: the network with its scaling, as `robust.export` writes safetensors.
        weights: tells its weights.
        preview: its records as CSV.

    Returns:
        The model's id: `mlflow.pyfunc.load_model(f"models:/{model_id}")` opens it.
    """
    client, run_id = run_log.client, run_log.networks[trial_id].run_id
    run = client.get_run(run_id)
    run_log.delete_models(run_id)
    kept = {key: run.data.tags[key] for key in ("trial_id", "dataset_hash", "pack_id")}
    made = client.create_logged_model(
        run_log.experiment_id,
        name=names.word(f"{run.data.params['dataset']} {run.data.params['defense']} {trial_id}"),
        source_run_id=run_id,
        tags=kept,
        params=dict(run.data.params),
        model_type=_MODEL_TYPE,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(folder, file, Model(model_id=made.model_id, run_id=run_id))
        client.log_model_artifacts(made.model_id, str(folder))
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    client.log_text(run_id, preview, PREVIEW)
    for key, value in ((MODEL_TAG, made.model_id), (WEIGHTS_TAG, weights), (SELECTED_TAG, "true")):
        client.set_tag(run_id, key, value)
    return str(made.model_id)


def mark_selected(run_log: RunLog, selected: Iterable[str]) -> None:
    """Take the mark from the runs of networks that are selected no longer."""
    kept = set(selected)
    for run in run_log.search(f"tags.{SELECTED_TAG} = 'true' and {run_log.own()}"):
        if run.data.tags["trial_id"] not in kept:
            run_log.client.set_tag(run.info.run_id, SELECTED_TAG, "false")


def log_report(run_log: RunLog, experiment: str, folder: Path) -> str:
    """Keep tables, figures and report as artifacts of the experiment's own run.

    Args:
        run_log: of the experiment.
        experiment: its name.
        folder: what the analysis wrote.

    Returns:
        The id of the run; it is made if need be.
    """
    run_id, before = _report_run(run_log, experiment)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    files = [path for path in files if path.stat().st_size <= _LARGEST]
    now = content_hash([(file.name, sha256(file.read_bytes()).hexdigest()) for file in files])
    if now != before:
        for path in files:
            run_log.client.log_artifact(run_id, str(path))
        run_log.client.set_tag(run_id, REPORT_TAG, now)
        run_log.client.set_terminated(run_id, "FINISHED")
    return run_id


def _report_run(run_log: RunLog, experiment: str) -> tuple[str, str]:
    """Return the id of an experiment's own run, and what tells the files that it has."""
    for run in run_log.search(f"tags.kind = 'experiment' and {run_log.own()}"):
        return str(run.info.run_id), str(run.data.tags.get(REPORT_TAG, ""))
    tags = {"kind": "experiment", **run_log.owner()}
    note = f"Tables, figures and `report.html` of `{experiment}`: see the artifacts."
    tags |= {"mlflow.note.content": note}
    made = run_log.client.create_run(
        run_log.experiment_id, tags=tags, run_name=f"report of {experiment}"
    )
    return str(made.info.run_id), ""


def _save(folder: Path, file: Path, model: Model) -> None:
    """Write a model in MLflow's form, with the code that opens it."""
    with warnings.catch_warnings():
        # MLflow warns of its own types as it is imported, and of a model without an example.
        warnings.simplefilter("ignore", UserWarning)
        from mlflow import pyfunc

        pyfunc.save_model(
            str(folder),
            loader_module=Path(network_loader.__file__).stem,
            data_path=str(file),
            code_paths=[network_loader.__file__, str(Path(robust.__file__).parent)],
            pip_requirements=list(_NEEDS),
            mlflow_model=model,
            signature=ModelSignature(
                params=ParamSchema([ParamSpec("method", "string", network_loader.METHODS[0])])
            ),
        )
