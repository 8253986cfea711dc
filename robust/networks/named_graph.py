"""`graph`: networks of any other architecture, which come from elsewhere and have no name.

`robust.networks.from_sequential` and `robust.networks.load` make them; no grid can ask for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.networks.base import NetworkKind, register
from robust.networks.graph import GraphNetwork
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class Unnamed(NetworkKind):
    """Architectures that only a pack can tell."""

    def matches(self, name: str) -> bool:
        """Return False: none has a name."""
        return False

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> GraphNetwork:
        """Refuse: no name says which layers."""
        raise ValueError(f"network {name!r} has no name that tells its layers")

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Refuse: no name says which layers."""
        raise ValueError(f"network {name!r} has no name that tells its layers")


register(Unnamed(kind="graph", examples=(), pattern="", pack=GraphNetwork))
