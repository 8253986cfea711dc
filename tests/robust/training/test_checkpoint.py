"""Training that is interrupted and taken up again: as if nothing had happened."""

from __future__ import annotations

import itertools
import logging
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robust import defenses
from robust.train import TrainResult
from robust.training import checkpoint
from robust.training.checkpoint import CheckpointFile
from robust.training.monitor import Monitor
from tests.robust import small_training
from tests.robust.small_training import STEPS, fresh, trained


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checkpoints be as frequent as asked for, however short the steps."""
    monkeypatch.setattr(checkpoint, "COST", math.inf)


def stop_at(step: int) -> Callable[[int], None]:
    """A callback that interrupts after a step."""

    def callback(finished: int) -> None:
        if finished == step:
            raise Interrupted

    return callback


@pytest.mark.parametrize("defense", defenses.names())
def test_interrupted_training_ends_bit_for_bit_as_undisturbed(
    defense: str, tmp_path: Path
) -> None:
    whole = fresh()
    expected, seen = trained(whole, defense, None)
    assert expected.diverged_step[:2] == (None, None)
    assert expected.diverged_step[2] is not None
    for step in (1, 4, STEPS - 1):
        path = tmp_path / f"{step}.pt"
        with pytest.raises(Interrupted):
            trained(fresh(), defense, CheckpointFile(path, "key", 0.0), on_step=stop_at(step))
        net = fresh()
        result, seen_again = trained(net, defense, CheckpointFile(path, "key", 0.0))
        assert result.resumed_step == step
        assert 0 < result.seconds_before < result.seconds
        assert result.diverged_step == expected.diverged_step
        assert result.curve == expected.curve
        assert seen_again == seen
        for ours, theirs in zip(net.parameters(), whole.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_convolutional_training_goes_on_bit_for_bit_after_two_interruptions(
    tmp_path: Path,
) -> None:
    whole = fresh("cnn")
    trained(whole, "fgsm-linf", None)
    file = CheckpointFile(tmp_path / "file.pt", "key", 0.0)
    for step in (2, 5):
        with pytest.raises(Interrupted):
            trained(fresh("cnn"), "fgsm-linf", file, on_step=stop_at(step))
    net = fresh("cnn")
    assert trained(net, "fgsm-linf", file)[0].resumed_step == 5
    for ours, theirs in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def interrupted(path: Path) -> CheckpointFile:
    """The checkpoint of a training that was interrupted after four steps."""
    with pytest.raises(Interrupted):
        trained(fresh(), "nominal", CheckpointFile(path, "key", 0.0), on_step=stop_at(4))
    return CheckpointFile(path, "key", 1e9)


class Payload:
    """A pickle that runs code where it is read carelessly."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (print, ("code ran",))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "other", "code"])
