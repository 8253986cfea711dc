"""Packs put together."""

from __future__ import annotations

import pytest
import torch

from robust import networks
from robust.networks import AnyPack
from robust.networks.join import join


def some(kind: str, count: int, seed: int) -> AnyPack:
    return networks.build(kind, 16, 3, count, seed, (4, 4, 1) if kind == "cnn" else None)


@pytest.mark.parametrize("kind", ["mlp-2x5", "cnn", "resmlp-1x6"])
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
    "other",
    [
        *(some(kind, 1, 1) for kind in ("mlp-1x5", "cnn", "resmlp-1x4")),
        some("mlp-1x4", 1, 1).double(),
    ],
)
def test_other_architectures_are_refused(other: AnyPack) -> None:
    with pytest.raises(ValueError, match="pack 1 is"):
        join([some("mlp-1x4", 1, 1), other])
    with pytest.raises(ValueError, match="at least one pack"):
        join([])


def test_graphs_with_the_same_parameters_are_told_apart() -> None:
    """A residual block and the chain of the same layers have the same parameters."""
    net = some("resmlp-1x5", 1, 1)
    chain = some("mlp-3x5", 1, 1)
    shapes = [[tuple(p.shape) for p in pack.parameters()] for pack in (net, chain)]
    assert shapes[0] == shapes[1]
    with pytest.raises(ValueError, match="pack 1 is"):
        join([net, chain])
