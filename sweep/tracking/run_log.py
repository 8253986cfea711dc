"""Runs in MLflow, through its public client: in a database or through a tracking server."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from sweep import output
from sweep.results.parquet import write_checked
from sweep.results.store import results_id
from sweep.tracking import views
from sweep.tracking.detail import FULL, satisfies
from sweep.tracking.runs import DataUse, NetworkRun

RESULTS_TAG = "results_id"  # which results folder a run shows: see `store.results_id`
FINGERPRINT_TAG = "records_fingerprint"
WEIGHTS_TAG = "weights_hash"  # of the network, or that it diverged and has none
DETAIL_TAG = "detail"
FIRST_TAG = "first_of_file"  # a records file's first network carries its mark
MARK_TAG = "logged."  # and the file's name: what of the file is logged
ARTIFACT = "records.parquet"
STATUS = {"complete": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}
_BATCH = 1000  # what a server takes at once
_CONNECTIONS = 8  # to a server, which works on several runs at a time


@dataclass(frozen=True)
class Logged:
    """What is known of a network's run: its id, what of it is logged, and whether it ended.

    Attributes:
        weights: what tells the weights that it is of; empty where that is not known.
    """

    run_id: str
    status: str
    fingerprint: str
    detail: str
    weights: str = ""

    def has(self, run: NetworkRun, detail: str) -> bool:
        """Whether all of the network is there."""
        same = (self.fingerprint, self.status) == (run.fingerprint, STATUS[run.status])
        return same and satisfies(self.detail, detail) and not self.is_of_another(run)

    def is_of_another(self, run: NetworkRun) -> bool:
        """Whether it is of the network that was there before this one was trained again.

        Metrics and curves cannot be taken out of a run, so that it would show both networks.
        """
        if run.status == "failed":  # records of what was finished are gone
            return self.status == "FINISHED"
        return bool(self.weights) and self.weights != run.weights

    @property
    def has_curves(self) -> bool:
        """Whether the curves of a trained network are there."""
        return bool(self.fingerprint) and (self.detail, self.status) == (FULL, "FINISHED")


class RunLog:
    """An experiment's runs, among which may be those of other results folders.

    A network has one run, found by its trial id and the id of the results folder. What a process
    that was killed left of it is completed, and a network whose records grew gains metrics. Where
    it was trained again to other weights, the run of before goes and a new one takes its place.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        results: Path,
        database: Path | None = None,
        *,
        remote: bool = False,
    ) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.results = results
        self.database = database  # SQLite's file, if that is where the runs are
        self._connections = _CONNECTIONS if remote else 1
        self._datasets: set[str] = set()  # of what was logged
        self._known_data: set[str] = set()  # the digests that MLflow has
        self._lock = threading.Lock()

    @cached_property
    def results_id(self) -> str:
        """The id of the results folder, made when it is first needed."""
        return results_id(self.results)

    @cached_property
    def marks(self) -> dict[str, str]:
        """The name of every records file that was logged, and what of it."""
        firsts = self.search(f"tags.{FIRST_TAG} = 'true' and {self.own()}")
        tags = [tag for run in firsts for tag in run.data.tags.items()]
        return {key.removeprefix(MARK_TAG): v for key, v in tags if key.startswith(MARK_TAG)}

    @cached_property
    def networks(self) -> dict[str, Logged]:
        """The runs of this results folder by trial id; of two of one network the later goes."""
        found: dict[str, Logged] = {}
        own = self.search(f"tags.kind = 'trial' and {self.own()}")
        for run in sorted(own, key=lambda run: (run.info.status == "RUNNING", run.info.run_id)):
            tags = run.data.tags
            if FINGERPRINT_TAG not in tags:  # of a version that logged packs
                continue
            if tags["trial_id"] in found:
                self.client.delete_run(run.info.run_id)
                continue
            known = tags[FINGERPRINT_TAG], tags.get(DETAIL_TAG, ""), tags.get(WEIGHTS_TAG, "")
            found[tags["trial_id"]] = Logged(run.info.run_id, run.info.status, *known)
        return found

    def owner(self) -> dict[str, str]:
        """Return the tag by which a run is this results folder's."""
        return {RESULTS_TAG: self.results_id}

    def own(self) -> str:
        """Return the filter of this results folder's runs."""
        return f"tags.{RESULTS_TAG} = '{self.results_id}'"

    def log(self, name: str, mark: str, runs: Sequence[NetworkRun], detail: str) -> None:
        """Log the networks of a records file as far as MLflow lacks them, then mark the file.

        Args:
            name: the file's.
            mark: tells what is in the file.
            runs: its networks.
            detail: `full` or `summary`.
        """
        self.put(runs, detail)
        first = self.networks[runs[0].trial_id].run_id
        tags = [RunTag(FIRST_TAG, "true"), RunTag(f"{MARK_TAG}{name}", mark)]
        self.client.log_batch(first, tags=tags)
        self.marks[name] = mark

    def put(self, runs: Sequence[NetworkRun], detail: str) -> None:
        """Log networks as far as MLflow lacks them."""
        lacking = [
            run
            for run in runs
            if run.trial_id not in self.networks
            or not self.networks[run.trial_id].has(run, detail)
        ]
        with ThreadPoolExecutor(self._connections) as pool:
            for one in pool.map(lambda run: (run.trial_id, self._log(run, detail)), lacking):
                self.networks |= {one[0]: one[1]}
        self._datasets |= {run.data.name for run in runs}

    def delete(self, trial_ids: Iterable[str]) -> None:
        """Delete networks' runs as a user would: MLflow keeps them in its bin."""
        for trial in trial_ids:
            self.client.delete_run(self.networks.pop(trial).run_id)

    def delete_models(self, run_id: str) -> None:
        """Delete the models that a run has: of other weights, or left half by a killed process."""
        condition = f"source_run_id = '{run_id}'"
        for model in self.client.search_logged_models([self.experiment_id], condition):
            self.client.delete_logged_model(model.model_id)

    def describe(self, detail: str, report: str = "") -> None:
        """Say on the experiment's page what it shows, and offer views of it.

        What a person wrote there, or saved under the same name, stays.

        Args:
            detail: `full` or `summary`.
            report: the run that has the experiment's report, if there is one.
        """
        found = self.client.get_experiment(self.experiment_id)
        made = found.creation_time or 0
        wanted = views.tags(found.name, self.experiment_id, sorted(self._datasets), detail, made)
        own_note = wanted[views.NOTE_TAG]
        if report:
            wanted[views.NOTE_TAG] = views.with_report(own_note, self.experiment_id, report)
        for key, text in wanted.items():
            if key not in found.tags or (report and found.tags[key] == own_note):
                self.client.set_experiment_tag(self.experiment_id, key, text)

    def settle(self) -> None:
        """Let SQLite sample its tables after much was logged; others do so by themselves.

        Without, it sorts 45,000 runs by a metric in minutes, as it joins in the wrong order.
        """
        if self.database is not None:
            with contextlib.closing(sqlite3.connect(self.database)) as connection:
                connection.execute("PRAGMA analysis_limit=1000")
                connection.execute("ANALYZE")
                connection.commit()

    def search(self, condition: str) -> list[Run]:
        """Return all runs of the experiment that meet a condition."""
        return list(self._pages(condition))

    def _log(self, run: NetworkRun, detail: str) -> Logged:
        """Log a network, into the run that it has or a new one."""
        known = self.networks.get(run.trial_id)
        if known is not None and known.is_of_another(run):
            self.delete_models(known.run_id)
            self.client.delete_run(known.run_id)
            known = None
        run_id = self._create(run) if known is None else known.run_id
        tags = {} if known is None else dict(run.tags)  # which may have changed with its records
        if detail == FULL:
            tags |= run.description
            self._log_input(run_id, run)
            self._upload(run_id, run)
        tags |= {FINGERPRINT_TAG: run.fingerprint, DETAIL_TAG: detail, WEIGHTS_TAG: run.weights}
        metrics = _metrics(run, detail, known)
        for start in range(_BATCH, len(metrics), _BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        self.client.log_batch(
            run_id,
            metrics=metrics[:_BATCH],
            params=[Param(name, value) for name, value in run.parameters.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        status = STATUS[run.status]
        if known is None or known.status != status:
            self.client.set_terminated(run_id, status, round(run.ended * 1000))
        return Logged(run_id, status, run.fingerprint, detail, run.weights)

    def _create(self, run: NetworkRun) -> str:
        # The mark, empty as yet, tells this run from those of versions that logged packs.
        tags = {**run.tags, **self.owner(), FINGERPRINT_TAG: "", WEIGHTS_TAG: run.weights}
        started = round(run.started * 1000)
        made = self.client.create_run(self.experiment_id, started, tags, run.name)
        return str(made.info.run_id)

    def _log_input(self, run_id: str, run: NetworkRun) -> None:
        """Say which data the network was trained on.

        A server fails where two runs name new data at a time: the first to do so goes alone, and
        once more if another program was faster.
        """
        used = [_dataset_input(run.data, run.tags)]
        known = run.data.digest in self._known_data
        with contextlib.nullcontext() if known else self._lock:
            try:
                self.client.log_inputs(run_id, used)
            except MlflowException:
                self.client.log_inputs(run_id, used)
            self._known_data.add(run.data.digest)

    def _upload(self, run_id: str, run: NetworkRun) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / ARTIFACT
            write_checked(path, run.rows)
            try:
                self.client.log_artifact(run_id, str(path))
            except PermissionError:  # another person made the experiment
                output.warn_once(
                    f"MLflow: experiment {self.experiment_id} keeps its artifacts where this user "
                    f"may not write; the new runs have no {ARTIFACT}"
                )

    def _pages(self, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, max_results=_BATCH, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def _metrics(run: NetworkRun, detail: str, known: Logged | None) -> list[Metric]:
    """Return what is logged: what the trained network is like, and in full its curves too.

    Only curves have steps: MLflow draws a line of what has, and a bar of what has none. Of values
    at one step it shows the latest.
    """
    ended = round(run.ended * 1000)
    at = ended if known is None else round(time.time() * 1000)
    values = {**run.headline, **run.further} if detail == FULL else run.headline
    drawn = known is not None and known.has_curves
    curves = run.points if detail == FULL and not drawn else ()
    return [
        *(Metric(name, value, at, 0) for name, value in values.items()),
        *(Metric(point.name, point.value, ended, point.step) for point in curves),
    ]


def _dataset_input(data: DataUse, tags: Mapping[str, str]) -> DatasetInput:
    """Return the data as MLflow shows an input: by name and hash, and where it came from."""
    origin = {key: tags[key] for key in ("mlflow.source.name", "mlflow.source.git.commit")}
    source = CodeDatasetSource(origin)
    profile = json.dumps(dict(data.profile))
    dataset = Dataset(data.name, data.digest, "code", source.to_json(), profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
