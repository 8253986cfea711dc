"""Points of every norm's attacks refute certificates of every norm, by their own distance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust.evaluate import survivors
from robust.evaluation.soundness import CertificateCheck
from robust.networks import MLP
from robust.norms import Norm
from tests.robust.helpers import random_batch, random_pack

RADII = torch.tensor([0.0, 0.2, 1.0, 4.0], dtype=torch.float64)


def case() -> tuple[MLP, Tensor, Tensor]:
    net = random_pack((4, 12, 10, 3), networks=2, seed=9)
    x, _ = random_batch(20, 4, 3, seed=9)
    return net, x, net(x)[0].argmax(dim=1)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("attack", ["pgd-l1", "pgd-l2", "pgd-linf", "vertex-l1"])
def test_false_claim_is_contradicted_and_a_proof_is_not(attack: str, norm: Norm) -> None:
    net, x, y = case()
    everything = torch.ones(2, len(RADII), len(y), dtype=torch.bool)
    name = "certified-l1-best" if norm == "l1" else f"certified-{norm}"
    proven = survivors(net, x, y, attack=name, radii=RADII)
    assert proven[:, 1].any()
    same = attack.endswith(norm)
    checks = [
        CertificateCheck(net, x, y, RADII, claim, attack, same_balls=same, order=norm)
        for claim in (everything, proven)
    ]
    for check in checks:
        survivors(net, x, y, attack=attack, radii=RADII, on_points=check)
    false, true = checks
    assert false.found and all(one.gap >= 0 for one in false.found)
    assert not true.found and not true.refuted.any()
