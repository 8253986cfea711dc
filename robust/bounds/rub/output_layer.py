"""The last layer as the bounds need it: differences of logits, seen from each example.

Legend: P networks in the pack, B batch, H units before the last layer, K classes, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robust.losses import other_classes
from robust.rows import select_rows


@dataclass(frozen=True)
class OutputLayer:
    """The last layer seen from each example: c_k'W_L and c_k'b_L for the classes k != y.

    Attributes:
        weight: [P, B, K-1, H].
        bias: [P, B, K-1].
    """

    weight: Tensor
    bias: Tensor

    def slice(self, networks: slice, examples: slice) -> OutputLayer:
        """The same for some networks and examples."""
        return OutputLayer(self.weight[networks, examples], self.bias[networks, examples])


def output_layer(net: Any, y: Tensor) -> OutputLayer:
    """Return c_k'W_L and c_k'b_L with c_k = e_k - e_y for every example.

    Args:
        net: P networks with `weights` and `biases`, the last ones [P, H, K] and [P, K].
        y: labels, [B].
    """
    rows, bias = net.weights[-1].mT.contiguous(), net.biases[-1]
    others = other_classes(y, rows.shape[1])
    theirs = select_rows(rows, others.flatten(), 1).view(len(rows), *others.shape, rows.shape[2])
    return OutputLayer(
        theirs - select_rows(rows, y, 1).unsqueeze(2),
        bias[:, others] - bias[:, y].unsqueeze(2),
    )
