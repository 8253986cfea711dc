"""COAP (Wong and Kolter 2018): CROWN with lower slopes parallel to the chords.

`bounds.coap` has it for training; here it is computed with margins for rounding.
"""

from __future__ import annotations

from functools import partial

from robust.bounds import crown
from robust.bounds.methods.base import ForNetworks, Method, in_float64, register
from robust.networks import MLP

compute = ForNetworks()
compute.register(MLP)(in_float64(partial(crown.worst_case_differences, rule="parallel")))

register(Method("coap", "COAP", ("l1", "l2", "linf"), compute, effort=5, with_costs=True))
