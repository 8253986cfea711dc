"""No certificate and no bound is false for networks of any size of numbers: exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from robust import certify
from robust.evaluate import CERTIFICATES, survivors
from robust.networks import CNN, MLP
from tests.robust.cnn_helpers import random_cnn
from tests.robust.helpers import random_batch, random_pack

Network = MLP | CNN
DTYPES = [torch.float32, torch.float64]
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

# Magnitudes at which products of two or three overflow, vanish, or stay.
SIZES = {
    torch.float32: [1e-38, 1e-20, 1.0, 1e8, 1e19, 1e30, 3e38],
    torch.float64: [1e-300, 1e-150, 1.0, 1e100, 1e150, 1e300],
}


@st.composite
def wild(draw: st.DrawFn) -> tuple[Network, Tensor, Tensor, float]:
    """A small network with layers of wild sizes, inputs and a radius of wild size."""
    dtype = draw(st.sampled_from(DTYPES))
    seed = draw(st.integers(0, 2**16))
    if draw(st.booleans()):
        hidden = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
        net: Network = random_pack((2, *hidden, 3), 1, seed)
    else:
        net = random_cnn(1, (2, 2, 1), (2,), (1,), (), classes=3, seed=seed)
    sizes = st.sampled_from(SIZES[dtype])
    limit = torch.finfo(dtype).max
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(draw(sizes)).clamp_(-limit, limit)
    x, _ = random_batch(2, net.num_features, 3, seed)
    x = (x * draw(sizes)).clamp(-limit, limit)
    net = net.to(dtype)
    x = x.to(dtype)
    radius = min(draw(st.sampled_from([0.0, 1e-3, 1.0])) * draw(sizes), limit)
    y = net.double()(x.double())[0].nan_to_num().argmax(dim=1)
    return net.to(dtype), x, y, float(torch.tensor(radius, dtype=dtype))


def exact_logits(net: Network, point: Sequence[Fraction]) -> list[Fraction]:
    """The network in exact arithmetic, by loops over units."""
    h = list(point)
    for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        w, b = weight.detach().double()[0], bias.detach().double()[0]
        if w.dim() == 4:  # a 1 x 1 convolution, then the largest of the 2 x 2 pixels of each map
            rows = [[Fraction(float(v)) for v in row] for row in w[0, 0]]
            maps = range(w.shape[-1])
            pixels = [[h[i] * rows[0][m] + Fraction(float(b[m])) for i in range(4)] for m in maps]
            h = [max(Fraction(0), *own) for own in pixels]
            continue
        z = []
        for k in range(w.shape[1]):
            terms = [h[i] * Fraction(float(w[i, k])) for i in range(w.shape[0])]
            z.append(sum(terms, Fraction(float(b[k]))))
        h = z if layer == len(net.weights) - 1 else [max(Fraction(0), v) for v in z]
    return h


def points(x: Tensor, radius: float) -> list[list[Fraction]]:
    """The input and all vertices of its ball, exactly."""
    centre, step = [Fraction(float(v)) for v in x], Fraction(radius)
    found = [centre]
    for m in range(len(centre)):
        for sign in (1, -1):
            found.append([v + sign * step * (i == m) for i, v in enumerate(centre)])
    return found


@EXAMPLES
@given(wild())
def test_wild_networks_get_no_false_certificate_and_no_false_bound(
    case: tuple[Network, Tensor, Tensor, float],
) -> None:
    net, x, y, radius = case
    tight = isinstance(net, MLP)
    bounds = [certify.worst_case_differences(net, x, y, radius, outward=True).detach()]
    claims = [certify.certified(net, x, y, radius)]
    if tight:
        claims.append(certify.certified_tight(net, x, y, radius))
        assert (claims[1] | ~claims[0]).all()
    own = certify.certified_radius(net, x, y)
    assert own.isfinite().all() and (own >= 0).all()
    radii = torch.tensor([0.0, radius] if radius else [0.0], dtype=torch.float64)
    names = [*CERTIFICATES] if tight else [*CERTIFICATES][:1]
    kept = [survivors(net, x, y, attack=name, radii=radii)[:, -1] for name in names]
    for b, label in enumerate(y.tolist()):
        reach = [(radius, claims + kept), (float(own[0, b]), [own > 0])]
        for at, held in reach:
            if not any(bool(h[0, b]) for h in held) and at != radius:
                continue
            logits = [exact_logits(net, point) for point in points(x[b], at)]
            worst = [max(z[k] - z[label] for z in logits) for k in range(3)]
            if any(bool(h[0, b]) for h in held):
                assert all(worst[k] < 0 for k in range(3) if k != label)
            if at == radius:
                for k in range(3):
                    value = float(bounds[0][0, b, k])
                    assert math.isinf(value) and value > 0 or Fraction(value) >= worst[k]
