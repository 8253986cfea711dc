"""What a trial costs: floating-point operations and bytes, as functions of its setting.

The model counts matrix products only. It orders packs and splits the work evenly; how long an
operation takes on the device at hand is measured (sweep/calibration.py).

Legend: P networks in the pack, B batch, D input features, H hidden units, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from robust import attacks as known_attacks
from robust.attacks.gradient import GradientAttack
from robust.norms import ORDERS

_MLP = re.compile(r"mlp-(\d+)x(\d+)")
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class NetworkSize:
    """What the cost of one network depends on."""

    num_features: int
    num_classes: int
    parameters: int
    products: int  # multiply-adds of one example's forward pass
    first_layer: int  # those of the first layer
    last_layer: int  # those of the last layer
    units: int  # activations kept per example
    dual: int = 0  # multiply-adds of carrying every unit behind the first layer back to the input

    @property
    def between(self) -> int:
        """Multiply-adds of the layers between the first and the last."""
        return self.products - self.first_layer - self.last_layer


def network_size(network: str, num_features: int, num_classes: int) -> NetworkSize:
    """Count one network's parameters, products and activations.

    Any network that is no mlp-LxH is taken for Madry's convolutional one.
    """
    match = _MLP.fullmatch(network)
    if match is None:
        return _convolutional_size(num_features, num_classes)
    depth, width = int(match[1]), int(match[2])
    sizes = [num_features, *[width] * depth, num_classes]
    products = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    return NetworkSize(
        num_features=num_features,
        num_classes=num_classes,
        parameters=products + sum(sizes[1:]),
        products=products,
        first_layer=num_features * width,
        last_layer=width * num_classes,
        units=sum(sizes[1:]),
        dual=sum(width * num_features * width + width**3 * below for below in range(depth - 1)),
    )


def _convolutional_size(num_features: int, num_classes: int) -> NetworkSize:
    channels = 3 if num_features % 3 == 0 else 1
    side = round((num_features / channels) ** 0.5)
    first = side**2 * 25 * channels * 32
    second = (side // 2) ** 2 * 25 * 32 * 64
    flat = (side // 4) ** 2 * 64
    dense = flat * 1024 + 1024 * num_classes
    return NetworkSize(
        num_features=num_features,
        num_classes=num_classes,
        parameters=25 * channels * 32 + 25 * 32 * 64 + dense,
        products=first + second + dense,
        first_layer=first,
        last_layer=1024 * num_classes,
        units=side**2 * 40 + (side // 2) ** 2 * 80 + 1024,
    )


def _gradients(attack: str) -> int:
    """How many gradients an attack takes of each input; 1 where it does not say."""
    method = known_attacks.get(attack)
    return method.num_steps * method.restarts if isinstance(method, GradientAttack) else 1


def _adversarial_training(gradients: int) -> Callable[[NetworkSize], float]:
    return lambda n: (3 + 2 * gradients) * n.products - n.first_layer


# Multiply-adds of one training step per example. A forward and backward pass is three forward
# passes, less the first layer's gradient at the inputs; without the parameters' gradient (an
# attack) it is two. tests/sweep/test_cost.py compares them with PyTorch's own counts.
_TRAINING: dict[str, Callable[[NetworkSize], float]] = {
    "nominal": lambda n: 3 * n.products - n.first_layer,
    "baseline": lambda n: 6 * n.products - n.first_layer,
    # The network and K - 1 differences pulled back, forward and backward.
    "arub": lambda n: 3 * n.products * n.num_classes - n.first_layer,
    # 2D vertices: two streams between the first layer, which costs nothing, and the last, where
    # they have become one; then the worst of each of K - 1 classes again, with gradient.
    "rub": lambda n: (
        2 * n.num_features * (2 * n.between + n.last_layer)
        + 6 * (n.num_classes - 1) * n.between
        + n.products
    ),
    "fgsm": _adversarial_training(gradients=1),
    **{f"pgd-{norm}": _adversarial_training(_gradients(f"pgd-{norm}")) for norm in ORDERS},
    # The network, every hidden unit and K - 1 differences pulled back, forward and backward.
    "coap": lambda n: 3 * (n.dual + n.num_classes * n.products),
}


def training_flops(
    defense: str, size: NetworkSize, batch_size: int, steps: int, num_train: int
) -> float:
    """Floating-point operations of training one network."""
    kind = defense if defense in _TRAINING else defense.split("-")[0]
    products = _TRAINING.get(kind, _TRAINING["pgd-linf"])(size)
    adam = 6 * size.parameters
    return steps * (2 * products * min(batch_size, num_train) + adam)


# All radii of an example share a bisection, and most vertices are settled without a search.
_CERTIFICATE_SEARCHES = 2


def evaluation_flops(
    size: NetworkSize, attacks: tuple[str, ...], num_radii: int, num: int
) -> float:
    """Floating-point operations of evaluating one network on `num` samples."""
    passes = 0.0
    for attack in attacks:
        if attack.startswith("certified"):
            passes += _CERTIFICATE_SEARCHES * _TRAINING["rub"](size) / size.products / num_radii
        elif attack.startswith("vertex"):
            passes += 2 * size.num_features * (1 - size.first_layer / size.products)
        else:
            passes += 2 * _gradients(attack) + 1
    return 2.0 * passes * size.products * num_radii * num


# Floats that a step of training keeps for one example beside the parameters' own: fitted to the
# growth of peak resident memory at D = 36 and 784, B = 32 and 256 (sweep/probe.py measures it).
_KEPT: dict[str, Callable[[NetworkSize], float]] = {
    "nominal": lambda n: 4 * n.units,
    "baseline": lambda n: 6 * n.units + 2.6 * n.num_features,
    "arub": lambda n: 3 * (n.num_classes + 1) * n.units + 4 * n.num_classes * n.num_features,
    "rub": lambda n: 8.3 * n.num_classes * n.units,
    "fgsm": lambda n: 4 * n.units + 12 * n.num_features,
    "pgd": lambda n: 4 * n.units + 2 * n.num_features,
    "coap": lambda n: 100 * n.units,
}
# Blocks of a size that no pack changes: at most so many bytes, and so often what a network takes.
_BLOCKS = {"rub": (20e6, 2), "coap": (120e6, 8)}
_STATES = 5  # parameters, gradients, Adam's two moments, and what an update computes


def pack_bytes(defense: str, size: NetworkSize, batch_size: int, num_networks: int) -> float:
    """Memory of training a pack: parameters, optimizer, and what the loss keeps per example."""
    kind = defense.split("-")[0]
    floats = _KEPT.get(kind, _KEPT["arub"])(size) * batch_size + _STATES * size.parameters
    each = floats * _FLOAT_BYTES
    most, often = _BLOCKS.get(kind, (0.0, 0))
    return min(most, often * each) + num_networks * each
