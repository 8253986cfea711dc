"""Train a pack: every network with its own learning rate and radius, in one program.

Legend: P networks in the pack, N training examples, B batch, D input features.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robust import defenses
from robust.checkpoint import CheckpointFile, State, Stateful
from robust.checks import check_inputs, check_labels, pack_radius
from robust.defenses.base import UNBOUNDED
from robust.evaluate import correct
from robust.losses import LOSSES
from robust.networks.linearization import Network
from robust.precision import flushed_denormals, rough_products
from robust.recording import recorded
from robust.seeds import derived_seed
from robust.training_step import TrainingStep

Curve = list[tuple[int, tuple[float | None, ...]]]


@dataclass(frozen=True)
class TrainResult:
    """What training a pack leaves beside its parameters.

    Attributes:
        diverged_step: for each network the step at which its loss or gradient was first not
            finite; None where it stayed finite.
        seconds: wall time of the whole pack, also before an interruption.
        curve: (step, validation accuracy of each network), in [0, 1]; None once diverged.
        resumed_step: at which it was taken up from a checkpoint; 0 if it was not.
        seconds_before: of `seconds`, those before it was taken up.
    """

    diverged_step: tuple[int | None, ...]
    seconds: float
    curve: tuple[tuple[int, tuple[float | None, ...]], ...]
    resumed_step: int = 0
    seconds_before: float = 0.0


@flushed_denormals()
def train(
    net: Network,
    x: Tensor,
    y: Tensor,
    *,
    defense: str,
    radius: Tensor,
    learning_rate: Tensor,
    batch_size: int,
    steps: int,
    seed: int,
    bounds: tuple[float, float] = UNBOUNDED,
    loss: str = "cross-entropy",
    validation: tuple[Tensor, Tensor] | None = None,
    curve_every: int = 500,
    on_step: Callable[[int], None] | None = None,
    keep_training: Callable[[int], Tensor] | None = None,
    on_batch: Callable[[int, Tensor, Tensor], None] | None = None,
    checkpoint: CheckpointFile | None = None,
    record: bool = False,
    tf32: bool = False,
) -> TrainResult:
    """Train the networks of a pack in place.

    All networks see the same minibatches, and the same random starts scaled by their radius,
    so what becomes of one does not depend on the others.

    Args:
        net: P networks; changed in place.
        x: training inputs, [N, D], on the device of `net`.
        y: labels, [N].
        defense: name of the training method.
        radius: true radius of each network, [P].
        learning_rate: of each network, [P], > 0.
        batch_size: B, capped at N.
        steps: optimizer updates.
        seed: of the order of examples and of random starts.
        bounds: of the inputs, for attacks made while training.
        loss: cross-entropy or hinge.
        validation: (inputs, labels) for the curve.
        curve_every: steps between points of the curve; the last step always has one.
        on_step: called with the number of finished steps after each.
        keep_training: called with the number of finished steps after each; returns which
            networks train on, [P]. The others keep their parameters (early stopping).
        on_batch: called before each step with its number and its minibatch (robust.monitor).
        checkpoint: where to keep how far training has come, and to take it up from if a checkpoint
            of the same training is there. Callbacks that have a `state_dict` are kept with it.
        record: record a step once and replay it (`robust.recording`), where the device can.
        tf32: let products of the steps be rounded to ten bits, where the device has TF32.

    Returns:
        Divergences, time and validation curve.

    Raises:
        ValueError: an unknown defense or loss; shapes, labels, radii or rates out of range.
    """
    check_inputs(x, net.num_networks, net.num_features)
    check_labels(y, x.shape[-2], net.num_classes)
    radius = pack_radius(radius, net.num_networks, x)
    method = replace(defenses.get(defense), loss_function=LOSSES.get(loss), bounds=bounds)
    rates = _check_rates(learning_rate, net.num_networks, x)
    order = minibatches(x.shape[0], batch_size, steps, seed).to(x.device)
    generator = torch.Generator(x.device).manual_seed(derived_seed(seed, "training noise"))
    update = TrainingStep(net, x, y, method, radius, rates, order.shape[1], generator)
    make_step = recorded(update, generator) if record else update
    stand = _Stand(update, _stateful(on_batch, keep_training))
    given = (list(x.shape), list(order.shape), radius.tolist(), rates.tolist())
    # A generator's state, and the rounding of every step, are those of one kind of device.
    device = [x.device.type] if x.device.type != "cpu" else []
    options = [*device, *(["tf32"] if tf32 else [])]
    call = _call_hash(net, *given, defense, loss, bounds, seed, *options)
    if checkpoint is not None and (state := checkpoint.load(call)) is not None:
        stand.resume(state, checkpoint)
    resumed, before = stand.step, stand.seconds
    start = time.perf_counter()
    for step in range(resumed + 1, steps + 1):
        batch = order[step - 1]
        if on_batch is not None:
            on_batch(step, x[batch], y[batch])
        update.batch.copy_(batch)
        with rough_products(x.device.type, tf32):
            make_step()
        stand.step = step
        if keep_training is not None:
            update.running.copy_(keep_training(step))
        if validation is not None and (step % curve_every == 0 or step == steps):
            stand.curve.append((step, _validation_point(net, validation, update.alive)))
        if checkpoint is not None and checkpoint.due():
            stand.seconds = before + time.perf_counter() - start
            checkpoint.save(call, stand.state_dict())
        if on_step is not None:
            on_step(step)
    diverged = tuple(int(s) or None for s in update.diverged.tolist())  # waits for the device
    seconds = before + time.perf_counter() - start
    return TrainResult(diverged, seconds, tuple(stand.curve), resumed, before)


@dataclass
class _Stand:
    """Everything that the rest of a training depends on."""

    update: TrainingStep
    callbacks: list[Stateful]
    step: int = 0  # finished
    seconds: float = 0.0
    curve: Curve = field(default_factory=list)

    def state_dict(self) -> State:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "curve": list(self.curve),
            "callbacks": [call.state_dict() for call in self.callbacks],
            **self.update.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.update.load_state_dict(state)
        for call, own in zip(self.callbacks, state["callbacks"], strict=True):
            call.load_state_dict(own)

    def resume(self, state: State, checkpoint: CheckpointFile) -> None:
        """Go on from a checkpoint's state, or from the start if it does not fit after all."""
        start = copy.deepcopy(self.state_dict())
        try:
            self.load_state_dict(state)
        except Exception as error:  # whatever a state of other shapes or types makes torch raise
            self.load_state_dict(start)
            checkpoint.set_aside(error)


