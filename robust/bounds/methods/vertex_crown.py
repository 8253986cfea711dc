"""Vertex-CROWN: CROWN with the first layer's ReLUs kept, exact at the vertices of the L1 ball."""

from __future__ import annotations

from robust.bounds import vertex_crown
from robust.bounds.methods.base import ForNetworks, Method, in_float64, register
from robust.networks import MLP

compute = ForNetworks()
compute.register(MLP)(in_float64(vertex_crown.worst_case_differences))

register(Method("vertex-crown", "Vertex-CROWN", ("l1",), compute, effort=2, with_costs=True))
