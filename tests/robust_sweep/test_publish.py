"""The command `publish`: models that open and predict, and the report, in MLflow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from robust_sweep import publish
from sweep.datasets import DataOptions, raw_and_split
from sweep.pack.run import run_pack
from sweep.results import store
from sweep.tracking.connection import connect
from tests.sweep.helpers import config, jobs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records and networks of four trials, its report, and its database."""
    root = tmp_path_factory.mktemp("published")
    connect(uri(root), "unused", root)
    shutil.copy(root / "mlflow.db", root / "empty.db")  # as making one takes seconds
    whole = replace(config().evaluation, max_samples=None)
    trained = replace(config().training, steps=100, curve_every=50)
    for job in jobs(config(root / "results", evaluation=whole, training=trained)):
        assert run_pack(job).failed == 0
    tables = root / "results" / "small" / "tables"
    tables.mkdir()
    (tables / "report.html").write_text("<p>report</p>")
    (tables / "figure2.png").write_bytes(b"picture")
    return root


@pytest.fixture(scope="module")
def published(place: Path) -> tuple[MlflowClient, list[Run]]:
    assert publish.main(arguments(place)) == 0
    return client_and_runs(place)


def arguments(place: Path, *more: str) -> list[str]:
    return [f"results={place / 'results'}", f"uri={uri(place)}", *more]


def uri(place: Path) -> str:
    return f"sqlite:///{place / 'mlflow.db'}"


def client_and_runs(place: Path) -> tuple[MlflowClient, list[Run]]:
    client = MlflowClient(uri(place))
    number = client.get_experiment_by_name("small").experiment_id
    return client, list(client.search_runs([number]))


def models(runs: list[Run]) -> dict[str, Run]:
    return {run.data.tags["model_id"]: run for run in runs if "model_id" in run.data.tags}


def test_model_of_a_selected_network_predicts_raw_features_as_recorded(
    place: Path, published: tuple[MlflowClient, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, split = raw_and_split("iris", DataOptions(source="bundled"), 0)
    x, y = raw.x[split.test], raw.y[split.test]
    found = models(published[1])
    assert found
    mlflow.set_tracking_uri(uri(place))
    try:
        for model_id, run in found.items():
            opened = mlflow.pyfunc.load_model(f"models:/{model_id}")
            codes = [list(raw.classes).index(name) for name in opened.predict(x)]
            accuracy = float(np.mean(np.asarray(codes) == y))
            assert accuracy == pytest.approx(run.data.metrics["clean_accuracy"], abs=1e-9)
            table = pd.DataFrame(x[:, ::-1], columns=list(raw.features)[::-1])  # taken by name
            assert list(opened.predict(table)) == list(opened.predict(x))
            shares = opened.predict(x, params={"method": "predict_proba"})
            assert shares.shape == (len(x), 3)
            assert np.allclose(shares.sum(axis=1), 1)
            with pytest.raises(ValueError, match="known: predict, predict_proba"):
                opened.predict(x, params={"method": "guess"})
    finally:
        mlflow.set_tracking_uri(None)


def test_models_hold_no_pickle(place: Path, published: tuple[MlflowClient, list[Run]]) -> None:
    kept = {p.suffix for p in (place / "mlartifacts").rglob("*") if p.is_file()}
    assert ".safetensors" in kept
    assert not kept & {".pkl", ".pickle", ".pt", ".pth", ".bin"}


def test_model_belongs_to_its_run_whose_records_can_be_looked_at(
    place: Path, published: tuple[MlflowClient, list[Run]]
) -> None:
    client, runs = published
    for model_id, run in models(runs).items():
        assert client.get_logged_model(model_id).status == "READY"
        assert [model.model_id for model in run.outputs.model_outputs] == [model_id]
        rows = pd.read_csv(client.download_artifacts(run.info.run_id, "records.csv"))
        assert set(rows["trial_id"]) == {run.data.tags["trial_id"]}
        assert run.info.status == "FINISHED"


def test_report_is_in_a_run_of_the_experiment_to_which_its_description_leads(
    published: tuple[MlflowClient, list[Run]],
) -> None:
    client, runs = published
    (run,) = [run for run in runs if run.data.tags["kind"] == "experiment"]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"report.html", "figure2.png"}
    note = client.get_experiment(run.info.experiment_id).tags["mlflow.note.content"]
    assert run.info.run_id in note


def test_publishing_again_logs_nothing_twice(
    place: Path,
    published: tuple[MlflowClient, list[Run]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {run.info.run_id: run.data.tags for run in published[1]}
    assert publish.main(arguments(place)) == 0
    assert "(0 new)" in capsys.readouterr().out
    assert {run.info.run_id: run.data.tags for run in client_and_runs(place)[1]} == before


def test_model_left_half_by_a_killed_process_is_replaced(
    place: Path, published: tuple[MlflowClient, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, runs = published
    run = next(iter(models(runs).values()))
    client.set_tag(run.info.run_id, "model_weights", "others")
    folder = store.Folder(place / "results", "small")

    def killed(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "finalize_logged_model", killed)
        with pytest.raises(KeyboardInterrupt):
            publish.publish(folder, uri(place), None)
    publish.publish(folder, uri(place), None)
    own = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    assert [model.status for model in own] == ["READY"]


def test_number_of_models_is_limited_on_request(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(place / "empty.db", tmp_path / "mlflow.db")
    options = [f"results={place / 'results'}", f"uri={uri(tmp_path)}", "models=1"]
    assert publish.main(options) == 0
    assert "1 of " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["models=some"], "models=some: must be a number of networks, or all"),
        (["modles=1"], "unknown argument 'modles=1'"),
        (["small"], "unknown argument 'small'"),
        (["experiment=smal"], "experiment=smal: no records"),
        (["uri=ftp://host"], "must be a database"),
    ],
)
def test_mistake_is_one_line(
    argv: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main([f"results={place / 'results'}", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_summary_of_a_selected_network_is_completed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.tracking.detail.MOST_IN_FULL", 1)
    shutil.copy(place / "empty.db", tmp_path / "mlflow.db")
    assert publish.main([f"results={place / 'results'}", f"uri={uri(tmp_path)}"]) == 0
    runs = [run for run in client_and_runs(tmp_path)[1] if run.data.tags["kind"] == "trial"]
    selected = {run.data.tags["model_id"] for run in runs if run.data.tags["detail"] == "full"}
    assert selected == set(models(runs))
    assert 0 < len(selected) < len(runs)
    for run in runs:
        full = run.data.tags["detail"] == "full"
        assert ("validation_accuracy" in run.data.metrics) == full
