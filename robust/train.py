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
from torch.utils.data import DataLoader

from robust import defenses
from robust.checks import (
    Numbers,
    Radius,
    check_batch,
    check_costs,
    check_count,
    check_seed,
    pack_radius,
    pack_rates,
)
from robust.defenses.base import UNBOUNDED
from robust.evaluation.clean import correct_of
from robust.loaders import Loader, gathered, moved
from robust.losses import LOSSES
from robust.networks.linearization import Network
from robust.numerics.precision import flushed_denormals, shortened_products
from robust.numerics.recording import recorded
from robust.seeds import derived_seed
from robust.training.batches import minibatches as minibatches
from robust.training.batches import source_of
from robust.training.checkpoint import CheckpointFile, State, Stateful
from robust.training.progress import Bar
from robust.training.step import TrainingStep, finite_parameters

Curve = list[tuple[int, tuple[float | None, ...]]]


@dataclass(frozen=True)
class TrainResult:
    """What training a pack leaves in addition to its parameters.

    Attributes:
        diverged_step: for each network the step at which its loss or gradient was first not
            finite, or the last one if its update left parameters or a loss that are not finite;
            None where all stayed finite.
        seconds: wall time of the whole pack, also before an interruption.
        curve: (step, validation accuracy of each network), in [0, 1]; None once diverged, or
            where its parameters are not finite.
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
    x: Numbers | Loader,
    y: Numbers | None = None,
    *,
    defense: str,
    radius: Radius,
    learning_rate: Radius,
    batch_size: int | None = None,
    steps: int,
    seed: int,
    bounds: tuple[float, float] = UNBOUNDED,
    costs: Numbers | None = None,
    loss: str = "cross-entropy",
    validation: tuple[Numbers, Numbers] | Loader | None = None,
    curve_every: int = 500,
    on_step: Callable[[int], None] | None = None,
    on_batch: Callable[[int, Tensor, Tensor], None] | None = None,
    checkpoint: CheckpointFile | None = None,
    record: bool = False,
    tf32: bool = False,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> TrainResult:
    """Train the networks of a pack in place.

    All networks see the same minibatches, and the same random starts scaled by their radius,
    so what becomes of one does not depend on the others.

    Args:
        net: P networks; changed in place.
        x: training inputs, [N, D], N >= 1, of any real type; taken to the network's. Tensors
            are on the device of `net`. Or a DataLoader of inputs, [B, D] or images [B, C, H, W],
            and labels: its batches, in its order, are then what is trained on.
        y: labels, [N], of any integer type; None with a DataLoader.
        defense: name of the training method.
        radius: true radius, a number or one per network, [P], finite and >= 0.
        learning_rate: a number or one per network, [P], finite and > 0.
        batch_size: B >= 1, capped at N; None: that of the DataLoader.
        steps: optimizer updates, at least 1.
        seed: of the order of examples and of random starts, in 0..2^64-1. A DataLoader has an
            order of its own.
        bounds: (lo, hi), in which all inputs lie, for attacks made while training.
        costs: > 0, [D], for L1 balls sum_m c_m |delta_m| <= radius; infinite where a feature
            cannot be moved. None is 1 for all.
        loss: cross-entropy or hinge.
        validation: (inputs, labels) for the curve, as x and y, or a DataLoader of them.
        curve_every: steps between points of the curve, at least 1; the last step always has one.
        on_step: called with the number of finished steps after each.
        on_batch: called before each step with its number and its minibatch (`training.monitor`);
            where it has a method `is_due` of the step, only before those that it says yes to.
        checkpoint: where to keep how far training has come, and to take it up from if a checkpoint
            of the same training is there. Callbacks that have a `state_dict` are kept with it.
            None with a DataLoader, which cannot be taken up where it was.
        record: record a step once and replay it (`numerics.recording`), where the device can.
        tf32: let products of the steps be rounded to ten bits, where the device has TF32.
        device: move the network there first, and the tensors that are given; None: all stay.
        progress: show a bar on standard error.

    Returns:
        Divergences, time and validation curve.

    Raises:
        ValueError: an unknown defense or loss; no inputs; inputs that are not finite or lie
            outside the bounds; shapes, types or devices that do not fit; labels, radii, rates,
            bounds, costs, seed or counts out of range; costs where the defense takes none, or none
            where it needs them; a DataLoader that does not yield such pairs, or a
            checkpoint of one. No network is changed then, unless a later batch is refused.
    """
    if device is not None:
        x, y, radius, learning_rate = moved(net, device, x, y, radius, learning_rate)
        if isinstance(validation, tuple | list):
            validation = tuple(moved(net, device, *validation))
    if checkpoint is not None and isinstance(x, DataLoader):
        raise ValueError("checkpoint must be None with a DataLoader: its order cannot be resumed")
    seed, steps = check_seed(seed), check_count("steps", steps)
    source = source_of(net, x, y, bounds, batch_size, steps, seed)
    x, y, bounds, size = source.x, source.y, source.bounds, source.batch_size
    curve_every = check_count("curve_every", curve_every)
    points = None if validation is None else _checked_validation(net, validation)
    radius = pack_radius(radius, net.num_networks, x)
    rates = pack_rates(learning_rate, net.num_networks, x)
    weights = None if costs is None else check_costs(costs, net)
    method = defenses.get(defense).with_costs(weights)
    method = replace(method, loss_function=LOSSES.get(loss), bounds=bounds)
    generator = torch.Generator(x.device).manual_seed(derived_seed(seed, "training noise"))
    update = TrainingStep(net, x, y, method, radius, rates, size, generator, steps)
    make_step = recorded(update, generator) if record else update
    state_of = _Progress(update, [on_batch] if isinstance(on_batch, Stateful) else [])
    given = (list(x.shape), [steps, size], radius.tolist(), rates.tolist())
    # A generator's state, and the rounding of every step, are those of one kind of device.
    kind = [x.device.type] if x.device.type != "cpu" else []
    options = [*kind, *(["tf32"] if tf32 else [])]
    options += [] if weights is None else [str(weights.tolist())]
    call = _call_hash(net, *given, defense, loss, bounds, seed, *options)
    if checkpoint is not None and (state := checkpoint.load(call)) is not None:
        state_of.resume(state, checkpoint)
    resumed, before = state_of.step, state_of.seconds
    shown = [Bar(steps, resumed)] if progress else []
    start = time.perf_counter()
    for step in range(resumed + 1, steps + 1):
        source.fill(step, update.batch)
        if on_batch is not None and is_due(on_batch, step):
            on_batch(step, x[update.batch], y[update.batch])
        with shortened_products(x.device.type, tf32):
            make_step()
        state_of.step = step
        if step == steps:
            update.judge_last_update(derived_seed(seed, "last update"))
        if points is not None and (step % curve_every == 0 or step == steps):
            state_of.curve.append((step, _validation_point(net, points, update.alive)))
        if checkpoint is not None and checkpoint.due():
            state_of.seconds = before + time.perf_counter() - start
            checkpoint.save(call, state_of.state_dict())
        for tell in (*shown, *((on_step,) if on_step is not None else ())):
            tell(step)
    diverged = tuple(int(s) or None for s in update.diverged.tolist())  # waits for the device
    seconds = before + time.perf_counter() - start
    return TrainResult(diverged, seconds, tuple(state_of.curve), resumed, before)


def is_due(on_batch: Callable[[int, Tensor, Tensor], None], step: int) -> bool:
    """Return whether a callback wants the minibatch of a step: always, unless it says."""
    asked: Callable[[int], bool] = getattr(on_batch, "is_due", lambda step: True)
    return asked(step)


@dataclass
class _Progress:
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


def _call_hash(net: Network, *settings: object) -> str:
    """Hash what distinguishes one call of `train` from another: a state fits only its own."""
    shapes = [list(p.shape) for p in net.parameters()]
    return f"{derived_seed(str((shapes, *settings))):016x}"


def _checked_validation(
    net: Network, validation: tuple[Numbers, Numbers] | Loader
) -> tuple[Tensor, Tensor]:
    if isinstance(validation, DataLoader):
        validation = gathered(net, validation, None)
    if len(validation) != 2:
        raise ValueError(f"validation must be a pair (x, y), got {len(validation)} values")
    return check_batch(net, *validation, shared=True, part="validation ")


def _validation_point(
    net: Network, points: tuple[Tensor, Tensor], alive: Tensor
) -> tuple[float | None, ...]:
    accuracies = correct_of(net, *points).double().mean(dim=1).tolist()
    sound = (alive & finite_parameters(net.parameters())).tolist()
    return tuple(a if fine else None for a, fine in zip(accuracies, sound, strict=True))
