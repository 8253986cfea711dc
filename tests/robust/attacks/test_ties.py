"""Ties and near ties: an attack counts what an evaluation counts, and misses no error it saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.attacks.margins import error_gap, is_correct
from robust.evaluate import CERTIFICATES, correct, evaluate
from robust.networks import CNN, MLP
from tests.robust.helpers import random_batch, random_pack

UNBOUNDED = (-float("inf"), float("inf"))
BOUNDS = {"unbounded": UNBOUNDED, "clipped": (-1.0, 1.0), "clipped above": (-9.0, 0.0)}
BEST = [name for name in attacks.names() if name.endswith("-best")]


def whole_numbers(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randint(-2, 3, shape, generator=generator).float()


def whole_mlp(seed: int, classes: int, networks: int = 2) -> MLP:
    """Small whole numbers, so that sums are exact and ties are frequent."""
    g = torch.Generator().manual_seed(seed)
    sizes = ((2, 3), (3, classes))
    return MLP(
        [whole_numbers(g, networks, *size) for size in sizes],
        [whole_numbers(g, networks, size[1]) for size in sizes],
    )


def whole_cnn(seed: int, classes: int, networks: int = 2) -> CNN:
    g = torch.Generator().manual_seed(seed)
    return CNN(
        [whole_numbers(g, networks, 1, 1, 1, 2), whole_numbers(g, networks, 2, classes)],
        [whole_numbers(g, networks, 2), whole_numbers(g, networks, classes)],
        (2, 2, 1),
    )


def vertices(x: Tensor, radius: float, bounds: tuple[float, float]) -> Iterator[Tensor]:
    """Every vertex of the ball around each input, clipped, [N, D]."""
    for feature, sign in product(range(x.shape[1]), (1, -1)):
        moved = x.clone()
        moved[:, feature] += sign * radius
        yield moved.clamp(*bounds)


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=list(BOUNDS))
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("make", [whole_mlp, whole_cnn])
def test_vertex_attack_changes_the_class_wherever_a_vertex_does(
    make: type[MLP], classes: int, bounds: tuple[float, float]
) -> None:
    ties = 0
    for seed in range(40):
        net = make(seed, classes)
        g = torch.Generator().manual_seed(seed + 99)
        x = torch.randint(-1, 1, (20, net.num_features), generator=g).float()
        y = torch.randint(classes, (20,), generator=g)
        said = torch.stack([net(v).argmax(dim=2) for v in vertices(x, 1.0, bounds)])
        exists = (said != y).any(dim=0)
        x_adv = attacks.get("vertex-l1")(net, x, y, 1.0, bounds=bounds)
        found = net(x_adv).argmax(dim=2) != y
        assert torch.equal(found, exists)
        best = torch.stack([error_gap(net(v), y) for v in vertices(x, 1.0, bounds)]).amax(dim=0)
        ties += int((exists & (best < 1)).sum())
        survive = (correct(net, x, y) & ~exists).double().mean(dim=1)
        accuracy = evaluate(net, x, y, attack="vertex-l1", radii=[1.0], bounds=bounds)
        assert torch.equal(accuracy[:, 0], survive)
    assert ties > 0  # otherwise nothing would be seen here


def alike(seed: int, dtype: torch.dtype) -> MLP:
    """A network whose features differ in a few last bits, so that all vertices nearly tie."""
    g = torch.Generator().manual_seed(seed)
    sizes = ((12, 30), (30, 20), (20, 3))
    weights = [torch.randn(1, *size, generator=g, dtype=dtype) * 0.5 for size in sizes]
    ulps = 2 * torch.randn(1, 12, 1, generator=g, dtype=dtype).round()
    weights[0] = 2 * weights[0][:, :1] * (1 + torch.finfo(dtype).eps * ulps)
    return MLP(weights, [torch.randn(1, n, generator=g, dtype=dtype) * 0.3 for _, n in sizes])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vertex_attack_decides_near_ties_as_the_network_does(dtype: torch.dtype) -> None:
    """The radius closes in on where the class changes, to the last bit."""
    for seed in range(8):
        net, x = alike(seed, dtype), torch.zeros(1, 12, dtype=dtype)
        y = net(x)[0].argmax(dim=1)
        low, high = 0.0, 64.0
        for _ in range(60):
            radius = float(torch.tensor((low + high) / 2, dtype=dtype))
            points = vertices(x, radius, UNBOUNDED)
            exists = any(bool((net(v).argmax(dim=2) != y).any()) for v in points)
            x_adv = attacks.get("vertex-l1")(net, x, y, radius)
            assert bool((net(x_adv).argmax(dim=2) != y).any()) == exists
            low, high = (low, radius) if exists else (radius, high)


def test_gap_is_above_0_exactly_where_the_class_is_lost() -> None:
    g = torch.Generator().manual_seed(0)
    for dtype, classes in product((torch.float32, torch.float64), (2, 4)):
        logits = torch.randint(-1, 2, (3, 200, classes), generator=g).to(dtype)
        logits[0, :50, 0] = float("nan")
        logits[1, :50, 1] = float("inf")
        logits[2, :50] = float("inf")
        logits[2, 50:99] = -float("inf")
        y = torch.randint(classes, (200,), generator=g)
        right = torch.tensor(
            [
                [
                    not any(v != v for v in row) and row.index(max(row)) == label
                    for row, label in zip(own, y.tolist(), strict=True)
                ]
                for own in logits.tolist()
            ]
        )
        assert torch.equal(is_correct(logits, y), right)
        assert torch.equal(error_gap(logits, y) > 0, ~right)
        finite = logits.isfinite().all(dim=2) & (logits.sum(dim=2) % 1 == 0)
        others = logits.scatter(2, y.expand(3, -1).unsqueeze(2), -9).amax(dim=2)
        margin = others - logits.gather(2, y.expand(3, -1).unsqueeze(2)).squeeze(2)
        torch.testing.assert_close(error_gap(logits, y)[finite], margin[finite])


@pytest.mark.parametrize("name", BEST)
@pytest.mark.parametrize("overshoot", [0.025, 2.0])
def test_best_iterate_is_never_weaker_than_its_starts_or_the_input(
    name: str, overshoot: float
) -> None:
    method = attacks.get(name)
    assert isinstance(method, GradientAttack)
    method = replace(method, num_steps=2, restarts=3, relative_step_size=overshoot)
    for seed in range(20):
        net = random_pack((4, 12, 12, 3), 2, seed=seed, dtype=torch.float32)
        x, y = random_batch(30, 4, 3, seed=seed, dtype=torch.float32)
        starts = [method.random_starts(x, torch.Generator().manual_seed(i))(0) for i in range(3)]
        radius = torch.full((2, 30), 3.0)
        x_adv = method.perturb(net, x, y, radius, UNBOUNDED, lambda i: starts[i])  # noqa: B023
        found = error_gap(net(x_adv), y)
        for point in (x, *(x + 3.0 * start for start in starts)):
            assert (found >= error_gap(net(point), y) - 1e-4).all()


@pytest.mark.parametrize("name", BEST)
def test_best_start_is_returned_where_no_gradient_leads_away(name: str) -> None:
    """Flat on both sides of a ridge: only the start itself is an error."""
    weights = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, -40.0], [0.0, 40.0]])
    net = MLP.from_arrays(weights, [torch.zeros(2)] * 2)
    x, y = torch.tensor([[0.5]]), torch.tensor([0])
    assert (net(x).argmax(dim=2) == y).all()
    method = attacks.get(name)
    start = torch.tensor([[-0.9]])
    once = replace(method, num_steps=1, restarts=1, relative_step_size=-1.0)  # type: ignore[call-arg]
    x_adv = once.perturb(net, x, y, torch.ones(1, 1), UNBOUNDED, lambda _: start)
    assert (net(x_adv).argmax(dim=2) != y).all()


@pytest.mark.parametrize("name", [*attacks.names(), *CERTIFICATES])
def test_network_that_gives_no_numbers_has_accuracy_0(name: str) -> None:
    net = random_pack((4, 6, 3), 2, dtype=torch.float32)
    x, _ = random_batch(12, 4, 3, dtype=torch.float32)
    said = net(x)[0].argmax(dim=1)
    with torch.no_grad():
        net.biases[-1][1, 0] = float("nan")
    y = torch.where(torch.arange(12) < 6, said, 0)
    assert correct(net, x, y)[1].sum() == 0
    accuracy = evaluate(net, x, y, attack=name, radii=[0.0, 0.1])
    assert torch.equal(accuracy[1], torch.zeros(2, dtype=torch.float64))
    assert accuracy[0, 0] > 0
