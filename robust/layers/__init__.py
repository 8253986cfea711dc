"""Kinds of layers by name: each is one file that knows all that bounds and costs ask of it."""

from __future__ import annotations

from robust.layers.base import LAYERS, Box, Layer, Lines
from robust.layers.graph import Graph, Node, chain
from robust.layers.streams import Streams
from robust.registry import discover

__all__ = ["LAYERS", "Box", "Graph", "Layer", "Lines", "Node", "Streams", "chain"]

discover(__name__)
