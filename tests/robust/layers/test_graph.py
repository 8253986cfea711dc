"""Graphs of layers, their networks, and walks that the fast forms of MLP and CNN equal."""

from __future__ import annotations

import pytest
import torch

from robust import attacks, certify, defenses, networks
from robust.bounds import coap, crown_walk, interval_walk, methods, rub
from robust.bounds.ball import Ball
from robust.bounds.rub import walk as rub_walk
from robust.evaluation.certifier import Certifier
from robust.layers import Graph, Node, chain, walk
from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.graph import owned
from robust.layers.max_pool import MaxPool
from robust.layers.relu import ReLU
from robust.networks import AnyPack, GraphNetwork
from robust.networks.graph import size_of
from robust.norms import ORDERS
from robust.supports import supports
from tests.robust.cnn_helpers import SHAPES, random_cnn
from tests.robust.helpers import random_batch, random_pack
from tests.robust.layers.graphs import GRAPHS, image_graph, network, residual_graph

BROKEN = {
    "nothing": (lambda: Graph(3, ()), "must end in a dense layer"),
    "ends in ReLU": (lambda: chain(3, [Affine(2), ReLU()]), "must end in a dense layer"),
    "one class": (lambda: chain(3, [Affine(1)]), "at least two classes, got 1"),
    "later value": (
        lambda: Graph(3, (Node(ReLU(), (1,)), Node(Affine(2), (1,)))),
        r"layer 0 \(relu\) reads the values \(1,\), of which some are later",
    ),
    "reads nothing": (lambda: Graph(3, (Node(Affine(2), ()),)), "reads the values"),
    "nobody reads": (
        lambda: Graph(3, (Node(ReLU(), (0,)), Node(Affine(2), (0,)))),
        "value 1 is read by no layer",
    ),
    "maps for a dense layer": (
        lambda: chain(12, [ToMaps((2, 3, 2)), Affine(2)]),
        r"layer 1 \(affine\): a dense layer takes one flat input",
    ),
    "images of another size": (lambda: chain(11, [ToMaps((2, 3, 2)), Flatten(), Affine(2)]),
                               "have 12 features"),
    "unequal sum": (
        lambda: Graph(3, (Node(Affine(4), (0,)), Node(Add(), (0, 1)), Node(Affine(2), (2,)))),
        "a sum takes two inputs of one shape",
    ),
    "weights of another shape": (
        lambda: GraphNetwork(chain(3, [Affine(2)]), [torch.ones(1, 2, 3)], [torch.ones(1, 2)]),
        r"weight \(1, 2, 3\) and bias \(1, 2\) must be \(1, 3, 2\) and \(1, 2\)",
    ),
    "one weight too few": (
        lambda: GraphNetwork(chain(3, [Affine(4), ReLU(), Affine(2)]), [], []),
        "expected 2 weights and as many biases, got 0 and 0",
    ),
    "not finite": (
        lambda: GraphNetwork.from_arrays(
            chain(3, [Affine(2)]), [torch.full((3, 2), float("nan"))], [torch.ones(2)]
        ),
        "parameters must be finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BROKEN)
def test_graph_that_is_none_is_refused_in_one_line(mistake: str) -> None:
    make, message = BROKEN[mistake]
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_is_read_from_its_text(name: str) -> None:
    assert Graph.from_json(GRAPHS[name].to_json()) == GRAPHS[name]


@pytest.mark.parametrize("name", GRAPHS)
def test_expansion_is_the_derivative_of_the_network(name: str) -> None:
    net = network(GRAPHS[name])
    x = torch.randn(2, 3, net.num_features, dtype=torch.float64).requires_grad_()
    expansion = net.linearize(x.detach())
    logits = net(x)
    torch.testing.assert_close(expansion.logits, logits)
    every = torch.eye(net.num_classes, dtype=torch.float64).expand(1, 3, -1, -1)
    slopes = expansion.pullback(every)
    for k in range(net.num_classes):
        (slope,) = torch.autograd.grad(logits[..., k].sum(), x, retain_graph=True)
        torch.testing.assert_close(slopes[:, :, k], slope)


@pytest.mark.parametrize("name", GRAPHS)
def test_networks_of_a_pack_do_not_mix(name: str) -> None:
    net = network(GRAPHS[name], networks=3)
    x, y = random_batch(2, net.num_features, net.num_classes)
    for p in range(3):
        alone = net.subset([p])
        torch.testing.assert_close(alone(x)[0], net(x)[p])
        for method, norm in (("interval", "linf"), ("crown", "l2"), ("rub", "l1")):
            both = [
                certify.worst_case_differences(n, x, y, 0.2, norm, method) for n in (net, alone)
            ]
            torch.testing.assert_close(both[1][0], both[0][p])


FAST = {
    "mlp": random_pack((5, 7, 6, 3), networks=2, seed=1),
    "one hidden layer": random_pack((4, 9, 4), networks=2, seed=2),
    **{f"cnn {i}": random_cnn(*shape) for i, shape in enumerate(SHAPES)},
}


def as_graph(net: AnyPack) -> GraphNetwork:
    """The same networks without the fast forms."""
    return GraphNetwork(net.graph, list(net.weights), list(net.biases))


@pytest.mark.parametrize("name", FAST)
def test_fast_forms_equal_the_walk(name: str) -> None:
    net, (x, y) = FAST[name], random_batch(3, FAST[name].num_features, 3, seed=7)
    same = as_graph(net)
    torch.testing.assert_close(walk.forward(net, x), net(x), rtol=1e-12, atol=1e-12)
    values, own = walk.values_at(net, x), owned(net)
    every = torch.eye(net.num_classes, dtype=x.dtype).expand(net.num_networks, 3, -1, -1)
    lines = walk.tangents(net.graph, values)
    slopes = walk.carried_back(net.graph, own, lines, len(lines), every)[0]
    torch.testing.assert_close(slopes, net.linearize(x).pullback(every), rtol=1e-12, atol=1e-12)
    for radius in (0.0, 0.1, 2.0):
        radii = torch.full((net.num_networks, 3), radius, dtype=x.dtype)
        results = []
        for one in (net, same):
            bounds = rub.worst_case_differences(one, x, y, radii)
            results.append([bounds, *torch.autograd.grad(bounds.sum(), list(one.parameters()))])
            results[-1].append(rub.search(one, x, y, radii)[0])
        for fast, plain in zip(*results, strict=True):
            torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["mlp", "one hidden layer", "cnn 2"])
def test_fast_certificates_are_those_of_the_walk(name: str) -> None:
    net, (x, _) = FAST[name], random_batch(6, FAST[name].num_features, 3, seed=8)
    same, y = as_graph(net), net(x)[0].argmax(dim=1)
    radii = [certify.certified_radius(one, x, y) for one in (net, same)]
    torch.testing.assert_close(*radii, rtol=1e-6, atol=1e-9)
    assert (radii[0][0] > 0).any()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["mlp", "one hidden layer"])
