"""aRUB: class differences at the worst perturbation of the linearised network (Eq. 9).

An approximate bound: exact while x + delta stays in the linear piece of x, proven nowhere else.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.losses import class_differences, other_classes
from robust.networks.linearization import Network
from robust.norms import dual_norm


def difference_cotangents(y: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """Return c_k = e_k - e_y for the classes k != y.

    Args:
        y: labels, [B].
        num_classes: K.
        like: gives dtype and device.

    Returns:
        [B, K-1, K].
    """
    unit = torch.eye(num_classes, dtype=like.dtype, device=like.device)
    return unit[other_classes(y, num_classes)] - unit[y].unsqueeze(1)


def approximate_worst_case_differences(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    order: str,
    costs: Tensor | None = None,
) -> Tensor:
    """Return c_k'z(x) + rho ||c_k' grad z(x)||_q for the classes k != y (Eq. 9).

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: rho, [P, B], true radius >= 0.
        order: norm of the ball (l1, l2, linf); q is its dual.
        costs: of an L1 ball sum_m c_m |delta_m| <= rho, > 0, [D]: the dual norm is then
            max_m |g_m| / c_m. None is 1 for all.

    Returns:
        [P, B, K-1], classes in increasing order; differentiable in the parameters.
    """
    expansion = net.linearize(x)
    cotangents = difference_cotangents(y, net.num_classes, expansion.logits)
    gradients = expansion.pullback(cotangents.unsqueeze(0))  # [P, B, K-1, D]
    if costs is not None:
        gradients = gradients / costs
    excess = radius.unsqueeze(2) * dual_norm(gradients, order)
    return class_differences(expansion.logits, y) + excess
