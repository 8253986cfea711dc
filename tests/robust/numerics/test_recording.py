"""A recorded step trains the same networks, and finds the same inputs, as one made each time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robust import attacks, defenses
from robust.attacks.gradient import GradientAttack
from robust.evaluate import survivors
from robust.networks import CNN, MLP, linearization
from robust.numerics import recording
from robust.supports import supports
from robust.training import checkpoint
from robust.training.checkpoint import CheckpointFile
from robust.training.optimizer import PackedAdam
from tests.robust import tape
from tests.robust.helpers import random_batch
from tests.robust.numerics.test_host_waits import BY_DEVICE
from tests.robust.small_training import STEPS, fresh, trained
from tests.robust.tape import TapeRecorder
from tests.robust.training.test_checkpoint import Interrupted, stop_at


@pytest.fixture(autouse=True)
def _recording_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a CPU record on tapes, and take a GPU's branches."""
    monkeypatch.setitem(recording.RECORDERS, "cpu", TapeRecorder)
    monkeypatch.setattr(TapeRecorder, "recordings", 0)
    monkeypatch.setattr(PackedAdam, "_step_each", PackedAdam._step_pack)
    for choice in BY_DEVICE:
        monkeypatch.setitem(choice, "cpu", choice["cuda"])  # type: ignore[attr-defined]


def same(one: MLP | CNN, other: MLP | CNN) -> bool:
    return all(map(torch.equal, one.parameters(), other.parameters()))


# PGD-L1 and PGD-L2 go PGD-Linf's way, which takes long on convolutions.
ON_CONVOLUTIONS = [
    pytest.param(name, "cnn", marks=[pytest.mark.slow] if name in ("pgd-l1", "pgd-l2") else [])
    for name in defenses.names()
    if supports("cnn", name)
]


@pytest.mark.parametrize(
    ("defense", "network"), [*((name, "mlp-2x8") for name in defenses.names()), *ON_CONVOLUTIONS]
)
def test_recorded_step_trains_the_same_networks(defense: str, network: str) -> None:
    anew, replayed = fresh(network), fresh(network)
    steps = recording.WARM_UP + 2
    expected, seen = trained(anew, defense, None, steps=steps)
    result, seen_too = trained(replayed, defense, None, steps=steps, record=True)
    assert TapeRecorder.recordings == 1
    assert same(anew, replayed)
    assert result.diverged_step == expected.diverged_step
    assert expected.diverged_step[2] is not None
    assert (result.curve, seen_too) == (expected.curve, seen)


def test_divergence_after_the_recording_is_seen_at_its_step() -> None:
    def poison(step: int) -> None:
        if step == STEPS - 2:
            with torch.no_grad():
                net.biases[0][0].fill_(math.nan)

    net = fresh()
    result, _ = trained(net, "nominal", None, record=True, on_step=poison)
    assert result.diverged_step[0] == STEPS - 1


def test_recorded_step_goes_on_from_parameters_that_were_changed() -> None:
    def run(record: bool) -> MLP | CNN:
        def start_anew(step: int) -> None:
            if step == STEPS - 2:
                with torch.no_grad():
                    for parameter, first in zip(net.parameters(), untouched, strict=True):
                        parameter.copy_(first)

        net, untouched = fresh(), list(fresh().parameters())
        trained(net, "fgsm-linf", None, record=record, on_step=start_anew)
        return net

    whole = fresh()
    trained(whole, "fgsm-linf", None)
    assert same(run(True), run(False))
    assert not same(run(True), whole)


def test_interrupted_recorded_training_ends_as_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "COST", math.inf)  # a checkpoint after every step
    whole, again = fresh(), fresh()
    trained(whole, "pgd-linf", None)
    file = CheckpointFile(tmp_path / "file.pt", "key", 0.0)
    with pytest.raises(Interrupted):
        trained(fresh(), "pgd-linf", file, record=True, on_step=stop_at(5))
    result, _ = trained(again, "pgd-linf", file, record=True)
    assert result.resumed_step == 5
    assert TapeRecorder.recordings == 2
    assert same(whole, again)