def _stateful(*callbacks: object) -> list[Stateful]:
    return [callback for callback in callbacks if isinstance(callback, Stateful)]


def _call_hash(net: Network, *settings: object) -> str:
    """Hash what distinguishes one call of `train` from another: a state fits only its own."""
    shapes = [list(p.shape) for p in net.parameters()]
    return f"{derived_seed(str((shapes, *settings))):016x}"


def minibatches(num_examples: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return the examples of every minibatch: one fresh permutation after another, cut up.

    Args:
        num_examples: N.
        batch_size: B, capped at N.
        steps: how many minibatches.
        seed: of the permutations.

    Returns:
        [steps, B], int64; a prefix of the result for more steps.
    """
    size = min(batch_size, num_examples)
    generator = torch.Generator().manual_seed(derived_seed(seed, "minibatches"))
    epochs = -(-steps * size // num_examples)
    stream = [torch.randperm(num_examples, generator=generator) for _ in range(epochs)]
    return torch.cat(stream)[: steps * size].view(steps, size)


def _check_rates(learning_rate: Tensor, num_networks: int, like: Tensor) -> Tensor:
    rates = torch.as_tensor(learning_rate, dtype=like.dtype, device=like.device)
    if tuple(rates.shape) != (num_networks,) or not bool((rates > 0).all()):
        raise ValueError(
            f"learning_rate must be positive, one per network ({num_networks},), "
            f"got {rates.tolist()}"
        )
    return rates


def _validation_point(
    net: Network, validation: tuple[Tensor, Tensor], alive: Tensor
) -> tuple[float | None, ...]:
    accuracies = correct(net, *validation).double().mean(dim=1).tolist()
    return tuple(a if lives else None for a, lives in zip(accuracies, alive.tolist(), strict=True))
