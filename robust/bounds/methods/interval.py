"""Interval bounds: the cheapest proof, one more forward pass."""

from __future__ import annotations

from robust.bounds import interval
from robust.bounds.methods.base import ForNetworks, Method, in_float64, register
from robust.networks import MLP

compute = ForNetworks()
compute.register(MLP)(in_float64(interval.worst_case_differences))

register(Method("interval", "Interval", ("l1", "l2", "linf"), compute, effort=1, with_costs=True))
