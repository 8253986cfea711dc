"""Checks at the public edge of `robust`: one clear line for a user's mistake.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

Radius = float | Tensor


def check_inputs(x: Tensor, num_networks: int, num_features: int) -> None:
    """Refuse inputs of the wrong shape or with values that are not finite.

    Args:
        x: [B, D] or [P, B, D].
        num_networks: P.
        num_features: D.

    Raises:
        ValueError: another shape; NaN or infinity in x.
    """
    shared = x.dim() == 2 and x.shape[1] == num_features
    own = x.dim() == 3 and x.shape[0] == num_networks and x.shape[2] == num_features
    if not (shared or own):
        raise ValueError(
            f"x must have shape (B, {num_features}) or ({num_networks}, B, {num_features}), "
            f"got {tuple(x.shape)}"
        )
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"x must be finite, got {bad} NaN or infinite values")


def check_labels(y: Tensor, batch: int, num_classes: int) -> None:
    """Refuse labels that are not int64 of shape (B,) in 0..K-1.

    Raises:
        ValueError: another shape or dtype, or a label outside the range.
    """
    if y.dtype != torch.int64 or tuple(y.shape) != (batch,):
        raise ValueError(
            f"y must be int64 of shape ({batch},), got {y.dtype} of shape {tuple(y.shape)}"
        )
    if batch and (int(y.min()) < 0 or int(y.max()) >= num_classes):
        raise ValueError(
            f"labels must lie in 0..{num_classes - 1}, got {int(y.min())}..{int(y.max())}"
        )


def check_floating(parameters: Iterable[Tensor]) -> None:
    """Refuse parameters that are not floating-point numbers of one precision.

    Raises:
        ValueError: whole numbers; several precisions.
    """
    kinds = sorted({parameter.dtype for parameter in parameters}, key=str)
    if len(kinds) > 1 or not all(kind.is_floating_point for kind in kinds):
        found = ", ".join(map(str, kinds))
        raise ValueError(f"parameters must be floating-point of one precision, got {found}")


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
        radius: a number, or a tensor of shape () or (P,); >= 0, finite.
        num_networks: P.
        like: gives dtype and device.

    Raises:
        ValueError: another shape; negative, NaN or infinite.
    """
    values = torch.as_tensor(radius, dtype=like.dtype, device=like.device)
    if values.dim() == 0:
        values = values.expand(num_networks)
    if tuple(values.shape) != (num_networks,):
        raise ValueError(
            f"radius must be a number or one per network ({num_networks},), "
            f"got shape {tuple(values.shape)}"
        )
    if not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise ValueError(f"radius must be finite and at least 0, got {values.tolist()}")
    return values


def check_bounds(bounds: tuple[float, float]) -> None:
    """Refuse input bounds that leave nothing between them.

    Raises:
        ValueError: lo >= hi, or NaN.
    """
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds must satisfy lo < hi, got ({low}, {high})")