def test_fast_interval_crown_and_coap_equal_the_walk(name: str, order: str) -> None:
    net, (x, y) = FAST[name], random_batch(3, FAST[name].num_features, 3, seed=7)
    same = as_graph(net)
    for radius in (0.0, 0.1, 1.0):
        fast, plain = (
            certify.worst_case_differences(one, x, y, radius, order, "interval")
            for one in (net, same)
        )
        torch.testing.assert_close(plain, fast, rtol=1e-9, atol=1e-9)
        fast, plain = (
            certify.worst_case_differences(one, x, y, radius, order, "crown")
            for one in (net, same)
        )
        assert (plain <= fast + 1e-9).all()  # the walk's boxes are intersected with intervals
        radii = torch.full((2, 3), radius, dtype=x.dtype)
        both = [coap.worst_case_differences(one, x, y, radii, order) for one in (net, same)]
        torch.testing.assert_close(*both, rtol=1e-9, atol=1e-9)
        gradients = [
            torch.autograd.grad(bounds.sum(), list(one.parameters()))
            for bounds, one in zip(both, (net, same), strict=True)
        ]
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_size_of_a_named_mlp_is_that_of_its_graph() -> None:
    for name in ("mlp-3x20", "mlp-1x7"):
        net = networks.build(name, 5, 3, 1, seed=0)
        ours, named = size_of(net.graph), networks.size(name, 5, 3)
        for field in ("parameters", "products", "first_layer", "last_layer", "units"):
            assert getattr(ours, field) == getattr(named, field), field
        assert ours.dual == named.dual * 8 // 3


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_defense_and_attack_takes_a_graph(name: str, dtype: torch.dtype) -> None:
    net = network(GRAPHS[name], dtype=dtype)
    x, y = random_batch(3, net.num_features, net.num_classes, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    for defense in defenses.names():
        if not supports(net, defense):
            continue
        loss = defenses.get(defense).loss(net, x, y, 0.1, generator)
        assert loss.dtype == dtype
        assert torch.isfinite(loss).all(), defense
        gradients = torch.autograd.grad(loss.sum(), list(net.parameters()))
        assert all(torch.isfinite(g).all() for g in gradients), defense
    for attack in ("pgd-l1", "fgm-l2", "fgsm-linf", "vertex-l1"):
        assert attacks.get(attack)(net, x, y, 0.1, generator=generator).shape == (2, *x.shape)


def test_what_a_layer_does_not_support_is_said_before() -> None:
    pooled, averaged = network(GRAPHS["maximum"]), network(GRAPHS["average"])
    assert not supports(pooled, "coap-linf")
    assert "made for: " in str(supports(pooled, "coap-linf").reason)
    assert supports(averaged, "coap-linf")
    assert supports(pooled, "rub")
    x, y = random_batch(2, pooled.num_features, pooled.num_classes)
    with pytest.raises(ValueError, match="layers of kind 'max-pool'"):
        defenses.get("coap-linf").loss(pooled, x, y, 0.1)
    for method in ("interval", "crown", "rub", "best"):
        assert methods.get(method).supports(pooled)


def test_memory_is_bounded_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one example, one unit and one feature give the same bounds and gradients."""
    net = network(image_graph(MaxPool((2, 2), (2, 2)), sides=(5, 6)), networks=1)
    x, y = random_batch(2, net.num_features, net.num_classes)
    radii = torch.full((1, 2), 0.2, dtype=x.dtype)

    def everything() -> list[torch.Tensor]:
        found = [rub_walk.worst_vertices(net, x, y, radii)[0]]
        for order in ORDERS:
            ball = Ball(radii, order)  # type: ignore[arg-type]
            found.append(interval_walk.worst_case_differences(net, x, y, ball))
            found.append(crown_walk.worst_case_differences(net, x, y, ball))
            found += torch.autograd.grad(found[-1].sum(), list(net.parameters()))
        return found

    whole = everything()
    monkeypatch.setattr(interval_walk, "BLOCK_ELEMENTS", {"cpu": 1})
    monkeypatch.setattr(rub_walk, "chunk_elements", lambda device: 1)
    for cut, once in zip(everything(), whole, strict=True):
        torch.testing.assert_close(cut, once, rtol=1e-10, atol=1e-10)


def test_certifier_takes_float32_networks() -> None:
    net = network(residual_graph(6, 9, 3), seed=4, dtype=torch.float32)
    x, _ = random_batch(8, 6, 3, dtype=torch.float32)
    y = net(x)[0].argmax(dim=1)
    radius = torch.full((2, 8), 0.05)
    wide = torch.nn.Module.double(network(residual_graph(6, 9, 3), seed=4, dtype=torch.float32))
    exact = Certifier(wide).certified(x.double(), y, radius.double())
    assert torch.equal(Certifier(net).certified(x, y, radius), exact)
