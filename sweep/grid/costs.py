"""The costs of a data set's entry in ids, in training and in evaluation (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from robust import defenses
from robust.defenses import Defense
from robust.registry import CATALOG, is_weighted
from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo


def costs_of(info: DatasetInfo, name: str) -> tuple[float, ...] | None:
    """Return the costs of an attack's, a certificate's or a defense's ball; None: 1 for all.

    Args:
        info: of the data set.
        name: of an attack or certificate, or of a defense.
    """
    is_defense = name.partition("(")[0] in defenses.names() and not is_weighted(name)
    asked = is_weighted(name) or (is_defense and defenses.get(name).costs == CATALOG)
    return info.costs if asked else None


def check(info: DatasetInfo, methods: Sequence[Defense], evaluation: Evaluation) -> None:
    """Refuse the catalog's costs of a data set that has none.

    Raises:
        ValueError: names the key that asks for them.
    """
    if info.costs is not None:
        return
    key = "grid.costs" if any(m.costs == CATALOG for m in methods) else "evaluation.costs"
    if key == "grid.costs" or CATALOG in evaluation.costs:
        raise ValueError(
            f"{key}={CATALOG}: data set {info.name!r} has no costs; name them in its catalog "
            "entry, as in costs: {age: inf}"
        )
