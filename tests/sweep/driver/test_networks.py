"""`robust-sweep networks`: kept networks are listed, exported, attacked, certified, pruned."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from robust import attacks, certify, networks
from robust.export import read_program
from robust.norms import Norm
from robust.predictor import Predictor
from robust_sweep import cli, run, selection
from sweep import datasets
from sweep.datasets import DataOptions
from sweep.driver import kept
from sweep.driver import networks as driver_networks
from sweep.results import store, weights
from sweep.results.lock import locked

NAME = "quickstart_debug"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two defenses on iris."""
    root = tmp_path_factory.mktemp("results")
    asked = ("debug=true", "tracking.enabled=false", "grid.dataset=[iris]", "grid.seed=[3]")
    argv = ["+experiment=quickstart", *asked, f"paths.results={root}", "grid.network=[mlp-2x16]"]
    assert run.main([*argv, "grid.defense=[nominal,rub]", "grid.learning_rate=[1e-2]"]) == 0
    return root


def called(*argv: str) -> int:
    return cli.main(["networks", *argv])


def rows_of(folder: store.Folder) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(path) for path in folder.record_files())


def recorded(results: Path) -> set[str]:
    folder = store.Folder(results, NAME)
    return {trial for path in folder.record_files() for trial in store.statuses(path)}


def test_every_trial_is_listed_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("list", f"results={results}") == 0
    header, *lines, total = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["trial_id", "status", "dataset"]
    assert {line.split()[0] for line in lines} == recorded(results)
    assert total == f"{len(lines)} trials" == f"{len(recorded(results))} trials"


