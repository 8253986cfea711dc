"""L1 balls in which features have costs, over the registries: attacks, losses, certificates.

What every member promises that takes costs; the others refuse them in one line.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robust import attacks, certify, defenses
from robust.evaluate import CERTIFICATES, survivors
from robust.evaluation.attack_batches import AttackedPoints
from robust.evaluation.soundness import CertificateCheck, radius_reached
from robust.networks import MLP
from robust.norms import norm
from robust.registry import is_weighted, unweighted, weighted
from robust.supports import supports
from robust.train import train
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, NETWORKS, BATCH = 5, 3, 2, 8
COSTS = torch.tensor([1.0, 2.0, math.inf, 0.5, 30.0], dtype=torch.float64)
FIXED = 2  # the immutable feature
ATTACKS = [n for n in attacks.names() if attacks.get(n).cost_kinds != ()]
WEIGHTED = [n for n in ATTACKS if attacks.get(n).norm == "l1"]
LOSSES = [
    n
    for n in defenses.names()
    if defenses.get(n).cost_kinds != () and defenses.get(n).norm == "l1"
]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def pack() -> MLP:
    return random_pack((FEATURES, 9, 8, CLASSES), NETWORKS, seed=4)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return random_batch(BATCH, FEATURES, CLASSES, seed=4)


def paid(delta: Tensor, costs: Tensor) -> Tensor:
    """The plain form of sum_m c_m |delta_m|: features that do not move cost nothing."""
    return torch.where(delta == 0, 0.0, delta.abs() * costs).sum(dim=-1)


def without(net: MLP, x: Tensor, feature: int) -> list[tuple[MLP, Tensor]]:
    """For each example networks that do not see a feature, whose value is in their bias."""
    moving = [m for m in range(net.num_features) if m != feature]
    first, *others = [w.detach() for w in net.weights]
    bias, *biases = [b.detach() for b in net.biases]
    return [
        (
            MLP.from_arrays(
                [first[:, moving], *others], [bias + row[feature] * first[:, feature], *biases]
            ),
            row[moving].unsqueeze(0),
        )
        for row in x
    ]


def test_what_must_take_costs_takes_them() -> None:
    assert {"pgd-l1", "pgd-l1-best", "fgm-l1", "vertex-l1"} <= set(WEIGHTED)
    assert {"rub", "arub-l1", "vertex-crown-l1", "pgd-l1", "baseline-l1"} <= set(LOSSES)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bounds", [(-math.inf, math.inf), (-0.5, 0.8)])
def test_points_stay_in_the_weighted_ball(
    name: str, dtype: torch.dtype, bounds: tuple[float, float], batch: tuple[Tensor, Tensor]
) -> None:
    net = random_pack((FEATURES, 9, 8, CLASSES), 3, seed=4).to(dtype)
    x, radii = batch[0].to(dtype).clamp(*bounds), torch.tensor([0.0, 0.2, 3.0])
    found = attacks.get(name)(
        net, x, batch[1], radii, bounds=bounds, costs=COSTS, generator=seeded()
    )
    unit = torch.finfo(dtype).eps
    delta = found.double() - x.double()
    assert (paid(delta, COSTS) <= radii.double().unsqueeze(1) * (1 + 8 * unit) + 8 * unit).all()
    assert torch.equal(found[..., FIXED], x[:, FIXED].expand(3, -1))
    assert found.min() >= bounds[0]
    assert found.max() <= bounds[1]
    assert (found[2] != x).any()  # it does attack


@pytest.mark.parametrize("name", WEIGHTED)
def test_costs_that_dwarf_the_radius_do_not_leave_the_ball(name: str) -> None:
    net = random_pack((4, 7, 3), 1, seed=5).float()
    x = torch.tensor([[1.0, -3.0, 0.3, -0.0]])
    costs = torch.tensor([3e7, 1e8, 2e6, math.inf])
    found = attacks.get(name)(net, x, [1], 1.0, costs=costs, generator=seeded())
    assert (paid(found.double() - x.double(), costs.double()) <= 1 + 1e-6).all()
    assert math.copysign(1.0, float(found[0, 0, 3])) == -1.0  # bit for bit


@pytest.mark.parametrize("name", WEIGHTED)
def test_costs_of_one_change_no_bit_of_an_attack(
    name: str, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    plain = attacks.get(name)(pack, *batch, 0.7, generator=seeded())
    ones = attacks.get(name)(pack, *batch, 0.7, generator=seeded(), costs=torch.ones(FEATURES))
    assert torch.equal(plain, ones)


@pytest.mark.parametrize("name", WEIGHTED)
def test_an_attack_with_costs_is_that_of_the_scaled_inputs(
    name: str, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    costs = torch.tensor([1.0, 2.0, 4.0, 0.5, 8.0], dtype=torch.float64)  # exact in binary
    first, *others = [w.detach() for w in pack.weights]
    scaled = MLP.from_arrays([first / costs.unsqueeze(1), *others], list(pack.biases))
    x, y = batch
    theirs = attacks.get(name)(scaled, x * costs, y, 0.7, generator=seeded()) / costs
    ours = attacks.get(name)(pack, x, y, 0.7, generator=seeded(), costs=costs)
    torch.testing.assert_close(ours, theirs)


def test_vertex_attack_finds_the_worst_of_all_weighted_vertices(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    found = attacks.get("vertex-l1")(pack, x, y, 0.9, costs=COSTS)

    def gap(point: Tensor, label: Tensor) -> Tensor:  # [P]
        logits = pack(point.unsqueeze(0))[:, 0]
        others = [k for k in range(CLASSES) if k != label]
        return logits[:, others].amax(dim=1) - logits[:, label]

    for n, (row, label) in enumerate(zip(x, y, strict=True)):
        steps = torch.diag(torch.where(COSTS.isinf(), 0.0, 0.9 / COSTS))
        each = torch.stack([gap(row + s * step, label) for step in steps for s in (1.0, -1.0)])
        ours = torch.stack([gap(found[p, n], label)[p] for p in range(NETWORKS)])
        torch.testing.assert_close(ours, each.amax(dim=0))


@pytest.mark.parametrize("name", sorted(set(attacks.names()) - set(WEIGHTED)))
def test_other_attacks_refuse_costs(name: str, pack: MLP, batch: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=f"attack {name!r} takes no costs"):
        attacks.get(name)(pack, *batch, 0.1, costs=COSTS)
    assert not supports("mlp-3x200", weighted(name))


@pytest.mark.parametrize("name", LOSSES)
def test_costs_of_one_change_no_bit_of_a_loss(
    name: str, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    plain = defenses.get(name).loss(pack, *batch, 0.3, seeded())
    ones = defenses.get(name).loss(pack, *batch, 0.3, seeded(), costs=[1.0] * FEATURES)
    assert torch.equal(plain, ones)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_with_an_immutable_feature_is_that_without_it(
    name: str, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    costs = torch.ones(FEATURES, dtype=torch.float64)
    costs[FIXED] = math.inf
    x, y = batch
    if defenses.get(name).norm == "l1" and name.startswith("pgd"):
        pytest.skip("its random start has a number for every feature")
    for n, (alone, row) in enumerate(without(pack, x, FIXED)):
        ours = defenses.get(name).loss(pack, x[n : n + 1], y[n : n + 1], 0.3, costs=costs)
        theirs = defenses.get(name).loss(alone, row, y[n : n + 1], 0.3)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_with_costs_has_the_gradient_of_finite_differences(
    name: str, batch: tuple[Tensor, Tensor]
) -> None:
    if name.startswith("pgd"):
        pytest.skip("its points carry no gradient (Danskin)")
    net, (x, y) = random_pack((FEATURES, 6, 5, CLASSES), 1, seed=8), batch
    weight = net.weights[0]
    loss = defenses.get(name).loss(net, x, y, 0.1, costs=COSTS).sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert torch.isfinite(gradient).all()
    step = torch.randn(weight.shape, generator=seeded(), dtype=weight.dtype) * 1e-6
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight += sign * step
            values.append(defenses.get(name).loss(net, x, y, 0.1, costs=COSTS).sum())
            weight -= sign * step
    assert float((gradient * step).sum()) == pytest.approx(
        float(values[0] - values[1]) / 2, rel=1e-3
    )


@pytest.mark.parametrize("name", sorted(set(defenses.names()) - set(LOSSES)))
def test_other_defenses_refuse_costs(name: str, pack: MLP, batch: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=f"defense {name!r} takes no costs"):
        defenses.get(name).loss(pack, *batch, 0.1, costs=COSTS)
    with pytest.raises(ValueError, match="no parameter 'costs'"):
        defenses.get(f"{name}(costs=catalog)")


@pytest.mark.parametrize("name", LOSSES)
def test_training_with_costs_differs_and_resumes_under_its_own_name(name: str) -> None:
    x, y = random_batch(12, FEATURES, CLASSES, seed=6)
    nets = [random_pack((FEATURES, 6, CLASSES), 1, seed=7) for _ in range(3)]
    options = {"radius": 1.0, "learning_rate": 0.01, "batch_size": 12, "steps": 3, "seed": 0}
    train(nets[0], x, y, defense=name, **options)
    train(nets[1], x, y, defense=name, costs=torch.ones(FEATURES), **options)
    train(nets[2], x, y, defense=f"{name}(costs=catalog)", costs=COSTS, **options)
    for plain, ones in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(plain, ones)
    assert not torch.equal(nets[0].weights[0], nets[2].weights[0])
    with pytest.raises(ValueError, match="needs the catalog's costs"):
        train(nets[0], x, y, defense=f"{name}(costs=catalog)", **options)


@pytest.mark.parametrize("attack", [*WEIGHTED, "certified-l1", "certified-l1-best"])
def test_survivors_with_costs_are_those_of_the_weighted_ball(
    attack: str, pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch
    radii = [0.0, 0.05, 0.4]
    plain = survivors(pack, x, y, attack=attack, radii=radii)
    ones = survivors(pack, x, y, attack=attack, radii=radii, costs=torch.ones(FEATURES))
    assert torch.equal(plain, ones)
    dear = survivors(pack, x, y, attack=attack, radii=radii, costs=[math.inf] * FEATURES)
    assert torch.equal(dear, dear[:, :1].expand_as(dear))  # nothing can be moved
    named = survivors(pack, x, y, attack=weighted(attack), radii=radii, costs=COSTS)
    assert torch.equal(named, survivors(pack, x, y, attack=attack, radii=radii, costs=COSTS))
    with pytest.raises(ValueError, match="give costs"):
        survivors(pack, x, y, attack=weighted(attack), radii=radii)


@pytest.mark.parametrize("method", ["rub", "vertex-crown", "best"])
def test_no_attack_breaks_a_certificate_of_the_weighted_ball(
    method: str, batch: tuple[Tensor, Tensor]
) -> None:
    net = random_pack((FEATURES, 9, 8, CLASSES), 4, seed=9)
    x, _ = random_batch(60, FEATURES, CLASSES, seed=9)
    y = net(x)[0].argmax(dim=1)
    radius = 0.05
    proven = certify.certified(net, x, y, radius, method=method, costs=COSTS)
    assert proven.any()
    assert not proven.all()
    for name in WEIGHTED:
        found = attacks.get(name)(net, x, y, radius, costs=COSTS, generator=seeded())
        assert not (proven & (net(found).argmax(dim=2) != y)).any(), name


def test_names_of_balls_with_costs_go_both_ways() -> None:
    for name in (*attacks.names(), *map(unweighted, CERTIFICATES)):
        assert is_weighted(weighted(name))
        assert unweighted(weighted(name)) == name == unweighted(name)
    assert attacks.get("vertex-l1(costs=catalog)") is attacks.get("vertex-l1")
    assert defenses.get("rub(costs=uniform)") is defenses.get("rub")
    assert defenses.get("rub(costs=catalog)").name == "rub(costs=catalog)"
    with pytest.raises(ValueError, match="unknown costs 'cheap'"):
        defenses.get("rub(costs=cheap)")


@pytest.mark.parametrize(
    ("network", "method", "fits"),
    [
        ("mlp-3x200", "rub(costs=catalog)", True),
        ("cnn", "rub(costs=catalog)", False),
        ("cnn", "arub-l1(costs=catalog)", True),
        ("mlp-3x200", "certified-l1(costs=catalog)", True),
        ("cnn", "certified-l1(costs=catalog)", False),
        ("mlp-3x200", "certified-l1-tight(costs=catalog)", False),
        ("mlp-3x200", "certified-l1-best(costs=catalog)", True),
        ("cnn", "vertex-l1(costs=catalog)", True),
        ("mlp-3x200", "pgd-l2(costs=catalog)", False),
    ],
)
def test_supports_answers_for_balls_with_costs(network: str, method: str, fits: bool) -> None:
    answer = supports(network, method)
    assert bool(answer) is fits
    assert fits or answer.reason


def test_pgd_reaches_the_edge_of_an_interval() -> None:
    # One feature that can move: the weighted ball is an interval, and PGD ends at its edge.
    weights = [torch.tensor([[1.0, 0.0], [5.0, 0.0]]), torch.eye(2)]
    net = MLP.from_arrays(weights, [torch.tensor([3.0, 0.0]), torch.zeros(2)])
    x = torch.tensor([[0.0, 0.0]])
    costs = [4.0, math.inf]
    found = attacks.get("pgd-l1")(net, x, [1], 2.0, costs=costs, random_start=False)
    assert float(norm(found - x, "l1")) == pytest.approx(0.5)


def test_distance_in_a_ball_with_costs_is_what_the_move_costs() -> None:
    x = torch.zeros(3, FEATURES)
    moved = torch.zeros(3, FEATURES)
    moved[1, 0], moved[1, 3] = 0.5, -1.0  # 0.5 * 1 + 1 * 0.5
    moved[2, FIXED] = 1e-6
    assert radius_reached(x, moved, costs=COSTS).tolist() == [0.0, 1.0, math.inf]
    limit = torch.tensor([0.25, 1.0, 5.0], dtype=torch.float64)
    assert radius_reached(x, moved, limit, costs=COSTS).tolist() == [0.0, 1.0, math.inf]


def test_a_false_certificate_of_a_weighted_ball_is_found(
    pack: MLP, batch: tuple[Tensor, Tensor]
) -> None:
    x, y = batch[0], pack(batch[0])[0].argmax(dim=1)
    radii, costs = torch.tensor([4.0], dtype=torch.float64), COSTS
    claimed = torch.ones(NETWORKS, 1, BATCH, dtype=torch.bool)
    checks = [
        CertificateCheck(pack, x, y, radii, claimed, "vertex-l1", costs=paid_in)
        for paid_in in (costs, torch.full_like(costs, math.inf))
    ]

    def look(points: AttackedPoints) -> None:
        for one in checks:
            one(points)

    kept = survivors(pack, x, y, attack="vertex-l1", radii=radii, costs=costs, on_points=look)
    lost = ~kept[0, 0]
    assert lost.any()
    found = {one.example for one in checks[0].found if one.network == 0}
    assert found == set(lost.nonzero().flatten().tolist())
    assert not checks[1].found  # in a ball in which nothing moves those points count for nothing
