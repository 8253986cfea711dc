"""What every registered kind of network promises; a new one is tested by being registered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robust import defenses, networks
from robust.layers import walk
from robust.networks.base import KINDS
from robust.supports import supports

SHAPE, FEATURES, CLASSES, NETWORKS = (16, 16, 1), 256, 3, 2


@pytest.fixture(params=networks.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pack(name: str) -> torch.nn.Module:
    return networks.build(name, FEATURES, CLASSES, NETWORKS, seed=0, input_shape=SHAPE)


def test_name_belongs_to_one_kind(name: str) -> None:
    assert sum(KINDS.get(kind).matches(name) for kind in KINDS.names()) == 1


def test_pack_is_of_the_kind_of_its_name(name: str, pack: torch.nn.Module) -> None:
    assert networks.kind_of(pack) is networks.kind_of(name)


def test_networks_of_a_pack_start_alike(name: str, pack: torch.nn.Module) -> None:
    again = networks.build(name, FEATURES, CLASSES, NETWORKS, seed=0, input_shape=SHAPE)
    for own, other in zip(pack.parameters(), again.parameters(), strict=True):
        assert own.shape[0] == NETWORKS
        assert torch.equal(own[0], own[1])
        assert torch.equal(own, other)


def test_size_is_that_of_a_network(name: str, pack: torch.nn.Module) -> None:
    size = networks.size(name, FEATURES, CLASSES, SHAPE)
    assert (size.num_features, size.num_classes) == (FEATURES, CLASSES)
    trained = sum(own[0].numel() for own in pack.parameters())
    assert size.parameters == pytest.approx(trained, rel=0.01)  # some leave biases out
    assert size.first_layer + size.last_layer <= size.products


def test_expansion_has_the_networks_logits_and_slopes(pack: networks.AnyPack) -> None:
    x = torch.rand(4, FEATURES, generator=torch.Generator().manual_seed(1))
    expansion = pack.linearize(x)
    torch.testing.assert_close(expansion.logits, pack(x))
    every = torch.eye(CLASSES).expand(NETWORKS, 4, CLASSES, CLASSES)
    slopes = expansion.pullback(every)
    moved = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(pack(moved)[0, :, 1].sum(), moved)
    torch.testing.assert_close(slopes[0, :, 1], slope)


def test_network_is_trained_by_some_defense_with_a_ball(name: str) -> None:
    trained = [d for d in defenses.names() if supports(name, d)]
    assert "nominal" in trained
    assert any(defenses.get(d).norm is not None for d in trained)


def test_walk_over_the_layers_gives_the_networks_logits(pack: networks.AnyPack) -> None:
    x = torch.rand(4, FEATURES, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(walk.forward(pack, x), pack(x))


def test_layers_that_a_kind_names_are_those_of_its_graph(
    name: str, pack: networks.AnyPack
) -> None:
    assert set(networks.kind_of(name).layers) == pack.graph.kinds


def test_network_is_kept_in_a_file_and_comes_back(pack: networks.AnyPack, tmp_path: Path) -> None:
    networks.save(pack, tmp_path / "net")
    again = networks.load(tmp_path / "net")
    x = torch.rand(4, FEATURES, generator=torch.Generator().manual_seed(1))
    assert type(again) is type(pack)
    assert torch.equal(again(x), pack(x))


def test_kind_that_takes_anothers_packs_is_refused() -> None:
    from dataclasses import replace

    from robust.networks.base import register

    kind = KINDS.get(KINDS.names()[0])
    with pytest.raises(ValueError, match="need a class of their own"):
        register(replace(kind, kind="made up"))
    assert "made up" not in KINDS.names()
