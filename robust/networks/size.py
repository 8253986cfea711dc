"""How large a network is: what its cost in operations and memory depends on.

Legend: D input features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkSize:
    """What the cost of one network depends on; products are multiply-adds of one example.

    Attributes:
        num_features: D.
        num_classes: K.
        parameters: numbers trained.
        products: of a forward pass.
        first_layer: those of the first layer.
        last_layer: those of the last layer.
        units: activations kept per example.
        dual: of carrying every unit behind the first layer back to the input; 0 where no bound
            that does so is made for the network.
    """

    num_features: int
    num_classes: int
    parameters: int
    products: int
    first_layer: int
    last_layer: int
    units: int
    dual: int = 0

    @property
    def between(self) -> int:
        """Multiply-adds of the layers between the first and the last."""
        return self.products - self.first_layer - self.last_layer
