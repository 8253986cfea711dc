"""A training step on a device never waits for the host to read a value.

Fake tensors have shapes and no values: what would read one raises. The branches are those that a
GPU takes, on fake CPU tensors, as torch's CPU builds have no CUDA autograd.
"""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch._subclasses.fake_tensor import DynamicOutputShapeException as UnknownShape

from robust import defenses, networks
from robust.bounds import coap_excess, interval_walk, parts, vertex_crown_training
from robust.bounds.rub import cnn_search, mlp_screened_search, mlp_search
from robust.evaluation import attack_batches
from robust.networks import linearization
from robust.supports import supports
from robust.training.optimizer import PackedAdam

NETWORKS = {
    "mlp-3x200": (37, None),
    "cnn": (64, (8, 8, 1)),
    "resmlp-2x64": (37, None),
    "lenet": (256, (16, 16, 1)),
}
BY_DEVICE = (
    mlp_search.CHUNK_ELEMENTS,
    cnn_search.CHUNK_ELEMENTS,
    coap_excess.BLOCK_ELEMENTS,
    interval_walk.BLOCK_ELEMENTS,
    parts.CHUNK_ELEMENTS,
    vertex_crown_training.COUNTED,
    attack_batches.CHUNK_ROWS,
    attack_batches.GROUP,
)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let CPU tensors take a GPU's branches."""
    for choice in BY_DEVICE:
        monkeypatch.setitem(choice, "cpu", choice["cuda"])  # type: ignore[attr-defined]
    monkeypatch.delitem(mlp_screened_search.MIN_FEATURES, "cpu")
    monkeypatch.delitem(linearization.LIFT, "cpu")
    return monkeypatch


def step(defense: str, network: str, on_cpu: bool = False) -> None:
    """Make one training step of three networks without values."""
    features, shape = NETWORKS[network]
    with FakeTensorMode(allow_non_fake_inputs=True):
        net = networks.build(network, features, 10, 3, seed=0, input_shape=shape)
        parameters = list(net.parameters())
        for parameter in parameters:
            parameter.data = torch.empty(parameter.shape)
        optimizer = PackedAdam(parameters, torch.full((3,), 1e-3))
        optimizer.on_cpu = on_cpu
        x, y = torch.randn(32, features), torch.randint(0, 10, (32,))
        method = defenses.get(defense)
        losses = method.example_losses(net, x, y, torch.full((3, 32), 0.1), torch.Generator())
        gradients = torch.autograd.grad(losses.mean(dim=1).sum(), parameters)
        optimizer.step(gradients, torch.ones(3, dtype=torch.bool))


# PGD's many steps ask of a graph what one does.
STEPS = [
    (defense, network)
    for defense in defenses.names()
    for network in sorted(NETWORKS)
    if not (defense.startswith("pgd") and network in ("resmlp-2x64", "lenet"))
]


@pytest.mark.parametrize(("defense", "network"), STEPS)
def test_step_reads_no_value_on_a_gpu(
    defense: str, network: str, as_on_a_gpu: pytest.MonkeyPatch
) -> None:
    if not supports(network, defense):
        pytest.skip("not trained on such networks")
    step(defense, network)


def test_reading_a_rate_would_be_noticed(as_on_a_gpu: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataDependentOutputException):
        step("nominal", "mlp-3x200", on_cpu=True)


def test_counting_open_vertices_would_be_noticed(as_on_a_gpu: pytest.MonkeyPatch) -> None:
    as_on_a_gpu.setitem(mlp_screened_search.MIN_FEATURES, "cpu", 1)
    with pytest.raises(UnknownShape):
        step("rub", "mlp-3x200")
