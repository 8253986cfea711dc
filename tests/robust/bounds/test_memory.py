"""Peak memory of certified training, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Prints by how much the peak resident memory grows over one loss and its gradient, in bytes.
# VmHWM belongs to this program alone; ru_maxrss would start from the parent's peak.
SCRIPT = """
import re, sys, torch
from pathlib import Path
from robust import defenses, networks
def resident(field):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(field + r":\\s+(\\d+) kB", text)[1])
torch.set_num_threads(1)
features, batch, count = (int(v) for v in sys.argv[2:])
net = networks.build("mlp-3x200", features, 10, count, seed=0)
x, y = torch.randn(batch, features), torch.arange(batch) % 10
defenses.get("nominal").loss(net, x, y, 0.0).sum().backward()  # loads what torch loads lazily
before = resident("VmRSS")
defenses.get(sys.argv[1]).loss(net, x, y, 0.1).sum().backward()
print(resident("VmHWM") - before)
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc"
)


def growth(features: int, batch: int, networks: int = 1, defense: str = "rub") -> int:
    """Return the growth of the peak resident memory in bytes."""
    sizes = [str(value) for value in (features, batch, networks)]
    command = [sys.executable, "-c", SCRIPT, defense, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    return int(done.stdout)


def test_mnist_shape_is_less_than_one_layer_at_all_vertices() -> None:
    # All vertices of one hidden layer alone would be 784 x 2 x 256 x 200 x 4 bytes, 321 MB.
    assert 1e6 < growth(784, 256) < 321e6


@pytest.mark.slow
def test_cifar_shape_is_less_than_one_layer_at_all_vertices() -> None:
    # The same is 629 MB here.
    assert growth(3072, 128) < 629e6


@pytest.mark.slow
def test_memory_does_not_grow_with_features_times_batch() -> None:
    assert growth(784, 512) < growth(784, 256) + 150e6


@pytest.mark.slow
def test_coap_does_not_grow_with_its_pack() -> None:
    # Kept whole, the coefficients of a hidden layer are 164 MB for four networks and 492 MB for
    # twelve, and more than a dozen such tensors would be saved for the gradient.
    assert growth(36, 256, networks=4, defense="coap-linf") < 600e6
    assert growth(36, 256, networks=12, defense="coap-linf") < 1.2e9
