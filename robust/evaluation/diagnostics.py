"""Signs that an accuracy under attack is worth little.

Legend: P networks in the pack, N examples, R radii, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.evaluation.clean import correct_of
from robust.networks.linearization import Network, loss_gradient
from robust.norms import EPS, norm

SIGMAS = 3.0  # a difference beyond this many standard deviations is no sampling noise
ROWS = 2**12


@torch.no_grad()
def constant_prediction(net: Network, x: Tensor) -> Tensor:
    """Return which networks give every example the same class, [P], boolean."""
    said = torch.cat([net(x[i : i + ROWS]).argmax(dim=2) for i in range(0, len(x), ROWS)], dim=1)
    return (said == said[:, :1]).all(dim=1).cpu()


def share_without_gradient(net: Network, x: Tensor, y: Tensor) -> Tensor:
    """Return among how many correctly classified examples the attacks see no gradient, [P].

    None means ||grad_x CE||_2 below foolbox's guard of 1e-12, beneath which its normalised steps
    shrink: saturated softmax or dead units; or a norm that is NaN or infinite, which gives no
    step at all. 0 where nothing is classified correctly.
    """
    cuts = [slice(i, i + ROWS) for i in range(0, len(x), ROWS)]
    blind = torch.cat([_without_gradient(net, x[at], y[at]) for at in cuts], dim=1)
    right = correct_of(net, x, y)
    return ((blind & right).sum(dim=1) / right.sum(dim=1).clamp_min(1)).cpu()


def _without_gradient(net: Network, x: Tensor, y: Tensor) -> Tensor:
    _, gradient, scale = loss_gradient(net, y)(x)
    length = norm(gradient, "l2")
    return ~((length >= EPS * scale.squeeze(2)) & length.isfinite())


def more_survive(kept: Tensor, others: Tensor) -> Tensor:
    """Return whether significantly more examples survive one attack than another, [...].

    Both attacks see the same examples, so only those count on which they disagree (McNemar):
    b - c > 3 sqrt(b + c), with b surviving the first alone and c the second alone.

    Args:
        kept: survivors of the first, [..., N], boolean.
        others: survivors of the second, [..., N].
    """
    b = (kept & ~others).sum(dim=-1).double()
    c = (others & ~kept).sum(dim=-1).double()
    return b - c > SIGMAS * (b + c).sqrt()
