"""Shortened products: in training where it is asked for, never in a certificate."""

from __future__ import annotations

import pytest
import torch

from robust import certify, defenses, networks
from robust.bounds.rub import mlp_search
from robust.layers import convolution
from robust.numerics import precision
from robust.train import train
from robust.training.step import TrainingStep


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precision at each search, on a CPU that is taken for a device with a shorter format."""
    monkeypatch.setitem(precision.SHORTENED_PRECISION, "cpu", "high")
    found: list[str] = []
    chunks = mlp_search.chunks

    def watched(*args: object) -> object:
        found.append(torch.get_float32_matmul_precision())
        return chunks(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(mlp_search, "chunks", watched)
    return found


@pytest.fixture
def net() -> networks.MLP:
    made = networks.build("mlp-2x20", num_features=6, num_classes=3, num_networks=2, seed=0)
    assert isinstance(made, networks.MLP)
    return made


X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def test_training_may_search_with_shortened_products_and_restores_the_precision(
    net: networks.MLP, seen: list[str]
) -> None:
    loss = defenses.get("rub").loss(net, X, Y, 0.3)
    assert seen == ["high"]
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.isfinite(loss).all()


def test_precision_is_restored_after_an_error(seen: list[str]) -> None:
    with pytest.raises(RuntimeError), precision.shortened_products("cpu", shorten=True):
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
    monkeypatch.delitem(precision.SHORTENED_PRECISION, "cpu")
    defenses.get("rub").loss(net, X, Y, 0.3)
    assert seen == ["highest"]


@pytest.mark.parametrize("tf32", [False, True])
def test_only_steps_of_training_are_shortened(
    tf32: bool, net: networks.MLP, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = [], []
    step = TrainingStep.__call__

    def watched(self: TrainingStep) -> None:
        inside.append(torch.get_float32_matmul_precision())
        step(self)

    monkeypatch.setattr(TrainingStep, "__call__", watched)
    train(
        net,
        X,
        Y,
        defense="nominal",
        radius=torch.zeros(2),
        learning_rate=torch.full((2,), 0.01),
        batch_size=4,
        steps=3,
        seed=0,
        tf32=tf32,
        on_batch=lambda *_: outside.append(torch.get_float32_matmul_precision()),
        on_step=lambda _: outside.append(torch.get_float32_matmul_precision()),
    )
    assert inside == ["high" if tf32 else "highest"] * 3
    assert outside == ["highest"] * 6


def test_convolutions_round_where_other_products_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    flags = torch.backends.cudnn.flags

    def watched(enabled: bool, allow_tf32: bool) -> object:
        asked.append(allow_tf32)
        return flags(enabled=enabled, allow_tf32=allow_tf32)

    monkeypatch.setattr(torch.backends.cudnn, "flags", watched)
    monkeypatch.setitem(precision.SHORTENED_PRECISION, "cpu", "high")
    maps, weight = torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 3, 1, 1)
    for shorten in (False, True):
        with precision.shortened_products("cpu", shorten):
            convolution.convolve(maps, weight, None)
            convolution.convolve_transposed(maps, weight)
    assert asked == [False, False, True, True]


TINY = torch.finfo(torch.float32).tiny


def vanishes() -> bool:
    """Whether half of the smallest normal number is 0 now, in products shared by all threads."""
    large = torch.full((2**18,), TINY)
    return not bool((large * 0.5).view(torch.int32).any())


def test_denormals_vanish_within_and_are_back_after() -> None:
    assert not vanishes()
    with precision.flushed_denormals():
        assert vanishes()
        with precision.flushed_denormals():
            assert vanishes()
        assert vanishes()
    assert not vanishes()


def test_denormals_are_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), precision.flushed_denormals():
        raise RuntimeError
    assert not vanishes()


def test_training_goes_without_denormals_and_leaves_them(net: networks.MLP) -> None:
    seen: list[bool] = []
    train(
        net,
        X,
        Y,
        defense="pgd-linf",
        radius=torch.tensor([0.1, 0.2]),
        learning_rate=torch.tensor([1e-3, 1e-3]),
        batch_size=8,
        steps=2,
        seed=0,
        on_step=lambda _: seen.append(vanishes()),
    )
    assert seen == [True, True]
    assert not vanishes()
