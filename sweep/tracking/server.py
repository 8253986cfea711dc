"""Runs through a tracking server, which offers no transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from sweep.results.store import results_id
from sweep.tracking.backend import (
    FINGERPRINT_TAG,
    PARENT_TAG,
    RESULTS_TAG,
    STATUS,
    seconds,
    upload,
)
from sweep.tracking.runs import PackRun


class Server:
    """Writes runs through a tracking server, one call after another."""

    def __init__(self, client: MlflowClient, experiment_id: str, results: Path) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.results = results

    @cached_property
    def results_id(self) -> str:
        """The id of the results folder, made when it is first needed."""
        return results_id(self.results)

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint; empty for an unfinished parent, to be logged again."""
        own = self._search(f"tags.kind = 'pack' and tags.{RESULTS_TAG} = '{self.results_id}'")
        return {run.info.run_id: _fingerprint(run) for run in own}

    def unclaimed(self) -> set[str]:
        """Of finished parents without the tag."""
        packs = self._search("tags.kind = 'pack'")
        found = {_fingerprint(run) for run in packs if RESULTS_TAG not in run.data.tags}
        return found - {""}

    def log(self, pack: PackRun) -> None:
        """Log the pack's trials, then say that the parent is finished."""
        ended = round(pack.ended * 1000)
        own = {RESULTS_TAG: self.results_id}
        tags = {**pack.tags, **own, FINGERPRINT_TAG: pack.fingerprint}
        parent = self._create(pack.name, tags, ended)
        for trial in pack.trials:
            started = round((pack.ended - seconds(trial)) * 1000)
            tags = {**trial.tags, **own, PARENT_TAG: parent}
            run_id = self._create(trial.name, tags, started)
            self.client.log_batch(
                run_id,
                metrics=[Metric(name, value, ended, 0) for name, value in trial.metrics.items()],
                params=[Param(name, value) for name, value in trial.parameters.items()],
            )
            upload(self.client, run_id, trial)
            self.client.set_terminated(run_id, STATUS[trial.status], ended)
        self.client.set_terminated(parent, "FAILED" if pack.failed else "FINISHED", ended)

    def delete(self, parents: Iterable[str]) -> None:
        """Delete runs as a user would: MLflow keeps them in its bin."""
        for parent in parents:
            for child in self._search(f"tags.`{PARENT_TAG}` = '{parent}'"):
                self.client.delete_run(child.info.run_id)
            self.client.delete_run(parent)

    def settle(self) -> None:
        """Nothing: the server's database is its own."""

    def _create(self, name: str, tags: Mapping[str, str], started: int) -> str:
        run = self.client.create_run(
            self.experiment_id, start_time=started, tags=dict(tags), run_name=name
        )
        return str(run.info.run_id)

    def _search(self, condition: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, max_results=1000, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found


def _fingerprint(run: Run) -> str:
    """Of a finished parent; empty for any other."""
    finished = run.info.status in ("FINISHED", "FAILED")
    return str(run.data.tags.get(FINGERPRINT_TAG, "")) if finished else ""
