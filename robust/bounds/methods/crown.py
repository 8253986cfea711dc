"""CROWN with adaptive lower slopes (Zhang et al. 2018)."""

from __future__ import annotations

from robust.bounds import crown, walk_proofs
from robust.bounds.methods.base import ForNetworks, Method, in_float64, on_graph, register
from robust.networks import CNN, MLP, GraphNetwork

compute = ForNetworks("crown")
compute.register(MLP)(in_float64(crown.worst_case_differences))
compute.register(CNN, GraphNetwork)(on_graph(walk_proofs.crown))

register(Method("crown", "CROWN", ("l1", "l2", "linf"), compute, effort=4, with_costs=True))
