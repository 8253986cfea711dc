"""Health of accuracies: what raises a flag and what is noise."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.evaluation import diagnostics
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack


def survivors_of(*counts: int, total: int = 100) -> Tensor:
    """The first `count` examples survive, at each radius of one network."""
    return torch.stack([torch.arange(total) < count for count in counts]).unsqueeze(0)


def test_constant_prediction_is_seen_per_network() -> None:
    net, (x, _) = random_pack((4, 8, 3), networks=2, seed=3), random_batch(50, 4, 3)
    with torch.no_grad():
        net.weights[-1][1] = 0.0
    assert diagnostics.constant_prediction(net, x).tolist() == [False, True]


def test_share_without_gradient_counts_correct_examples_only() -> None:
    """Example 0 has no active unit; example 1 has one; example 2 is misclassified."""
    net = MLP(
        [torch.ones(1, 1, 1), torch.tensor([[[1.0, 0.0]]])], [torch.zeros(1, n) for n in (1, 2)]
    )
    x, y = torch.tensor([[-1.0], [1.0], [-2.0]]), torch.tensor([0, 0, 1])
    assert diagnostics.share_without_gradient(net, x, y).tolist() == [0.5]


def test_saturated_softmax_counts_as_no_gradient() -> None:
    net, (x, _) = random_pack((4, 8, 3), seed=3), random_batch(50, 4, 3)
    y = net(x)[0].argmax(dim=1)
    assert float(diagnostics.share_without_gradient(net, x, y)) == 0
    with torch.no_grad():
        net.weights[-1].mul_(1e6)
        net.biases[-1].mul_(1e6)
    assert float(diagnostics.share_without_gradient(net, x, y)) == 1


def test_difference_counts_beyond_three_deviations_of_the_disagreements() -> None:
    base = survivors_of(50)
    assert not diagnostics.more_survive(survivors_of(59), base).item()  # 9 > 3 sqrt(9) is false
    assert diagnostics.more_survive(survivors_of(60), base).item()  # 10 > 3 sqrt(10)
    assert not diagnostics.more_survive(base, survivors_of(60)).item()


def test_balanced_disagreements_are_noise() -> None:
    """40 examples survive the first alone and 30 the second alone: 10 < 3 sqrt(70)."""
    order = torch.arange(100)
    first, second = (order < 40), (order >= 40) & (order < 70)
    assert not diagnostics.more_survive(first.view(1, 1, -1), second.view(1, 1, -1)).item()
