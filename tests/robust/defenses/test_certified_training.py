"""IBP, CROWN-IBP, SABR, MTL-IBP and TRADES against plain references, and their limit cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robust import defenses
from robust.defenses.trades import TRADES, divergence
from robust.norms import sample_unit_ball
from tests.robust import reference
from tests.robust.helpers import random_batch, random_pack
from tests.robust.interval import crown_ibp_bound, interval_bound

SIZES = {"one hidden layer": (4, 6, 3), "three hidden layers": (3, 6, 5, 5, 4)}
RADII = (0.05, 0.4)
Parts = tuple[list[Tensor], list[Tensor]]
Bound = Callable[[list[Tensor], list[Tensor], Tensor, int, int, float], Tensor]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(17)


def logits(parts: Parts, x: Tensor) -> Tensor:
    return torch.stack([reference.pre_activations(*parts, point)[-1] for point in x])


def bounds_loss(parts: Parts, x: Tensor, y: Tensor, radius: float, bound: Bound) -> Tensor:
    """The mean cross-entropy of bounds, example by example and class by class."""
    losses = []
    for point, label in zip(x, y.tolist(), strict=True):
        every = [bound(*parts, point, label, k, radius) for k in range(parts[0][-1].shape[1])]
        losses.append(torch.logsumexp(torch.stack(every), dim=0))  # 0 for the own class
    return torch.stack(losses).mean()


def mixed(parts: Parts, x: Tensor, y: int, k: int, radius: float, beta: float) -> Tensor:
    if k == y:
        return x.new_zeros(())
    interval = interval_bound(*parts, x, y, k, radius)
    return (1 - beta) * interval + beta * crown_ibp_bound(*parts, x, y, k, radius)


def ascent(
    parts: Parts,
    x: Tensor,
    first: Tensor,
    radius: float,
    steps: int,
    size: float,
    loss: Callable[[Tensor], Tensor],
) -> Tensor:
    """Steps along the sign of the gradient, clipped to the Linf ball, by autograd."""
    at = first
    for _ in range(steps):
        at = at.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(logits(parts, at)), at)
        moved = at.detach() + size * slope.sign()
        at = torch.minimum(torch.maximum(moved, x - radius), x + radius)
    return at.detach()


def attacked(parts: Parts, x: Tensor, y: Tensor, radius: float, steps: int, size: float) -> Tensor:
    start = x + radius * sample_unit_ball(tuple(x.shape), "linf", x, seeded())
    loss = lambda z: functional.cross_entropy(z, y, reduction="sum")  # noqa: E731
    return ascent(parts, x, start, radius, steps, size * radius, loss)


def ibp(parts: Parts, x: Tensor, y: Tensor, radius: float) -> Tensor:
    clean = functional.cross_entropy(logits(parts, x), y)
    return 0.3 * clean + 0.7 * bounds_loss(parts, x, y, radius, interval_bound)


def crown_ibp(parts: Parts, x: Tensor, y: Tensor, radius: float) -> Tensor:
    clean = functional.cross_entropy(logits(parts, x), y)
    bound: Bound = lambda w, b, *rest: mixed((w, b), *rest, beta=0.6)  # noqa: E731
    return 0.2 * clean + 0.8 * bounds_loss(parts, x, y, radius, bound)


def sabr(parts: Parts, x: Tensor, y: Tensor, radius: float) -> Tensor:
    centre = attacked(parts, x, y, 0.7 * radius, 4, 0.5)
    return bounds_loss(parts, centre, y, 0.3 * radius, interval_bound)


def mtl_ibp(parts: Parts, x: Tensor, y: Tensor, radius: float) -> Tensor:
    adversarial = functional.cross_entropy(logits(parts, attacked(parts, x, y, radius, 2, 0.6)), y)
    return 0.75 * adversarial + 0.25 * bounds_loss(parts, x, y, radius, interval_bound)


def trades(parts: Parts, x: Tensor, y: Tensor, radius: float) -> Tensor:
    clean = logits(parts, x)
    wanted = clean.detach().softmax(dim=1)

    def divergence(z: Tensor, target: Tensor) -> Tensor:
        return functional.kl_div(z.log_softmax(dim=1), target, reduction="sum")

    start = x + 0.001 * torch.randn(x.shape, generator=seeded(), dtype=x.dtype)
    at = ascent(parts, x, start, radius, 5, 0.3 * radius, lambda z: divergence(z, wanted))
    apart = divergence(logits(parts, at), clean.softmax(dim=1)) / len(x)
    return functional.cross_entropy(clean, y) + 2 * apart


REFERENCES = {
    "ibp-linf(kappa=0.3)": ibp,
    "crown-ibp-linf(kappa=0.2,beta=0.6)": crown_ibp,
    "sabr-linf(box=0.3,num_steps=4)": sabr,
    "mtl-ibp-linf(alpha=0.25,num_steps=2,step_size=0.6)": mtl_ibp,
    "trades-linf(beta=2,num_steps=5,step_size=0.3)": trades,
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("defense", REFERENCES)
def test_loss_and_gradient_equal_the_plain_reference(defense: str, sizes: tuple[int, ...]) -> None:
    net = random_pack(sizes, networks=2, seed=len(sizes))
    x, y = random_batch(4, sizes[0], sizes[-1], seed=len(sizes))
    radii = torch.tensor(RADII, dtype=torch.float64)
    ours = defenses.get(defense).loss(net, x, y, radii, seeded())
    theirs = torch.stack(
        [REFERENCES[defense](reference.unpack(net, p), x, y, r) for p, r in enumerate(RADII)]
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(net.parameters())
    got = torch.autograd.grad(ours.sum(), parameters)
    expected = torch.autograd.grad(theirs.sum(), parameters)
    for mine, other in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-11)


EQUAL = {
    "trades-linf(beta=0)": "nominal",
    "ibp-linf(kappa=1)": "nominal",
    "crown-ibp-linf(kappa=1)": "nominal",
    "crown-ibp-linf": "ibp-linf(kappa=0)",
    "sabr-linf(box=1)": "ibp-linf(kappa=0)",
    "mtl-ibp-linf(alpha=1)": "ibp-linf(kappa=0)",
    "mtl-ibp-linf(alpha=0,step_size=1.25)": "fgsm-linf",
    "sabr-linf(box=0,num_steps=1,step_size=1.25)": "fgsm-linf",
}


@pytest.mark.parametrize("one", EQUAL)
def test_limit_case_equals_the_other_defense(one: str) -> None:
    net = random_pack((5, 8, 7, 4), networks=2, seed=3)
    x, y = random_batch(6, 5, 4, seed=3)
    radii = torch.tensor(RADII, dtype=torch.float64)
    mine, theirs = (defenses.get(d).loss(net, x, y, radii, seeded()) for d in (one, EQUAL[one]))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_loss_of_bounds_is_at_least_the_loss_anywhere_in_the_ball() -> None:
    net = random_pack((4, 9, 8, 3), networks=2, seed=6)
    x, y = random_batch(5, 4, 3, seed=6)
    generator = seeded()
    for defense in ("ibp-linf(kappa=0)", "crown-ibp-linf(beta=1)"):
        bound = defenses.get(defense).loss(net, x, y, 0.3)
        for _ in range(50):
            at = x + 0.3 * sample_unit_ball(tuple(x.shape), "linf", x, generator)
            assert (defenses.get("nominal").loss(net, at, y, 0.0) <= bound).all()


def test_divergent_inputs_stay_in_ball_and_bounds() -> None:
    net = random_pack((4, 9, 3), networks=2, seed=6)
    x, _ = random_batch(5, 4, 3, seed=6)
    x = x.clamp(-0.2, 0.3)
    method = replace(defenses.get("trades-linf"), bounds=(-0.2, 0.3))
    assert isinstance(method, TRADES)
    radius = torch.full((2, 5), 0.15, dtype=torch.float64)
    found = method.divergent_inputs(net, x, net(x), radius, seeded())
    assert found.min() >= -0.2
    assert found.max() <= 0.3
    assert ((found - x).abs() <= 0.15 + 1e-15).all()


def test_divergence_is_that_of_torch_and_finite_where_softmax_saturates() -> None:
    z = torch.tensor([[[1.0, 2.0, -1.0], [500.0, 0.0, -500.0]]])
    other = torch.tensor([[[0.0, 2.5, 1.0], [-500.0, 0.0, 500.0]]])
    wanted = functional.kl_div(
        other.log_softmax(2), z.log_softmax(2), reduction="none", log_target=True
    ).sum(dim=2)
    torch.testing.assert_close(divergence(z, other), wanted)
    assert torch.isfinite(divergence(z, other)).all()


BAD = {
    "trades-linf(beta=-1)": "beta=-1",
    "trades-linf(num_steps=0)": "num_steps=0 must be at least 1",
    "trades-linf(step_size=0)": "step_size=0.0 must be > 0",
    "ibp-linf(kappa=1.5)": r"kappa=1.5 must be in \[0, 1\]",
    "ibp-linf(kappa=nan)": "kappa=nan must be in",
    "ibp-linf(warmup=0.9,ramp=0.2)": "warmup=0.9 and ramp=0.2 must be at most 1 together",
    "crown-ibp-linf(beta=-0.1)": "beta=-0.1 must be in",
    "sabr-linf(box=2)": "box=2.0 must be in",
    "sabr-linf(num_steps=0)": "num_steps=0 must be at least 1",
    "mtl-ibp-linf(alpha=-1)": "alpha=-1.0 must be in",
    "mtl-ibp-linf(step_size=inf)": "step_size=inf must be > 0 and finite",
}


@pytest.mark.parametrize("defense", BAD)
def test_wrong_hyperparameter_is_refused_in_one_line(defense: str) -> None:
    with pytest.raises(ValueError, match=BAD[defense]) as error:
        defenses.get(defense)
    assert "\n" not in str(error.value)
