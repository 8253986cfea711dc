"""Checks at the public edge of `robust`: one clear line for a user's mistake.

What can only mean one thing is taken: inputs as arrays, lists or tensors of any real type become
tensors of the network's type, labels of any integer type become int64. Everything else is refused
before any work starts.

Legend: P networks in the pack, N or B inputs, D input features, K classes.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Numbers = Tensor | NDArray[Any] | Sequence[Any]
Radius = float | Numbers

MOST_SEEDS = 2**64  # of torch's generators


class Pack(Protocol):
    """What decides which inputs fit: networks check their parameters here, so no import."""

    @property
    def num_networks(self) -> int:
        """P."""

    @property
    def num_features(self) -> int:
        """D."""

    @property
    def num_classes(self) -> int:
        """K."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Parameters, each with leading dimension P."""


def check_batch(
    net: Pack, x: Numbers, y: Numbers, *, shared: bool = False, part: str = ""
) -> tuple[Tensor, Tensor]:
    """Return inputs and labels as the network needs them; refuse what does not fit it.

    Args:
        net: P networks.
        x: [B, D], or [P, B, D] unless `shared`; a tensor on the network's device, or an array or
            lists, which are brought there; real numbers of any type, B >= 1.
        y: labels in 0..K-1, [B], of any integer type, or boolean.
        shared: all networks see the same inputs.
        part: what a message puts before x and y.

    Returns:
        x in the network's type (rounded to it where it was wider), y in int64.

    Raises:
        ValueError: another shape, type or device; no inputs; NaN or infinity in x, also after
            rounding; a label outside the range; a network that is not float32 or float64.
    """
    check_network(net)
    inputs = _inputs(net, x, shared, f"{part}x")
    return inputs, _labels(y, inputs, net.num_classes, part)


def check_fits(net: Pack, x: Tensor) -> None:
    """Refuse inputs that a network cannot be applied to as they are; values are not looked at.

    Args:
        net: P networks with D features.
        x: [B, D] or [P, B, D], of the network's type.

    Raises:
        ValueError: another shape or type.
    """
    networks, features = net.num_networks, net.num_features
    alike = x.dim() == 2 or (x.dim() == 3 and x.shape[0] in (1, networks))
    if not alike or x.shape[-1] != features:
        forms = f"(B, {features}) or ({networks}, B, {features})"
        raise ValueError(f"x must have shape {forms}, got {tuple(x.shape)}")
    own = next(iter(net.parameters()), x)
    if x.dtype != own.dtype:
        raise ValueError(f"x must be {own.dtype} as the network is, got {x.dtype}")


def check_rows(
    raw: Numbers, num_features: int, dtype: torch.dtype, *, missing: bool = False
) -> Tensor:
    """Return rows of features as a tensor, [N, D], on the CPU unless they are a tensor.

    Args:
        raw: [N, D], real numbers of any type.
        num_features: D.
        dtype: of the result.
        missing: NaN is allowed.

    Raises:
        ValueError: another shape; no numbers; infinite, or NaN where that is not allowed.
    """
    values = _real(raw, "x")
    if values.dim() != 2 or values.shape[1] != num_features:
        raise ValueError(f"x must have shape (N, {num_features}), got {tuple(values.shape)}")
    values = values.to(dtype)
    bad = torch.isinf(values) if missing else ~torch.isfinite(values)
    if bool(bad.any()):
        raise ValueError(
            f"x must be finite{' or NaN' if missing else ''} in {dtype}, "
            f"got {float(values[bad][0])} in column {int(bad.any(dim=0).nonzero()[0])}"
        )
    return values


def check_network(net: object) -> None:
    """Refuse what is no pack of networks, and say what makes one of a module of torch.nn.

    Raises:
        ValueError: it is none.
    """
    lacking = [name for name in ("num_networks", "num_features") if not hasattr(net, name)]
    if lacking:
        raise ValueError(
            f"expected a pack of networks, got {type(net).__name__}; "
            "networks.from_sequential(model) makes one of a torch.nn.Sequential"
        )


def check_parameters(parameters: Iterable[Tensor]) -> None:
    """Refuse parameters that are not finite.

    Args:
        parameters: each with leading dimension P.

    Raises:
        ValueError: NaN or infinity.
    """
    bad = sum((~own.detach().isfinite()).flatten(1).sum(dim=1) for own in parameters)
    if isinstance(bad, Tensor) and bool(bad.any()):
        raise ValueError(
            f"parameters must be finite, got {int(bad.sum())} NaN or infinite values "
            f"in network(s) {bad.nonzero().squeeze(1).tolist()} of the pack"
        )