def test_list_is_cut_to_what_is_asked_for(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("list", f"results={results}", f"experiment={NAME}", "defense=rub") == 0
    _, *lines, _ = capsys.readouterr().out.splitlines()
    assert lines
    assert {line.split()[4] for line in lines} == {"rub"}
    assert called("list", f"results={results}", "dataset=wine") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 trials"


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    """A copy of the sweep, to be changed."""
    return Path(shutil.copytree(results, tmp_path / "copy"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten raw rows of iris with their labels, in columns of another order than in training."""
    raw, _ = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    chosen = np.arange(4, 150, 15)
    columns = {name: raw.x[chosen, d].tolist() for d, name in enumerate(raw.features)}
    labels = [raw.classes[code] for code in raw.y[chosen].tolist()]
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    backwards = {"species": labels} | dict(reversed(columns.items()))
    pl.DataFrame(backwards).write_csv(path)
    return path


def predictor_of(results: Path, trial: str) -> tuple[Predictor, torch.Tensor, torch.Tensor]:
    """The kept network, and the ten rows as its inputs."""
    location = weights.find(results)[trial]
    predictor = Predictor.load(location.path, location.index)
    data, _ = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    chosen = np.arange(4, 150, 15)
    return predictor, predictor.inputs(data.x[chosen]), torch.tensor(data.y[chosen])


def clean_accuracy(path: Path) -> float:
    """Of an exported network on the test part of iris, from raw features."""
    raw, split = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    labels = np.array(raw.classes)[raw.y[split.test]]
    return Predictor.load(path).score(raw.x[split.test], labels)


def recorded_accuracy(results: Path, trial: str) -> float:
    paths = store.Folder(results, NAME).record_files()
    own = pl.concat([pl.read_parquet(path) for path in paths]).filter(
        (pl.col("trial_id") == trial)
        & (pl.col("split") == "test")
        & (pl.col("attack_grid_radius") == 0)
    )
    return float(own["accuracy"][0])


def test_exported_network_is_the_recorded_one(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, trial in enumerate(sorted(recorded(results))):
        path = tmp_path / f"{number}.safetensors"
        assert called("export", trial, f"results={results}", f"out={path}") == 0
        assert "from its kept weights" in capsys.readouterr().out
        assert clean_accuracy(path) == pytest.approx(recorded_accuracy(results, trial))
        texts = networks.read_metadata(path)
        assert (texts["trial_id"], texts["dataset"]) == (trial, "iris")
    alone = [networks.load(path).weights[0] for path in sorted(tmp_path.iterdir())]
    assert not all(bool((alone[0] == other).all()) for other in alone[1:])


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 2
    path.write_bytes(whole)


@pytest.mark.parametrize("change", [Path.unlink, flipped])
def test_network_whose_weights_are_lost_is_trained_again(
    change: Callable[[Path], object],
    copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trial = min(recorded(copy))
    path = weights.find(copy)[trial].path
    before = weights.load(copy, [trial])
    change(path)
    assert called("export", trial, f"results={copy}", f"out={tmp_path / 'net'}") == 0
    said = capsys.readouterr()
    assert "trained again, as its weights are gone; its clean accuracy is the recorded" in said.out
    assert ("is damaged" in said.err) == (change is flipped)
    again = networks.load(tmp_path / "net")
    for one, two in zip(before.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    "spelling", [("--format", "torch"), ("--format=torch",), ("format=torch",)]
)
def test_format_is_given_in_any_spelling(
    spelling: tuple[str, ...], results: Path, tmp_path: Path
) -> None:
    trial, path = min(recorded(results)), tmp_path / "net.pt2"
    assert called("export", trial, *spelling, f"results={results}", f"out={path}") == 0
    model, texts = read_program(path)
    raw, _ = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    x = torch.tensor(raw.x, dtype=torch.float32)
    predictor, _, _ = predictor_of(results, trial)
    wanted = predictor.decision_function(raw.x)
    np.testing.assert_allclose(model(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert json.loads(texts["classes"]) == list(raw.classes)
    assert json.loads(texts["features"]) == list(raw.features)


def test_onnx_file_takes_raw_features(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    trial, path = min(recorded(results)), tmp_path / "net.onnx"
    assert called("export", trial, "--format", "onnx", f"results={results}", f"out={path}") == 0
    raw, _ = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = raw.x.astype(np.float32)
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    predictor, _, _ = predictor_of(results, trial)
    np.testing.assert_allclose(found, predictor.decision_function(x), rtol=1e-6, atol=1e-6)


def test_rows_are_predicted(
    results: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, out = min(recorded(results)), tmp_path / "out.csv"
    assert called("predict", trial, str(rows), f"results={results}", f"out={out}") == 0
    predictor, x, _ = predictor_of(results, trial)
    codes = predictor.net(x)[0].argmax(dim=1).tolist()
    found = pl.read_csv(out)
    assert found["predicted"].to_list() == [str(predictor.classes_[code]) for code in codes]
    assert found.drop("row", "predicted").sum_horizontal().is_between(0.999, 1.001).all()
    assert f"each row: {out}" in capsys.readouterr().out


def test_rows_are_attacked(
    results: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, out = min(recorded(results)), tmp_path / "out.csv"
    given = (f"results={results}", f"out={out}", "attack=fgsm-linf", "radii=0,0.3,0.8")
    assert called("attack", trial, str(rows), *given) == 0
    predictor, x, y = predictor_of(results, trial)
    found = pl.read_csv(out)
    shares = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()[3:6]]
    for radius, share in zip((0.0, 0.3, 0.8), shares, strict=True):
        x_adv = attacks.get("fgsm-linf")(predictor.net, x, y, radius)[0]
        kept_class = (predictor.net(x_adv)[0].argmax(dim=1) == y) & (
            predictor.net(x)[0].argmax(dim=1) == y
        )
        assert found[f"keeps at {radius:g}"].to_list() == kept_class.tolist()
        assert share == pytest.approx(float(kept_class.double().mean()))


def test_rows_are_certified(results: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = max(recorded(results))
    assert called("certify", trial, str(rows), f"results={results}", "radii=0,0.2,0.6") == 0
    lines = capsys.readouterr().out.splitlines()
    predictor, x, y = predictor_of(results, trial)
    radii = certify.certified_radius(predictor.net, x, y)[0]
    assert [float(line.split()[-1]) for line in lines[-10:]] == pytest.approx(
        radii.tolist(), abs=1e-6
    )
    for line in lines[3:6]:
        radius, share = map(float, line.split())
        proven = certify.certified(predictor.net, x, y, radius)[0]
        assert share == pytest.approx(float(proven.double().mean()))


@pytest.mark.parametrize(
    ("given", "norm", "method"),
    [
        ((), "l1", "rub"),
        (("norm=linf",), "linf", "best"),
        (("method=vertex-crown",), "l1", "vertex-crown"),
    ],
)
def test_proof_is_the_one_asked_for(
    given: tuple[str, ...],
    norm: Norm,
    method: str,
    results: Path,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trial, out = max(recorded(results)), tmp_path / "out.csv"
    where = (f"results={results}", f"out={out}", "radii=0,0.1")
    assert called("certify", trial, str(rows), *given, *where) == 0
    assert f"certified by {method}, {norm} radii" in capsys.readouterr().out
    predictor, x, y = predictor_of(results, trial)
    radii = certify.certified_radius(predictor.net, x, y, norm=norm, method=method)[0]
    found = pl.read_csv(out)["certified radius"].to_list()
    assert found == pytest.approx(radii.tolist(), rel=1e-5)


def test_feature_that_cannot_be_moved_is_left_out_of_the_proof(
    results: Path, rows: Path, tmp_path: Path
) -> None:
    trial = max(recorded(results))
    predictor, x, y = predictor_of(results, trial)
    assert predictor.feature_names_in_ is not None
    first, second = predictor.feature_names_in_[[0, 2]].tolist()
    found = []
    for costs in ("", f"{first}:inf,{second}:4"):
        out = tmp_path / f"{bool(costs)}.csv"
        where = (
            f"results={results}",
            f"out={out}",
            "radii=0",
            f"costs={costs}",
            "method=vertex-crown",
        )
        assert called("certify", trial, str(rows), f"costs={costs}", *where) == 0
        found.append(pl.read_csv(out)["certified radius"])
    assert found[0].to_list() != found[1].to_list()
    wanted = certify.certified_radius(
        predictor.net, x, y, method="vertex-crown", costs=[math.inf, 1, 4, 1]
    )[0]
    assert found[1].to_list() == pytest.approx(wanted.tolist(), rel=1e-5)


def test_attack_leaves_a_feature_that_cannot_be_moved(
    results: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, out = max(recorded(results)), tmp_path / "out.csv"
    predictor, x, y = predictor_of(results, trial)
    assert predictor.feature_names_in_ is not None
    costs = ",".join(f"{name}:inf" for name in predictor.feature_names_in_.tolist())
    where = (f"results={results}", f"out={out}", "radii=0,50")
    given = ("attack", trial, str(rows), "attack=vertex-l1", f"costs={costs}", *where)
    assert called(*given) == 0
    found = pl.read_csv(out)
    assert found["keeps at 0"].to_list() == found["keeps at 50"].to_list()  # nothing moves
    assert called("attack", trial, str(rows), "attack=pgd-l2", f"costs={costs}", *where) != 0
    assert "attack 'pgd-l2' takes no costs" in capsys.readouterr().err


def test_selected_networks_are_listed_and_the_others_pruned(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.Folder(copy, NAME)
    chosen = selection.selected(folder)
    assert chosen
    assert called("list", "selected", f"results={copy}") == 0
    _, *lines, _ = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == chosen
    one = {min(chosen)}
    assert kept.prune(folder, one) == len(recorded(copy)) - 1
    assert set(weights.find(copy)) == one
    assert called("list", f"results={copy}") == 0
    _, *lines, _ = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.split()[-1] == "yes"} == one


def test_selected_networks_alone_are_kept_at_the_end_of_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("debug=true", "tracking.enabled=false", "grid.dataset=[iris]", "grid.seed=[3]")
    argv = ["+experiment=quickstart", *asked, f"paths.results={tmp_path}"]
    argv += ["grid.defense=[nominal]", "grid.network=[mlp-1x8]", "keep.networks=selected"]
    argv += ["grid.learning_rate=[1e-6,1e-2]"]
    assert run.main(argv) == 0
    folder = store.Folder(tmp_path, NAME)
    chosen = selection.selected(folder)
    assert set(weights.find(tmp_path)) == chosen < recorded(tmp_path)
    assert f"{2 - len(chosen)} that selection does not pick are deleted" in capsys.readouterr().out
    before = [path.read_bytes() for path in (folder.path / "networks").iterdir()]
    assert run.main(argv) == 0
    assert [path.read_bytes() for path in (folder.path / "networks").iterdir()] == before


def test_small_run_that_keeps_the_selected_deletes_nothing_that_a_larger_one_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("debug=true", "tracking.enabled=false", "grid.dataset=[iris]", "training.steps=20")
    argv = ["+experiment=quickstart", *asked, f"paths.results={tmp_path}"]
    argv += ["grid.defense=[nominal]", "grid.network=[mlp-1x8]"]
    small = [*argv, "keep.networks=selected"]
    assert run.main([*argv, "grid.learning_rate=[1e-6,1e-2]"]) == 0
    assert run.main([*small, "grid.learning_rate=[1e-6,1e-2]", "grid.seed=[3]"]) == 0
    folder = store.Folder(tmp_path, NAME)
    first, second = (
        {t for t, seed in rows_of(folder).select("trial_id", "seed").rows() if seed == n}
        for n in (0, 3)
    )
    chosen = selection.selected(folder)
    assert first - chosen
    assert second - chosen
    assert set(weights.find(tmp_path)) == first | (second & chosen)
    assert f"{len(first - chosen)} others stay" in capsys.readouterr().out
    assert run.main([*small, "grid.learning_rate=[1e-6]"]) == 0  # of what the first one kept
    assert set(weights.find(tmp_path)) == first | (second & chosen)
    assert called("prune", f"experiment={NAME}", f"results={tmp_path}") == 0
    assert set(weights.find(tmp_path)) == chosen


def test_networks_of_another_experiments_grid_stay(copy: Path) -> None:
    folder, other = store.Folder(copy, NAME), store.Folder(copy, "other")
    shared, *rest = sorted(recorded(copy))
    (other.path / "records").mkdir(parents=True)
    other.manifest.write_text(json.dumps({"trial_ids": [shared]}))
    assert kept.prune(folder, ()) == len(rest)
    assert set(weights.find(copy)) == {shared}


def test_pruning_waits_for_no_sweep(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(store.Folder(copy, NAME).path):
        assert called("prune", f"experiment={NAME}", f"results={copy}") == 2
    assert "is being run by process" in capsys.readouterr().err
    assert set(weights.find(copy)) == recorded(copy)
    assert called("prune", f"experiment={NAME}", f"results={copy}") == 0
    assert "networks deleted" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("--help") == 0
    said = capsys.readouterr().out
    assert all(f"networks {name}" in said for name in driver_networks.COMMANDS)


MISTAKES = {
    "no command": ((), "command '' is unknown; usage: robust-sweep networks"),
    "no trial": (("export",), "export takes one trial"),
    "two trials": (("export", "a", "b"), "export takes one trial"),
    "trial to list": (("list", "a"), "list takes no further word"),
    "no rows": (("attack", "a"), "attack takes one trial and one file of rows"),
    "all pruned": (("prune",), "say of which experiment=NAME"),
    "unknown format": (("export", "a", "format=pickle"), "unknown format 'pickle'; known: torch"),
    "unknown attack": (("attack", "a", "b", "attack=none"), "unknown attack 'none'"),
    "unknown norm": (("certify", "a", "b", "norm=l3"), "norm=l3: unknown norm 'l3'"),
    "unknown proof": (("certify", "a", "b", "method=x"), "method=x: unknown method 'x'; known: "),
    "costs of letters": (("certify", "a", "b", "costs=age"), "costs=age: must be as in age:inf"),
    "radii of letters": (("certify", "a", "b", "radii=x"), "radii=x: must be numbers"),
    "radius below 0": (("certify", "a", "b", "radii=-1,0"), "radii=-1,0: must be finite"),
    "radius that is none": (("certify", "a", "b", "radii=nan"), "radii=nan: must be finite"),
    "radii in no order": (("attack", "a", "b", "radii=1,0"), "radii=1,0: must be finite"),
    "dashes": (("list", "--verbose"), "unknown argument '--verbose'"),
    "neither true nor false": (("list", "selected=1"), "selected=1: must be true or false"),
    "unknown trial": (("export", "0" * 16), "has no record"),
    "unknown key": (("list", "order=l1"), "unknown argument 'order=l1'"),
    "unknown experiment": (("list", "experiment=nope"), f"known: {NAME}"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line(
    mistake: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, message = MISTAKES[mistake]
    assert called(*argv, *([f"results={results}"] if argv else [])) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_folder_without_records_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("list", f"results={tmp_path}") == 2
    assert "known: none" in capsys.readouterr().err


def test_trial_that_no_command_asks_for_is_one_line(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.Folder(copy, NAME)
    folder.manifest.write_text(json.dumps({"commands": []}))
    shutil.rmtree(folder.path / "networks")
    assert called("export", min(recorded(copy)), f"results={copy}") == 2
    assert "its weights are gone, and no command in" in capsys.readouterr().err
