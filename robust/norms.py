"""Norm balls: dual norms, radial rescaling, uniform sampling.

Shapes: [..., D] throughout, D input features (the paper's M); every function treats the last
dimension as the vector and the others as batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor

Norm = Literal["l1", "l2", "linf"]

ORDERS: Final[dict[str, float]] = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}
DUAL: Final[dict[str, Norm]] = {"l1": "linf", "l2": "l2", "linf": "l1"}  # 1/p + 1/q = 1
EPS: Final = 1e-12  # foolbox's guard against division by a zero norm


def norm(v: Tensor, order: str) -> Tensor:
    """Return ||v||_p over the last dimension.

    Args:
        v: vectors, [..., D].
        order: l1, l2 or linf.

    Returns:
        [...]. The gradient at v = 0 is 0 for every order.

    Raises:
        ValueError: the order is unknown.
    """
    _order(order)
    return _LENGTHS[order](v)


def dual_norm(v: Tensor, order: str) -> Tensor:
    """Return ||v||_q with 1/p + 1/q = 1: the largest v'd over ||d||_p <= 1 (Eq. 23)."""
    _order(order)
    return norm(v, DUAL[order])


def steepest(g: Tensor, order: str, scale: Tensor) -> Tensor:
    """Scale a gradient as foolbox does: sign(g) for linf, g / max(||g||_p, 1e-12) otherwise.

    Args:
        g: the gradient times `scale`, [..., D].
        order: l1, l2 or linf.
        scale: > 0, [..., 1].
    """
    if _order(order) == float("inf"):
        return g.sign()
    return g / norm(g, order).unsqueeze(-1).clamp_min(EPS * scale)


def shrink_to_ball(
    v: Tensor, order: str, radius: Tensor, measured: Tensor | None = None
) -> Tensor:
    """Bring v into the ball as foolbox does: clamping for linf, radial rescaling otherwise.

    For l1 this is not the Euclidean projection: argmin ||w - v||_2 lies elsewhere.

    Args:
        v: vectors, [..., D].
        order: l1, l2 or linf.
        radius: broadcastable to [...].
        measured: whose norm is that of v in the ball, [..., D]; None: v itself. For l1 and l2.

    Returns:
        [..., D], of norm at most `radius`.
    """
    limit = radius.unsqueeze(-1)
    if _order(order) == float("inf"):
        return torch.clamp(v, -limit, limit)
    length = norm(v if measured is None else measured, order).clamp_min(EPS).unsqueeze(-1)
    return v * (limit / length).clamp_max(1.0)


def step_costs(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 / c and c of the L1 ball sum_m c_m |delta_m| <= rho, both 0 where c is infinite.

    Args:
        costs: > 0, [D]; infinite where a feature stays.
    """
    stays = costs.isinf()
    return costs.reciprocal().masked_fill(stays, 0), costs.masked_fill(stays, 0)


def rounded_inwards(point: Tensor, centre: Tensor, delta: Tensor, costs: Tensor) -> Tensor:
    """Return centre + delta, rounded so that no dear feature moves further than delta says.

    Rounding a step of a feature can double it where the step is near the distance of two numbers,
    which for a feature whose cost is large is much of the ball. Features of cost 1 stay as they
    were rounded; those of infinite cost are the centre's, bit for bit.

    Args:
        point: centre + delta as it was rounded, clipped or not, [..., D].
        centre, delta: [..., D].
        costs: > 0, [D].
    """
    beyond = (costs > 1) & ((point - centre).abs() > delta.abs())
    point = torch.where(beyond, torch.nextafter(point, centre), point)
    return torch.where(costs.isinf(), centre, point)


def sample_unit_ball(
    shape: tuple[int, ...], order: str, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Draw points uniformly from the unit ball.

    Args:
        shape: (..., D).
        order: l1, l2 or linf.
        like: gives dtype and device.
        generator: source of randomness, on the device of `like`; None is torch's global one.

    Returns:
        Tensor of that shape.
    """
    _order(order)
    return _SAMPLERS[order](shape, like, generator)


def _differentiated(v: Tensor) -> bool:
    return torch.is_grad_enabled() and v.requires_grad


# torch's vector_norm is several times slower on a CPU for l1 and linf, and for l2 where the
# vectors do not lie in memory number after number (`python -m benchmarks.norms`).
def _length_l1(v: Tensor) -> Tensor:
    return v.abs().sum(dim=-1)


def _length_l2(v: Tensor) -> Tensor:
    if v.stride(-1) == 1 or _differentiated(v):  # the square root has no gradient at 0
        length: Tensor = torch.linalg.vector_norm(v, dim=-1)
        return length
    return v.square().sum(dim=-1).sqrt_()


def _length_linf(v: Tensor) -> Tensor:
    if not _differentiated(v):
        return v.abs().amax(dim=-1)
    # One scatter goes back through this; amax would compare, count ties and divide.
    largest = v.detach().abs().argmax(dim=-1, keepdim=True)
    return v.gather(-1, largest).squeeze(-1).abs()


_LENGTHS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "l1": _length_l1,
    "l2": _length_l2,
    "linf": _length_linf,
}


def _order(order: str) -> float:
    if order not in ORDERS:
        raise ValueError(f"unknown norm {order!r}; known: {', '.join(ORDERS)}")
    return ORDERS[order]


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)


def _sample_linf(shape: tuple[int, ...], like: Tensor, g: torch.Generator | None) -> Tensor:
    return _uniform(shape, like, g) * 2 - 1


def _sample_l2(shape: tuple[int, ...], like: Tensor, g: torch.Generator | None) -> Tensor:
    # D of the D + 2 coordinates of a uniform point on the sphere are uniform in the ball
    # (Voelker, Gosmann, Stewart 2017).
    wide = (*shape[:-1], shape[-1] + 2)
    normal = torch.randn(wide, generator=g, dtype=like.dtype, device=like.device)
    return (normal / norm(normal, "l2").unsqueeze(-1))[..., : shape[-1]]


def _sample_l1(shape: tuple[int, ...], like: Tensor, g: torch.Generator | None) -> Tensor:
    # Gaps between D sorted uniforms are uniform on the corner {v >= 0, sum v <= 1};
    # random signs spread it over the ball.
    ordered = _uniform(shape, like, g).sort(dim=-1).values
    gaps = torch.diff(ordered, dim=-1, prepend=ordered.new_zeros((*shape[:-1], 1)))
    signs = (_uniform(shape, like, g) < 0.5).to(like.dtype) * 2 - 1
    return gaps * signs


_SAMPLERS: Final[
    dict[str, Callable[[tuple[int, ...], Tensor, torch.Generator | None], Tensor]]
] = {"linf": _sample_linf, "l2": _sample_l2, "l1": _sample_l1}