def pack_radius(radius: Radius, num_networks: int, like: Tensor) -> Tensor:
    """Return the radius as one true radius per network, [P], checked.

    Args:
        radius: a number, or one per network, (P,); >= 0, finite in the type of `like`.
        num_networks: P.
        like: gives dtype and device.

    Raises:
        ValueError: no number; another shape; negative, NaN or infinite.
    """
    given, values = _per_network("radius", radius, num_networks, like)
    good = torch.isfinite(values) & (values >= 0)
    if not bool(good.all()):
        raise ValueError(
            f"radius must be finite in {like.dtype} and at least 0, got {_first_bad(given, good)}"
        )
    return values


def for_each_example(radius: Tensor, batch: int) -> Tensor:
    """Return a radius per network, [P], as one per example, [P, B]: a view without memory.

    This is the one form that a radius has within `robust`.
    """
    return radius.unsqueeze(1).expand(-1, batch)


def pack_rates(learning_rate: Radius, num_networks: int, like: Tensor) -> Tensor:
    """Return one learning rate per network, [P], checked.

    Args:
        learning_rate: a number, or one per network, (P,); > 0, finite.
        num_networks: P.
        like: gives dtype and device.

    Raises:
        ValueError: no number; another shape; not positive or not finite in the type of `like`.
    """
    given, values = _per_network("learning_rate", learning_rate, num_networks, like)
    good = torch.isfinite(values) & (values > 0)
    if not bool(good.all()):
        raise ValueError(
            f"learning_rate must be positive and finite in {like.dtype}, "
            f"got {_first_bad(given, good)}"
        )
    return values


def check_costs(costs: Numbers, net: Pack) -> Tensor:
    """Return what moving each feature by 1 costs, [D], in the network's type.

    Args:
        costs: > 0, (D,); infinite where a feature cannot be moved.
        net: P networks.

    Raises:
        ValueError: no numbers; another shape; NaN, zero or negative, or zero in that type.
    """
    values, like = _numbers("costs", costs), next(iter(net.parameters()))
    if tuple(values.shape) != (net.num_features,):
        raise ValueError(
            f"costs must be numbers, one per feature ({net.num_features},), "
            f"got shape {tuple(values.shape)}"
        )
    own = values.to(like.device, like.dtype)
    good = own > 0
    if not bool(good.all()):
        raise ValueError(f"costs must be > 0 in {like.dtype}, got {_first_bad(values, good)}")
    return own


def check_radii(radii: Numbers, like: Tensor) -> Tensor:
    """Return the radii of an evaluation, [R], float64 and on the CPU.

    Raises:
        ValueError: no list of numbers; none; not increasing; negative, or not finite in the type
            of `like`.
    """
    values = _numbers("radii", radii).cpu()
    increasing = values.dim() == 1 and bool((values[1:] > values[:-1]).all())
    finite = torch.isfinite(values.to(like.dtype)) & (values >= 0)
    if not (values.numel() and increasing and bool(finite.all())):
        raise ValueError(
            f"radii must be finite in {like.dtype}, at least 0 and strictly increasing, "
            f"at least one, got {values.tolist()}"
        )
    return values


