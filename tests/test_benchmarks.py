"""The benchmarks compare equal work, and need no more than torch and numpy."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from benchmarks import plain, vmapped
from robust import defenses
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, RADIUS = 6, 4, 0.1
# The points of PGD start at random; they are compared with foolbox's in tests/robust.
DETERMINISTIC = sorted(set(plain.PLAIN_LOSSES) - {"pgd-linf"})
STEPS_ONLY = ("throughput", "linear", "grid_cost", "compiled", "screening", "norms")


def as_plain(pack: MLP, index: int) -> torch.nn.Sequential:
    """One network of a pack in torch's own layers."""
    net = plain.make_network(FEATURES, CLASSES).to(torch.float64)
    linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, weight, bias in zip(linear, pack.weights, pack.biases, strict=True):
            layer.weight.copy_(weight[index].t())
            layer.bias.copy_(bias[index])
    return net


def pack_losses(defense: str, pack: MLP, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    radius = torch.full((pack.num_networks, len(y)), RADIUS, dtype=x.dtype)
    generator = torch.Generator().manual_seed(0)
    return defenses.get(defense).example_losses(pack, x, y, radius, generator).mean(dim=1)


@pytest.mark.parametrize("defense", DETERMINISTIC)
def test_plain_baseline_minimises_the_loss_of_the_pack(defense: str) -> None:
    pack = random_pack([FEATURES, 200, 200, 200, CLASSES], networks=2)
    x, y = random_batch(9, FEATURES, CLASSES)
    losses = pack_losses(defense, pack, x, y)
    for index in range(2):
        net = as_plain(pack, index)
        expected = plain.PLAIN_LOSSES[defense](net, x, y, RADIUS)
        torch.testing.assert_close(losses[index], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("defense", ["nominal", "baseline-linf"])
def test_vmapped_baseline_minimises_the_loss_of_the_pack(defense: str) -> None:
    pack = random_pack([FEATURES, 200, 200, 200, CLASSES])
    x, y = random_batch(9, FEATURES, CLASSES)
    net = as_plain(pack, 0)
    loss = vmapped.losses(net)[defense](dict(net.named_parameters()), x, y, RADIUS, x)
    torch.testing.assert_close(loss, pack_losses(defense, pack, x, y)[0], rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", STEPS_ONLY)
def test_benchmark_of_steps_imports_torch_and_numpy_only(name: str) -> None:
    heavy = ("ray", "mlflow", "hydra", "omegaconf", "pandas", "foolbox", "openml", "sklearn")
    code = f"import sys, benchmarks.{name}; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
