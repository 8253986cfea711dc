"""Packs sized for the device: model, measurement, and what a full memory teaches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robust.defenses.nominal import Nominal
from sweep.config.schema import SweepConfig
from sweep.cost import memory, probe
from sweep.cost.calibration import Rates, splits
from sweep.cost.memory import Line, Memory
from sweep.cost.probe import ProbeError, Shape
from sweep.driver import pack_log
from sweep.driver.plan import learn_memory, make_plan, make_tasks
from sweep.pack.run import run_pack
from tests.sweep.helpers import config, info, trials

FACTOR = 2.0  # between the model and what is measured

UCI = {"network": "mlp-3x200", "num_features": 36, "num_classes": 6, "batch_size": 256}
MNIST = {"network": "mlp-3x200", "num_features": 784, "num_classes": 10, "batch_size": 256}
RESIDUAL = {**UCI, "network": "resmlp-2x64"}
IMAGES = {**MNIST, "network": "cnn", "batch_size": 32, "input_shape": (28, 28, 1)}

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc"
)


def shape(defense: str, facts: dict[str, object]) -> Shape:
    return Shape(defense, **{"input_shape": (facts["num_features"],), **facts})  # type: ignore[arg-type]


def bytes_of(line: Line, networks: int) -> float:
    return line.fixed + line.each * networks


@needs_proc
@pytest.mark.parametrize("defense", ["nominal", "arub-l1", "rub"])
def test_model_is_within_a_factor_of_what_is_measured(defense: str) -> None:
    of = shape(defense, UCI)
    measured = probe.measure(of, 8, "cpu")
    assert 1 / FACTOR < bytes_of(memory.modelled(of), 8) / measured < FACTOR


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "facts"),
    [
        ("baseline-linf", MNIST),
        ("arub-l1", MNIST),
        ("arub-linf", MNIST),
        ("fgsm-linf", MNIST),
        ("pgd-linf", MNIST),
        ("rub", MNIST),
        ("coap-linf", UCI),
        ("arub-l1", RESIDUAL),
        ("rub", RESIDUAL),
        ("coap-linf", RESIDUAL),
        ("nominal", {**IMAGES, "network": "lenet"}),
        ("arub-l1", {**IMAGES, "network": "lenet"}),
        ("coap-linf", MNIST),
        ("nominal", IMAGES),
        ("pgd-linf", IMAGES),
        ("arub-linf", IMAGES),
    ],
)
def test_model_is_within_a_factor_for_images_too(defense: str, facts: dict[str, object]) -> None:
    of = shape(defense, facts)
    measured = probe.measure(of, 4, "cpu")
    assert 1 / FACTOR < bytes_of(memory.modelled(of), 4) / measured < FACTOR


@needs_proc
def test_measured_line_foretells_a_larger_pack() -> None:
    of = shape("arub-linf", MNIST)
    (line,) = memory.measured([of], "cpu").values()
    assert probe.measure(of, 10, "cpu") == pytest.approx(bytes_of(line, 10), rel=0.3)


@pytest.mark.gpu
@pytest.mark.parametrize("defense", ["nominal", "rub"])
def test_measured_line_foretells_a_larger_pack_on_a_gpu(defense: str) -> None:
    of = shape(defense, MNIST)
    (line,) = memory.measured([of], "cuda").values()
    assert probe.measure(of, 10, "cuda") == pytest.approx(bytes_of(line, 10), rel=0.3)


def test_pack_takes_what_is_left_beside_the_fixed_part() -> None:
    line = Line(fixed=300.0, each=50.0)
    assert line.fitting(1000.0) == 14
    assert line.fitting(100.0) == 1  # a single network is tried, whatever it takes


def test_measurement_goes_before_the_model_and_a_full_memory_before_both() -> None:
    trial, facts = trials()[0], info()
    model = memory.modelled(memory.shape_of(trial, facts))
    limit = model.fixed + 100 * model.each
    assert Memory().fitting(trial, facts) is None
    assert Memory(limit).fitting(trial, facts) == 100
    known = {memory.key(memory.shape_of(trial, facts)): Line(0.0, limit / 10)}
    assert Memory(limit, known).fitting(trial, facts) == 10
    split = {memory.kind_of(trial): 3}
    assert Memory(limit, known, split).fitting(trial, facts) == 3
    assert Memory(None, {}, split).fitting(trial, facts) == 3


def test_only_packs_that_may_not_fit_are_measured() -> None:
    trial, facts = trials()[0], info()
    of = memory.shape_of(trial, facts)
    line = memory.modelled(of)
    many = [(trial, facts)] * 50
    roomy, tight = bytes_of(line, 160), bytes_of(line, 100)
    assert memory.to_measure(Memory(roomy), many, 50) == []
    assert memory.to_measure(Memory(tight), many, 50) == [of]
    assert memory.to_measure(Memory(tight), many, 20) == []
    assert memory.to_measure(Memory(tight), many[:20], 50) == []
    assert memory.to_measure(Memory(tight, {memory.key(of): line}), many, 50) == []
    assert memory.to_measure(Memory(None), many, 50) == []


def test_what_cannot_be_measured_is_left_to_the_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(of: Shape, num_networks: int, device: str) -> int:
        raise ProbeError("made up")

    monkeypatch.setattr(memory, "measure", broken)
    assert memory.measured([shape("nominal", UCI)], "cpu") == {}
    assert "memory is not measured: made up" in caplog.text


def test_probe_that_fails_names_the_shape() -> None:
    with pytest.raises(ProbeError, match="no-such-network"):
        probe.measure(shape("nominal", {**UCI, "network": "no-such-network"}), 1, "cpu")


def test_measurements_are_kept_by_device_and_a_damaged_file_is_measured_anew(
    tmp_path: Path,
) -> None:
    ours, theirs = {"a": Line(1.0, 2.0)}, {"b": Line(3.0, 4.0)}
    memory.write(tmp_path, "cpu", ours)
    memory.write(tmp_path, "gpu", theirs)
    assert memory.read(tmp_path, "cpu") == ours
    assert memory.read(tmp_path, "gpu") == theirs
    assert memory.read(tmp_path, "another") == {}
    for text in ("", "[1, 2]", '{"cpu": {"a": {"fixed": 1}}}', '{"cpu": 3}'):
        (tmp_path / "memory.json").write_text(text)
        assert memory.read(tmp_path, "cpu") == {}
    memory.write(tmp_path, "cpu", ours)
    assert memory.read(tmp_path, "cpu") == ours


def small(results: Path, max_memory_gb: float) -> SweepConfig:
    made = config(results)
    packing = replace(made.packing, max_memory_gb=max_memory_gb)
    grid = replace(made.grid, defense=["nominal"], learning_rate=[1e-1, 1e-2, 1e-3, 1e-4])
    return replace(made, grid=grid, packing=packing)


def test_first_use_measures_and_the_second_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def made_up(of: Shape, num_networks: int, device: str) -> int:
        asked.append(num_networks)
        return 1000 + 500 * num_networks

    monkeypatch.setattr(memory, "measure", made_up)
    plan = make_plan([small(tmp_path, 2100e-9)])
    assert learn_memory(plan, "cpu", probe=False).measured == {}
    first = learn_memory(plan, "cpu", probe=True)
    assert list(first.measured.values()) == [Line(1000.0, 500.0)]
    assert learn_memory(plan, "cpu", probe=True) == first
    assert len(asked) == 2
    tasks = make_tasks(plan, Rates(), first, git_commit="test", device="cpu")
    assert [len(task.job.pack) for task in tasks] == [2, 2]


def test_plan_learns_from_a_pack_that_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four trials in one pack; memory holds two; the records are lost; two packs of two."""

    def hungry(self: Nominal, net: object, *rest: object) -> torch.Tensor:
        if net.num_networks > 2:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(self, net, *rest)  # type: ignore[arg-type]

    losses = Nominal.example_losses
    monkeypatch.setattr(Nominal, "example_losses", hungry)
    plan = make_plan([small(tmp_path, 10.0)])
    (task,) = make_tasks(
        plan, Rates(), learn_memory(plan, "cpu", probe=False), git_commit="test", device="cpu"
    )
    summary = run_pack(task.job)
    assert (summary.complete, summary.trained_together) == (4, 2)
    pack_log.append(plan.folder, task, summary, 0.0)
    assert splits(tmp_path, "cpu") == {("iris", "mlp-1x8", "nominal", 16): 2}
    assert splits(tmp_path, "another device") == {}
    again = make_tasks(
        plan, Rates(), learn_memory(plan, "cpu", probe=False), git_commit="test", device="cpu"
    )
    assert [len(task.job.pack) for task in again] == [2, 2]


def test_share_is_what_is_asked_for_or_of_this_machine(tmp_path: Path) -> None:
    made = config(tmp_path)
    asked = replace(made, packing=replace(made.packing, max_memory_gb=1.5))
    assert memory.share(asked, "cpu") == 1.5e9
    one, two = (
        memory.share(replace(made, ray=replace(made.ray, num_cpus=n)), "cpu") for n in (1, 2)
    )
    assert one is not None
    assert two == one / 2
    assert 1e8 < one < 1e14
    cluster = replace(made, ray=replace(made.ray, address="auto"))
    assert memory.share(cluster, "cpu") is None
