"""Shortened products: in the search of training, never in a certificate."""

from __future__ import annotations

import pytest
import torch

from robust import certify, defenses, networks, precision
from robust.bounds import vertex_search


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precision at each search, on a CPU that is taken for a device with a shorter format."""
    monkeypatch.setitem(precision.ROUGH_PRECISION, "cpu", "high")
    found: list[str] = []
    chunks = vertex_search.chunks

    def watched(*args: object) -> object:
        found.append(torch.get_float32_matmul_precision())
        return chunks(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(vertex_search, "chunks", watched)
    return found


@pytest.fixture
def net() -> networks.MLP:
    made = networks.build("mlp-2x20", num_features=6, num_classes=3, num_networks=2, seed=0)
    assert isinstance(made, networks.MLP)
    return made


X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def test_training_may_search_roughly_and_restores_the_precision(
    net: networks.MLP, seen: list[str]
) -> None:
    loss = defenses.get("rub").loss(net, X, Y, 0.3)
    assert seen == ["high"]
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.isfinite(loss).all()


def test_precision_is_restored_after_an_error(seen: list[str]) -> None:
    with pytest.raises(RuntimeError), precision.rough_products("cpu", rough=True):
        raise RuntimeError
    assert torch.get_float32_matmul_precision() == "highest"


def test_certificates_search_exactly(net: networks.MLP, seen: list[str]) -> None:
    certify.worst_case_differences(net, X, Y, 0.3)
    certify.certified(net, X, Y, 0.05)
    certify.certified_radius(net, X, Y)
    assert seen and set(seen) == {"highest"}


def test_device_without_a_shorter_format_searches_exactly(
    net: networks.MLP, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(precision.ROUGH_PRECISION, "cpu")
    defenses.get("rub").loss(net, X, Y, 0.3)
    assert seen == ["highest"]
