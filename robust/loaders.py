"""Data of a torch.utils.data.DataLoader, as rows of a network.

Legend: B inputs of one batch of the loader, N all of them, D input features, H W C image height,
width and channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from robust.checks import Numbers, Pack, check_batch, check_network

Loader: TypeAlias = DataLoader[Any]


def batches(net: Pack, loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of a loader as the network needs it, on the network's device.

    Images, [B, C, H, W], become rows: in the order (H, W, C) for a network that takes images so,
    in torch's own order for others.

    Args:
        net: P networks.
        loader: yields pairs (inputs, labels): [B, D] or [B, C, H, W], and [B].

    Yields:
        Checked inputs, [B, D], and labels, [B].

    Raises:
        ValueError: no pairs; what `robust.checks.check_batch` refuses.
    """
    check_network(net)
    device = next(iter(net.parameters())).device
    for number, pair in enumerate(loader):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(
                f"the DataLoader must yield pairs (inputs, labels), got {type(pair).__name__} "
                f"as batch {number}"
            )
        x, y = (torch.as_tensor(part) for part in pair)
        x = _rows(net, x).to(device)
        yield check_batch(net, x, y.to(device), shared=True, part=f"batch {number}: ")


def gathered(net: Pack, x: Numbers | Loader, y: Numbers | None) -> tuple[Numbers, Numbers]:
    """Return inputs and labels, those of a loader read once, [N, D] and [N].

    Args:
        net: P networks.
        x: inputs, or a loader of inputs and labels.
        y: labels; None with a loader.

    Raises:
        ValueError: labels beside a loader, none beside inputs; a loader that yields nothing, or
            what `batches` refuses.
    """
    if not isinstance(x, DataLoader):
        if y is None:
            raise ValueError("y is missing: labels are needed beside inputs")
        return x, y
    if y is not None:
        raise ValueError("y must be left out: a DataLoader yields the labels")
    parts = list(batches(net, x))
    if not parts:
        raise ValueError("the DataLoader yields nothing")
    return torch.cat([own for own, _ in parts]), torch.cat([own for _, own in parts])


def moved(net: Pack, device: str | torch.device, *values: Any) -> list[Any]:
    """Move a network to a device in place, and return the tensors among some values there.

    Raises:
        ValueError: there is no such device, or `net` is no pack.
    """
    check_network(net)
    assert isinstance(net, nn.Module)
    try:
        net.to(device)
    except (RuntimeError, AssertionError) as error:  # a name of none, or torch built without it
        raise ValueError(f"device={device}: {str(error).splitlines()[0]}") from None
    return [value.to(device) if isinstance(value, Tensor) else value for value in values]


def _rows(net: Pack, x: Tensor) -> Tensor:
    """Flatten images, [B, C, H, W] -> [B, D]; other inputs stay."""
    if x.dim() != 4:
        return x
    shape = getattr(net, "input_shape", None)
    channels, height, width = x.shape[1:]
    if shape is not None and tuple(shape) == (height, width, channels):
        x = x.permute(0, 2, 3, 1)
    return x.flatten(1)
