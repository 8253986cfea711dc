"""Certificates at several radii: each is what it is alone, and what the bounds say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust.bounds import methods
from robust.evaluate import survivors
from robust.evaluation.proofs import largest, prover
from robust.networks import MLP
from robust.norms import Norm
from tests.robust.helpers import random_batch, random_pack

RADII = torch.tensor([0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 50.0], dtype=torch.float64)
WAYS: list[tuple[str, Norm]] = [
    ("rub", "l1"),
    ("vertex-crown", "l1"),
    ("best", "l1"),
    ("crown", "l2"),
    ("best", "l2"),
    ("best", "linf"),
]


def case(dtype: torch.dtype) -> tuple[MLP, Tensor, Tensor]:
    """A network, and inputs of which it takes most for what they are labelled."""
    net = random_pack((5, 14, 12, 10, 4), networks=1, seed=3, dtype=dtype)
    x, y = random_batch(20, 5, 4, seed=3, dtype=dtype)
    own = net(x)[0].argmax(dim=1)
    return net, x, own.where(torch.arange(20) > 2, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("method", "norm"), [*WAYS, ("rub-tight", "l1")])
def test_proof_at_a_radius_does_not_depend_on_other_radii(
    method: str, norm: Norm, dtype: torch.dtype
) -> None:
    net, x, y = case(dtype)
    own = prover(net, method, norm)
    together = own.proven(x, y, RADII)
    alone = torch.cat([own.proven(x, y, radius.view(1)) for radius in RADII])
    assert torch.equal(together, alone)
    assert torch.equal(own.proven(x, y, RADII[2::3]), together[2::3])
    assert together[1].any() and not together[-1].any()


@pytest.mark.parametrize(("method", "norm"), WAYS)
def test_proof_at_several_radii_is_what_the_bounds_say(method: str, norm: Norm) -> None:
    net, x, y = case(torch.float64)
    together = prover(net, method, norm).proven(x, y, RADII)
    for radius, proven in zip(RADII, together, strict=True):
        each = radius.expand(1, len(y))
        bounds = methods.get(method).bounds(net, x, y, each, norm)
        assert torch.equal(proven, bounds.below_zero.all(dim=2)[0])


def test_rows_of_a_split_do_not_depend_on_other_radii() -> None:
    net, x, y = case(torch.float32)
    for name in ("certified-l1-best", "certified-linf"):
        together = survivors(net, x, y, attack=name, radii=RADII)
        for r, radius in enumerate(RADII):
            alone = survivors(net, x, y, attack=name, radii=radius.view(1))
            assert torch.equal(together[:, r], alone[:, 0])


def test_largest_radius_is_the_last_that_is_proven() -> None:
    class Given:
        """What is proven, whatever is asked."""

        def proven(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
            return torch.tensor([[True, True, False], [False, False, False], [True, False, False]])

    y = torch.zeros(3, dtype=torch.int64)
    found = largest(Given(), torch.zeros(3, 1), y, RADII[:3])  # type: ignore[arg-type]
    assert found.tolist() == [2, 0, -1]