def test_recording_draws_no_random_numbers() -> None:
    generator, other = (torch.Generator().manual_seed(0) for _ in range(2))
    drawn = torch.zeros(3)

    def draw() -> None:
        drawn.uniform_(generator=generator)

    step = recording.recorded(draw, generator)
    for _ in range(2 * recording.WARM_UP):
        step()
        assert torch.equal(drawn, torch.zeros(3).uniform_(generator=other))


def test_device_without_a_recorder_makes_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(recording.RECORDERS, "cpu")
    anew, other = fresh(), fresh()
    trained(anew, "pgd-linf", None)
    trained(other, "pgd-linf", None, record=True)
    assert TapeRecorder.recordings == 0
    assert same(anew, other)


def test_decision_of_the_host_would_be_noticed() -> None:
    made, total = [0], torch.zeros(())

    def step() -> None:
        made[0] += 1
        total.add_(made[0])

    again = recording.recorded(step, torch.Generator())
    for _ in range(recording.WARM_UP + 3):
        again()
    assert float(total) != sum(range(recording.WARM_UP + 4))


def test_tensor_from_the_host_would_be_noticed() -> None:
    def step() -> None:
        torch.tensor([1.0, 2.0])

    with pytest.raises(tape.FromTheHost, match="tensor"):
        recording.recorded(step, torch.Generator())()


STEPWISE = [
    name
    for name in attacks.names()
    if isinstance(method := attacks.get(name), GradientAttack) and method.num_steps > 1
]


def broken(attack: str, network: str, record: bool, device: str = "cpu") -> Tensor:
    """What survives an attack on three networks, [3, 2, 20]."""
    net = fresh(network).to(device)
    x, y = random_batch(20, net.num_features, 3, seed=2, dtype=torch.float32)
    x = x.clamp(-1.5, 1.5)
    y = net(x.to(device))[0].argmax(dim=1).cpu().where(torch.arange(20) > 3, y)
    radii = torch.tensor([0.1, 0.5])
    own = x.to(device), y.to(device)
    return survivors(net, *own, attack=attack, radii=radii, bounds=(-1.5, 1.5), record=record)


@pytest.mark.parametrize("network", ["mlp-2x8", "cnn"])
@pytest.mark.parametrize("attack", STEPWISE)
def test_recorded_attack_finds_the_same(
    attack: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(linearization.LIFT, "cpu")
    found: dict[bool, list[Tensor]] = {False: [], True: []}
    kind = type(attacks.get(attack))
    assert issubclass(kind, GradientAttack)
    ascend = kind._ascend

    def watched(self: GradientAttack, *given: Any) -> tuple[Tensor, Tensor]:
        result = ascend(self, *given)
        found[self.record].append(result[0].clone())
        return result

    monkeypatch.setattr(kind, "_ascend", watched)
    anew = broken(attack, network, record=False)
    assert TapeRecorder.recordings == 0
    assert torch.equal(broken(attack, network, record=True), anew)
    assert TapeRecorder.recordings == len(found[True]) == len(found[False]) > 0
    assert all(map(torch.equal, found[True], found[False]))


@pytest.mark.gpu
@pytest.mark.parametrize("network", ["mlp-2x8", "cnn"])
@pytest.mark.parametrize("attack", STEPWISE)
def test_cuda_graph_of_an_attack_finds_the_same(attack: str, network: str) -> None:
    anew, replayed = (broken(attack, network, record, "cuda") for record in (False, True))
    assert torch.equal(replayed, anew)


@pytest.mark.gpu
@pytest.mark.parametrize("network", ["mlp-2x8", "cnn"])
@pytest.mark.parametrize("defense", defenses.names())
def test_cuda_graph_trains_the_same_networks(defense: str, network: str) -> None:
    if not supports(network, defense):
        pytest.skip("not trained on such networks")
    anew, replayed = fresh(network).cuda(), fresh(network).cuda()
    expected, _ = trained(anew, defense, None)
    result, _ = trained(replayed, defense, None, record=True)
    assert result.diverged_step == expected.diverged_step
    for one, other in zip(anew.parameters(), replayed.parameters(), strict=True):
        # Sums over the batch may be taken in another order.
        torch.testing.assert_close(one[:2], other[:2], rtol=1e-4, atol=1e-5)
