"""The cost model counts the products that PyTorch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from robust import defenses, networks
from robust.train import train
from sweep import cost

# PyTorch takes the weights' gradient of a grouped convolution for an ungrouped one: one network.
PACK, STEPS = 1, 2
FEATURES = {"mlp-3x200": 37, "mlp-1x200": 37, "cnn": 784}
SHAPES = {"cnn": (28, 28, 1)}
BATCH = {"mlp-3x200": 32, "mlp-1x200": 32, "cnn": 8}
# RUB searches 25 times as many windows there; COAP's bound is for MLPs. No grid has them.
NOT_ON_CONVOLUTIONS = ("rub", "coap-linf")


def counted(network: str, defense: str) -> float:
    """Floating-point operations of one network's training, by PyTorch's own counter."""
    features, batch = FEATURES[network], BATCH[network]
    net = networks.build(network, features, 7, PACK, seed=0, input_shape=SHAPES.get(network))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, features, generator=generator)
    y = torch.randint(0, 7, (batch,), generator=generator)
    with FlopCounterMode(display=False) as counter:
        train(
            net,
            x,
            y,
            defense=defense,
            radius=torch.full((PACK,), 0.1),
            learning_rate=torch.full((PACK,), 1e-3),
            batch_size=batch,
            steps=STEPS,
            seed=0,
        )
    return counter.get_total_flops() / PACK


@pytest.mark.parametrize("network", FEATURES)
@pytest.mark.parametrize("defense", defenses.names())
def test_training_costs_what_is_counted(network: str, defense: str) -> None:
    if network == "cnn" and defense in NOT_ON_CONVOLUTIONS:
        pytest.skip("not trained on convolutional networks in any grid")
    size = networks.size(network, FEATURES[network], 7, SHAPES.get(network))
    modelled = cost.training_flops(defense, size, BATCH[network], STEPS, BATCH[network])
    # More: rows for biases, and sides padded for the processor. Less: Adam's are not counted.
    assert 0.85 < counted(network, defense) / modelled < 1.1
