"""Interval bounds: the cheapest proof, one more forward pass."""

from __future__ import annotations

from robust.bounds import interval, walk_proofs
from robust.bounds.methods.base import ForNetworks, Method, in_float64, on_graph, register
from robust.networks import CNN, MLP, GraphNetwork

compute = ForNetworks("interval")
compute.register(MLP)(in_float64(interval.worst_case_differences))
compute.register(CNN, GraphNetwork)(on_graph(walk_proofs.interval))

register(Method("interval", "Interval", ("l1", "l2", "linf"), compute, effort=1, with_costs=True))
