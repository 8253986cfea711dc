"""CROWN with adaptive lower slopes (Zhang et al. 2018)."""

from __future__ import annotations

from robust.bounds import crown
from robust.bounds.methods.base import ForNetworks, Method, in_float64, register
from robust.networks import MLP

compute = ForNetworks()
compute.register(MLP)(in_float64(crown.worst_case_differences))

register(Method("crown", "CROWN", ("l1", "l2", "linf"), compute, effort=4, with_costs=True))