def check_bounds(bounds: tuple[float, float], x: Tensor) -> tuple[float, float]:
    """Return the bounds in the type of x; refuse x outside: clipping would move it further.

    Args:
        bounds: (lo, hi); infinite where there is none.
        x: checked inputs.

    Raises:
        ValueError: no pair of numbers; lo >= hi, or NaN; an input outside.
    """
    try:
        pair = [float(bound) for bound in bounds]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: torch, of many values
        pair = []
    if len(pair) != 2:
        raise ValueError(f"bounds must be a pair of numbers (lo, hi), got {_shown(bounds)}")
    low, high = torch.tensor(pair, dtype=x.dtype).tolist()
    if not low < high:
        raise ValueError(f"bounds must satisfy lo < hi in {x.dtype}, got ({pair[0]}, {pair[1]})")
    for limit, extreme in ((low, torch.amin), (high, torch.amax)):
        if limit in (-float("inf"), float("inf")):
            continue
        value = float(extreme(x.detach()))
        if not low <= value <= high:
            raise ValueError(f"x must lie in the bounds [{low}, {high}], got {value}")
    return low, high


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ValueError: another one, or no whole number.
    """
    whole = _whole(name, value)
    if whole < least:
        raise ValueError(f"{name} must be at least {least}, got {whole}")
    return whole


def check_seed(seed: int) -> int:
    """Return a seed in 0..2^64-1.

    Raises:
        ValueError: another one, or no whole number.
    """
    whole = _whole("seed", seed)
    if not 0 <= whole < MOST_SEEDS:
        raise ValueError(f"seed must be in 0..2^64-1, got {whole}")
    return whole


def check_generator(generator: torch.Generator | None, like: Tensor) -> None:
    """Refuse a source of randomness on another device.

    Raises:
        ValueError: it is elsewhere than `like`.
    """
    if generator is not None and generator.device.type != like.device.type:
        raise ValueError(f"generator is on {generator.device}, the network on {like.device}")


def parameters_of(arrays: Sequence[Numbers]) -> list[Tensor]:
    """Return copies of arrays in the one type of a network's parameters.

    Args:
        arrays: real numbers of any type; tensors on one device.

    Returns:
        float64 if any tensor or array is, else float32, also of whole numbers, halves and lists.

    Raises:
        ValueError: no real numbers; tensors on several devices.
    """
    tensors = [_real(array, f"array {i}") for i, array in enumerate(arrays, start=1)]
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1:
        raise ValueError(f"weights and biases must be on one device, got {', '.join(devices)}")
    wide = any(
        tensor.dtype == torch.float64 and hasattr(array, "dtype")
        for tensor, array in zip(tensors, arrays, strict=True)
    )
    dtype = torch.float64 if wide else torch.float32
    return [tensor.detach().to(dtype, copy=True) for tensor in tensors]


def _inputs(net: Pack, x: Numbers, shared: bool, name: str) -> Tensor:
    values = _real(x, name)
    own = values if values.is_floating_point() else torch.empty(0)
    first = next(iter(net.parameters()), own)  # without parameters the inputs decide
    if first.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the network must be float32 or float64, got {first.dtype}")
    values = _on_device(values, x, first.device, name)
    features, networks = net.num_features, net.num_networks
    fits = values.dim() == 2 and values.shape[1] == features
    if not shared and values.dim() == 3:
        fits = values.shape[0] == networks and values.shape[2] == features
    if not fits:
        forms = f"(N, {features})" if shared else f"(B, {features}) or ({networks}, B, {features})"
        raise ValueError(f"{name} must have shape {forms}, got {tuple(values.shape)}")
    if not values.shape[-2]:
        raise ValueError(f"{name} must hold at least one input, got {tuple(values.shape)}")
    values = values.to(first.dtype)
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite in {first.dtype}, got {bad} NaN or infinite values"
        )
    return values


def _labels(y: Numbers, x: Tensor, num_classes: int, part: str) -> Tensor:
    values = _on_device(_real(y, f"{part}y", "integers"), y, x.device, f"{part}y")
    batch = x.shape[-2]
    if values.is_floating_point() or tuple(values.shape) != (batch,):
        raise ValueError(
            f"{part}y must be integers, int64 of shape ({batch},), "
            f"got {values.dtype} of shape {tuple(values.shape)}"
        )
    labels = values.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        bad = low if low < 0 else high
        if values.dtype == torch.uint64:
            bad %= 2**64
        raise ValueError(f"{part}labels must lie in 0..{num_classes - 1}, got {bad}")
    return labels


def _on_device(values: Tensor, given: Numbers, device: torch.device, name: str) -> Tensor:
    """Bring arrays to the network; a tensor's place is its owner's choice."""
    if isinstance(given, Tensor) and values.device != device:
        raise ValueError(f"{name} is on {values.device}, the network on {device}")
    return values.to(device)


def _real(given: Numbers, name: str, kind: str = "real numbers") -> Tensor:
    """Return a tensor of real numbers of whatever type."""
    if isinstance(given, Tensor):
        if given.layout != torch.strided:
            raise ValueError(f"{name} must be a dense tensor, got {given.layout}")
        if given.is_complex():
            raise ValueError(f"{name} must be {kind}, got {given.dtype}")
        return given
    try:
        array = np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name} must be a tensor or an array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be {kind}, got {array.dtype}")
    # torch knows the machine's byte order, steps forward and arrays that may be written to.
    wider = array.dtype.kind == "f" and array.dtype.itemsize > 8
    native = np.dtype(np.float64) if wider else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, dtype=native, order="C"))


def _numbers(name: str, given: Radius, form: str = "") -> Tensor:
    """Return a number or numbers as they were given, in float64."""
    if isinstance(given, int | float):
        try:
            return torch.tensor(float(given), dtype=torch.float64)
        except OverflowError:  # a whole number that float64 does not hold
            return torch.tensor(float("inf"), dtype=torch.float64)
    return _real(given, name, f"numbers{form}").double()


def _per_network(
    name: str, given: Radius, num_networks: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what was given in float64, and the same in the type of `like`, both [P]."""
    form = f" or one per network ({num_networks},)"
    values = _numbers(name, given, form)
    if values.dim() == 0:
        values = values.expand(num_networks)
    if tuple(values.shape) != (num_networks,):
        raise ValueError(f"{name} must be a number{form}, got shape {tuple(values.shape)}")
    return values, values.to(like.device, like.dtype)


def _first_bad(values: Tensor, good: Tensor) -> float:
    return float(values[~good.to(values.device)][0])


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {_shown(value)}") from None


def _shown(value: object) -> str:
    """Return a value in one short line."""
    return " ".join(repr(value).split())[:100]
