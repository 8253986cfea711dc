"""Balls with the costs of a catalog entry: who trains and who is measured in them.

`grid.costs` is an axis of the grid. With `catalog` a defense of the L1 ball trains in the ball
that the data set's costs make of it, under the name `rub(costs=catalog)`; a defense without a ball
is trained once. L1 attacks and certificates are made in the balls of `evaluation.costs`, those of
the grid if nothing is said, under `vertex-l1(costs=catalog)` and the like; those of other norms
have balls of their own, whatever the costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from robust import attacks, defenses
from robust.defenses import Defense
from robust.evaluate import certificate_of
from robust.registry import CATALOG, UNIFORM, weighted, why_no_costs
from sweep.config.schema import Evaluation, Grid


def trained(grid: Grid) -> list[Defense]:
    """Return the defenses of a grid in the balls of its costs, each once.

    Raises:
        ValueError: a defense with a ball that knows no costs, where `catalog` is asked for.
    """
    named = [defenses.get(name) for name in grid.defense]
    found = [_with(method, costs) for method in named for costs in grid.costs]
    return list({method.name: method for method in found}.values())


def _with(method: Defense, costs: str) -> Defense:
    """Return a defense in the ball with these costs."""
    if costs == UNIFORM or method.norm is None:
        return method
    if (reason := why_no_costs(method.norm, method.cost_kinds)) is not None:
        raise ValueError(f"grid.costs={costs}: defense {method.name!r} {reason}")
    name = method.name.partition("(")[0]
    return defenses.variant(name, {**method.parameters, "costs": costs})


def measured(names: Sequence[str], evaluation: Evaluation) -> list[str]:
    """Return attacks and certificates, named as in the configuration, in the balls asked for."""
    costs = evaluation.costs or [UNIFORM]
    plain = [name for name in names if UNIFORM in costs or attack_norm(name) != "l1"]
    return plain + [weighted(n) for n in names if CATALOG in costs and attack_norm(n) == "l1"]


def attack_norm(attack: str) -> str:
    """The norm of an attack's or a certificate's ball."""
    certificate = certificate_of(attack)
    return str(attacks.get(attack).norm if certificate is None else certificate.norm)
