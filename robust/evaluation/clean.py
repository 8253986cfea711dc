"""Which examples a pack classifies correctly, without any attack.

Among equal logits the first class counts as given; logits that are not numbers give none and
count as errors.

Legend: P networks in the pack, N examples, D input features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.attacks.margins import is_correct
from robust.checks import Numbers, check_batch, check_count
from robust.networks.linearization import Network

# Inputs (networks x examples) of a forward pass: 1.6 GB of a convolutional network's activations.
FORWARD_ROWS = {"cpu": 2**13, "cuda": 2**15}


def correct(net: Network, x: Numbers, y: Numbers, chunk: int | None = None) -> Tensor:
    """Return which examples each network classifies correctly, [P, N], boolean.

    Args:
        net: P networks.
        x: inputs, [N, D], N >= 1, of any real type; taken to the network's.
        y: labels, [N], of any integer type.
        chunk: networks x examples computed at once; None chooses by device.

    Raises:
        ValueError: no inputs; inputs that are not finite; shapes, types or devices that do not
            fit; labels out of range.
    """
    chunk = None if chunk is None else check_count("chunk", chunk)
    return correct_of(net, *check_batch(net, x, y, shared=True), chunk)


@torch.no_grad()
def correct_of(net: Network, x: Tensor, y: Tensor, chunk: int | None = None) -> Tensor:
    """Return `correct` of inputs that are checked already."""
    rows = chunk or FORWARD_ROWS.get(x.device.type, FORWARD_ROWS["cpu"])
    size = max(1, rows // net.num_networks)
    parts = [
        is_correct(net(x[at]), y[at])
        for at in (slice(i, i + size) for i in range(0, x.shape[0], size))
    ]
    return torch.cat(parts, dim=1)
