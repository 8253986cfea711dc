"""What is said to work with what does, and what is said not to, fails."""

from __future__ import annotations

import pytest
import torch

from robust import attacks, defenses, networks
from robust.evaluate import CERTIFICATES, survivors
from robust.supports import supports, takes

SHAPE, FEATURES = (16, 16, 1), 256
NETWORKS = ("mlp-1x8", "cnn", "resmlp-1x8", "lenet")


def case(network: str) -> tuple[networks.AnyPack, torch.Tensor, torch.Tensor]:
    """One untrained network, and two inputs with their classes."""
    net = networks.build(network, FEATURES, 3, 1, seed=0, input_shape=SHAPE)
    x = torch.rand(2, FEATURES, generator=torch.Generator().manual_seed(0))
    return net, x, torch.tensor([0, 2])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("defense", defenses.names())
def test_defense_trains_the_networks_that_it_supports(defense: str, network: str) -> None:
    net, x, y = case(network)
    method, generator = defenses.get(defense), torch.Generator().manual_seed(0)
    if supports(network, defense):
        assert torch.isfinite(method.loss(net, x, y, 0.01, generator)).all()
        return
    with pytest.raises(ValueError):
        method.loss(net, x, y, 0.01, generator)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_certificate_is_given_to_the_networks_that_have_it(certificate: str, network: str) -> None:
    net, x, y = case(network)
    radii = torch.tensor([0.01], dtype=torch.float64)
    if supports(network, certificate):
        assert survivors(net, x, y, attack=certificate, radii=radii).shape == (1, 1, 2)
        return
    # Only for examples that RUB leaves open is another network refused: ask at wide balls.
    wide = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    with pytest.raises((ValueError, AttributeError, AssertionError)):
        survivors(net, x, net(x)[0].argmax(dim=1), attack=certificate, radii=wide)


@pytest.mark.parametrize(
    "shape", [(64,), (8, 8, 1), (6, 8, 1), (8, 6, 1), (2, 2, 1), (4, 4, 3), (0, 4, 1), (28, 28, 1)]
)
def test_network_is_built_on_the_inputs_that_it_takes(shape: tuple[int, ...]) -> None:
    features = int(torch.tensor(shape).prod())

    def build() -> torch.Tensor:
        net = networks.build("cnn", features, 3, 1, seed=0, input_shape=shape)
        return net(torch.zeros(1, features))

    if takes("cnn", shape):
        assert build().shape == (1, 1, 3)
        return
    with pytest.raises((ValueError, RuntimeError, ZeroDivisionError)):
        build()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="vgg"):
        takes("vgg", (8, 8, 1))
    with pytest.raises(ValueError, match="nope"):
        supports("cnn", "nope")


@pytest.mark.parametrize("method", [*defenses.names(), *attacks.names(), *CERTIFICATES])
def test_norm_that_a_method_is_not_made_for_is_not_supported(method: str) -> None:
    answers = [supports("mlp-1x8", method, norm) for norm in ("l1", "l2", "linf")]
    assert sum(map(bool, answers)) == (0 if method == "nominal" else 1)
    assert all("made for" in str(answer.reason) for answer in answers if not answer)


def test_pack_is_asked_for_like_its_name() -> None:
    for network in NETWORKS:
        net, _, _ = case(network)
        for method in (*defenses.names(), *CERTIFICATES):
            assert bool(supports(net, method)) == bool(supports(network, method))
