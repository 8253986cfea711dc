"""What every registered defense promises; a new one is tested by being registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robust import defenses
from robust.checks import for_each_example
from robust.defenses.adversarial import AdversarialTraining
from robust.losses import LOSSES, class_differences
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, NETWORKS, BATCH = 5, 4, 3, 6
SIZES = (FEATURES, 8, 7, CLASSES)
RADII = (0.0, 0.3, 1.1)


@pytest.fixture(params=defenses.names())
def defense(request: pytest.FixtureRequest) -> defenses.Defense:
    return defenses.get(request.param)


@pytest.fixture
def pack() -> MLP:
    return random_pack(SIZES, NETWORKS, seed=2)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return random_batch(BATCH, FEATURES, CLASSES, seed=2)


def radii(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(RADII, dtype=dtype)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def nominal_losses(net: MLP, x: Tensor, y: Tensor, loss: str = "cross-entropy") -> Tensor:
    return LOSSES.get(loss)(class_differences(net(x), y)).mean(dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_has_one_value_per_network(defense: defenses.Defense, dtype: torch.dtype) -> None:
    net = random_pack(SIZES, NETWORKS, dtype=dtype)
    x, y = random_batch(BATCH, FEATURES, CLASSES, dtype=dtype)
    loss = defense.loss(net, x, y, radii(dtype), seeded())
    assert loss.shape == (NETWORKS,)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()


def test_loss_of_a_network_does_not_depend_on_its_pack(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    together = defense.loss(pack, *batch, radii(), seeded())
    for p, radius in enumerate(RADII):
        alone = defense.loss(pack.subset([p]), *batch, radius, seeded())
        torch.testing.assert_close(alone[0], together[p], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES.names())
def test_loss_equals_nominal_at_radius_zero(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor], loss: str
) -> None:
    chosen = replace(defense, loss_function=LOSSES.get(loss))
    ours = chosen.loss(pack, *batch, 0.0, seeded())
    torch.testing.assert_close(ours, nominal_losses(pack, *batch, loss), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES.names())
def test_loss_and_gradient_are_finite_at_the_largest_radius(
    defense: defenses.Defense, dtype: torch.dtype, loss: str
) -> None:
    features = 36
    net = random_pack((features, 30, 30, CLASSES), 2, dtype=dtype)
    x, y = random_batch(BATCH, features, CLASSES, dtype=dtype)
    chosen = replace(defense, loss_function=LOSSES.get(loss))
    value = chosen.loss(net, x, y, 10 * features**0.5, seeded())
    gradients = torch.autograd.grad(value.sum(), list(net.parameters()))
    assert torch.isfinite(value).all()
    assert all(torch.isfinite(g).all() for g in gradients)


def moved(parameter: Tensor, values: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    """The sum of losses with other values of a parameter; a loss may take its own gradients."""
    with torch.no_grad():
        parameter.copy_(values)
    return loss().sum().detach()


@pytest.mark.parametrize("loss", LOSSES.names())
def test_gradient_equals_finite_differences(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor], loss: str
) -> None:
    chosen = replace(defense, loss_function=LOSSES.get(loss))
    x, y = batch
    if isinstance(defense, AdversarialTraining):
        # The adversarial inputs are held constant, so only the loss at them is differentiated.
        fixed = defense.adversarial_inputs(pack, x, y, for_each_example(radii(), len(y)), seeded())

        def value() -> Tensor:
            return nominal_losses(pack, fixed, y, loss)
    else:

        def value() -> Tensor:
            return chosen.loss(pack, x, y, radii(), seeded())

    parameters = list(pack.parameters())
    total = chosen.loss(pack, x, y, radii(), seeded())
    torch.testing.assert_close(total, value())
    gradients = torch.autograd.grad(total.sum(), parameters)
    step = 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        generator = torch.Generator().manual_seed(parameter.numel())
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        start = parameter.detach().clone()
        ahead, behind = (moved(parameter, start + d * direction, value) for d in (step, -step))
        moved(parameter, start, value)
        slope = (ahead - behind) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-7)


def test_loss_is_the_same_where_gradients_are_off(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    expected = defense.loss(pack, *batch, radii(), seeded())
    with torch.no_grad():
        found = defense.loss(pack, *batch, radii(), seeded())
    assert not found.requires_grad
    assert torch.equal(found, expected.detach())


def test_loss_is_the_same_for_the_same_generator(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    first = defense.loss(pack, *batch, radii(), seeded())
    assert torch.equal(first, defense.loss(pack, *batch, radii(), seeded()))


BAD_INPUTS = {
    "x not finite": (
        lambda x, y: (x.index_fill(0, torch.tensor(1), float("nan")), y, 0.1),
        "finite",
    ),
    "x infinite": (
        lambda x, y: (x.index_fill(0, torch.tensor(0), float("inf")), y, 0.1),
        "finite",
    ),
    "x too wide": (lambda x, y: (torch.cat([x, x], dim=1), y, 0.1), "x must have shape"),
    "label too large": (lambda x, y: (x, y.clone().fill_(CLASSES), 0.1), "labels must lie"),
    "label negative": (lambda x, y: (x, y.clone().fill_(-1), 0.1), "labels must lie"),
    "labels not integers": (lambda x, y: (x, y.double(), 0.1), "int64"),
    "too few labels": (lambda x, y: (x, y[1:], 0.1), "int64 of shape"),
    "negative radius": (lambda x, y: (x, y, -0.1), "at least 0, got .*-0.1"),
    "radius not finite": (lambda x, y: (x, y, float("nan")), "finite"),
    "one radius too few": (lambda x, y: (x, y, torch.ones(NETWORKS - 1)), "one per network"),
}


@pytest.mark.parametrize("mistake", BAD_INPUTS)
def test_bad_input_is_refused_in_one_line(
    defense: defenses.Defense, pack: MLP, batch: tuple[Tensor, Tensor], mistake: str
) -> None:
    spoil, message = BAD_INPUTS[mistake]
    with pytest.raises(ValueError, match=message) as error:
        defense.loss(pack, *spoil(*batch))
    assert "\n" not in str(error.value)


def test_unknown_defense_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown defense 'rub-l1'.*known: .*nominal"):
        defenses.get("rub-l1")