def test_damaged_checkpoint_is_ignored_with_a_log_line(
    damage: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = interrupted(tmp_path / "file.pt")
    whole = file.path.read_bytes()
    state = torch.load(file.path, weights_only=True)["state"]
    middle = whole.index(state["parameters"][1].numpy().tobytes()) + 1  # inside of a tensor
    damaged = {
        "truncated": whole[:middle],
        "flipped": b"".join([whole[:middle], bytes([whole[middle] ^ 255]), whole[middle + 1 :]]),
        "empty": b"",
        "text": b"no checkpoint",
        "other": pickle.dumps([1, 2, 3]),
        "code": pickle.dumps(Payload()),
    }
    file.path.write_bytes(damaged[damage])
    net, undisturbed = fresh(), fresh()
    with caplog.at_level(logging.WARNING):
        result, _ = trained(net, "nominal", file)
    assert result.resumed_step == 0
    assert [r.message.count("\n") for r in caplog.records] == [0]
    assert "file.pt cannot be read and is ignored" in caplog.text
    assert "code ran" not in capsys.readouterr().out
    trained(undisturbed, "nominal", None)
    for ours, theirs in zip(net.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_every_truncation_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    file = interrupted(tmp_path / "file.pt")
    whole = file.path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        file.path.write_bytes(whole[:size])
        assert trained(fresh(), "nominal", file)[0].resumed_step == 0


def test_checkpoint_of_another_training_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = interrupted(tmp_path / "file.pt").path
    other_key = CheckpointFile(path, "another key", 1e9)
    with caplog.at_level(logging.WARNING):
        assert trained(fresh(), "nominal", other_key)[0].resumed_step == 0
        # The same file and key, but the arguments of `train` differ.
        same_key = CheckpointFile(path, "key", 1e9)
        assert trained(fresh(), "arub-linf", same_key)[0].resumed_step == 0
    assert caplog.text.count("is of another training and is ignored") == 2
    assert trained(fresh(), "nominal", same_key)[0].resumed_step == 4


BROKEN: dict[str, Callable[[checkpoint.State], object]] = {
    "generator of a GPU": lambda state: state.update(generator=torch.zeros(16).byte()),
    "parameters of other shapes": lambda state: state["parameters"].reverse(),
    "fewer parameters": lambda state: state["parameters"].pop(),
    "no masks": lambda state: state.pop("masks"),
    "no state of a callback": lambda state: state["callbacks"].clear(),
    "a number for a tensor": lambda state: state.update(optimizer=3),
}


@pytest.mark.parametrize("what", BROKEN)
def test_state_that_does_not_fit_is_set_aside_and_training_starts_anew(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = CheckpointFile(tmp_path / "file.pt", "key", 0.0)
    with pytest.raises(Interrupted):
        trained(fresh(), "pgd-linf", file, on_step=stop_at(4))
    whole = torch.load(file.path, weights_only=True)
    BROKEN[what](whole["state"])
    torch.save(whole, file.path)
    net, undisturbed = fresh(), fresh()
    expected, seen = trained(undisturbed, "pgd-linf", None)
    with caplog.at_level(logging.WARNING):
        quiet = CheckpointFile(file.path, "key", 1e9)
        result, seen_too = trained(net, "pgd-linf", quiet)
    assert [r.message.count("\n") for r in caplog.records] == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["file.unusable"]
    assert (result.resumed_step, result.curve, seen_too) == (0, expected.curve, seen)
    assert result.diverged_step == expected.diverged_step
    for ours, theirs in zip(net.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_everything_that_a_small_training_takes_lies_where_its_network_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the tests that need a GPU use it."""
    given: list[torch.Tensor] = []

    def take(net: object, *data: torch.Tensor, **options: object) -> TrainResult:
        watching = options["on_batch"]
        assert isinstance(watching, Monitor)
        assert watching.trace is not None
        pairs = [value for value in options.values() if isinstance(value, tuple)]
        given.extend([*data, *(tensor for pair in pairs for tensor in pair)])
        given.extend(value for value in options.values() if isinstance(value, torch.Tensor))
        given.append(watching.trace.radius)
        return TrainResult((None,) * 3, 0.0, ())

    monkeypatch.setattr(small_training, "train", take)
    trained(fresh().to("meta"), "rub", None)
    assert len(given) == 7
    assert {tensor.device.type for tensor in given} == {"meta"}


def test_checkpoint_of_another_format_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = interrupted(tmp_path / "file.pt")
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    assert trained(fresh(), "nominal", file)[0].resumed_step == 0


def test_training_goes_on_where_no_checkpoint_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    net, undisturbed = fresh(), fresh()
    with caplog.at_level(logging.WARNING):
        trained(net, "nominal", CheckpointFile(blocked / "file.pt", "key", 0.0))
    assert "cannot be written" in caplog.text
    trained(undisturbed, "nominal", None)
    for ours, theirs in zip(net.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_is_left_of_a_checkpoint_that_was_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = interrupted(tmp_path / "file.pt")
    before = file.path.read_bytes()

    def half(whole: object, opened: object) -> None:
        opened.write(b"half of it")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", half)
    file.save("call", {})
    assert file.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file.path]


def test_checkpoints_are_apart_and_take_a_hundredth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only saving advances, by ten seconds."""
    now = itertools.count(0)
    clock = {"now": 0.0}
    monkeypatch.setattr(checkpoint, "COST", 0.01)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock["now"])

    def slow(path: Path, whole: object) -> None:
        next(now)
        clock["now"] += 10.0

    monkeypatch.setattr(checkpoint, "_write", slow)
    file = CheckpointFile(tmp_path / "file.pt", "key", 300.0)
    moments = []
    for second in range(0, 4000, 5):
        clock["now"] = max(clock["now"], float(second))
        if file.due():
            moments.append(clock["now"])
            file.save("call", {})
    assert moments == [300.0, 1310.0, 2320.0, 3330.0]
    assert next(now) == len(moments)


def test_break_by_the_last_update_is_still_known_after_an_interruption(tmp_path: Path) -> None:
    """The only checkpoint is of after the last step."""
    rates = torch.tensor([0.01, 0.001, 1e38])
    file = CheckpointFile(tmp_path / "file.pt", "key", 0.0)
    settings = {"steps": 1, "learning_rate": rates}
    with pytest.raises(Interrupted):
        trained(fresh(), "pgd-linf", file, on_step=stop_at(1), **settings)
    result, _ = trained(fresh(), "pgd-linf", file, **settings)
    assert result.resumed_step == 1
    assert result.diverged_step == (None, None, 1)
