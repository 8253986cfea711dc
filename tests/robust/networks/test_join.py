"""Packs put together."""

from __future__ import annotations

import pytest
import torch

from robust import networks
from robust.networks import CNN, MLP
from robust.networks.join import join


def some(kind: str, count: int, seed: int) -> MLP | CNN:
    return networks.build(kind, 16, 3, count, seed, (4, 4, 1) if kind == "cnn" else None)


@pytest.mark.parametrize("kind", ["mlp-2x5", "cnn"])
def test_joined_networks_answer_as_before(kind: str) -> None:
    packs = [some(kind, 2, 1), some(kind, 1, 2)]
    whole, x = join(packs), torch.randn(4, 16)
    assert whole.num_networks == 3
    torch.testing.assert_close(whole(x), torch.cat([pack(x) for pack in packs]))


def test_join_copies_and_undoes_subset() -> None:
    net = some("mlp-1x4", 3, 1)
    whole = join([net.subset([0]), net.subset([1, 2])])
    assert all(map(torch.equal, whole.parameters(), net.parameters()))
    with torch.no_grad():
        whole.weights[0].zero_()
    assert bool(net.weights[0].any())


@pytest.mark.parametrize(
    "other", [some("mlp-1x5", 1, 1), some("cnn", 1, 1), some("mlp-1x4", 1, 1).double()]
)
def test_other_architectures_are_refused(other: MLP | CNN) -> None:
    with pytest.raises(ValueError, match="pack 1 is"):
        join([some("mlp-1x4", 1, 1), other])
    with pytest.raises(ValueError, match="at least one pack"):
        join([])
