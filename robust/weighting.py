"""L1 balls in which features have costs: whose costs, and what knows such balls.

The ball is {delta : sum_m c_m |delta_m| <= rho} (`bounds.ball`). What attacks, certifies or trains
in balls whose costs are those of a data set's entry is called by the name of the same thing in the
plain ball, followed by `(costs=catalog)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Kinds of networks for which something takes costs in L1 balls: None for every kind, () for none.
CostKinds = tuple[str, ...] | None

UNIFORM: Final = "uniform"  # 1 for every feature
CATALOG: Final = "catalog"  # those of the data set's entry
COSTS: Final[tuple[str, ...]] = (UNIFORM, CATALOG)
_SUFFIX: Final = f"(costs={CATALOG})"


def weighted(name: str) -> str:
    """Return the name of an attack or a certificate in balls with the catalog's costs."""
    return name + _SUFFIX


def is_weighted(name: str) -> bool:
    """Return whether a name says that its balls have the catalog's costs."""
    return name.endswith(_SUFFIX)


def unweighted(name: str) -> str:
    """Return the name of the same attack or certificate in plain balls."""
    return name.removesuffix(_SUFFIX)


def refuse_costs(what: str, norm: str | None, kinds: CostKinds) -> None:
    """Refuse costs for what knows no such balls.

    Args:
        what: takes costs or not, as the beginning of a sentence.
        norm: of its ball; None where there is none.
        kinds: of networks for which it takes costs in L1 balls.

    Raises:
        ValueError: it takes none.
    """
    if (reason := why_no_costs(norm, kinds)) is not None:
        raise ValueError(f"{what} {reason}")


def why_no_costs(norm: str | None, kinds: CostKinds) -> str | None:
    """Return why something takes no costs, as the end of a sentence, or None."""
    if norm != "l1":
        return f"takes no costs: they are for L1 balls, its ball is: {norm or 'none'}"
    return "takes no costs" if kinds == () else None


def both(kinds: CostKinds, others: CostKinds) -> CostKinds:
    """Return the kinds of networks that two requirements allow together."""
    if kinds is None or others is None:
        return others if kinds is None else kinds
    return tuple(kind for kind in kinds if kind in others)


def check_names(costs: Sequence[str]) -> None:
    """Refuse costs of another name.

    Raises:
        ValueError: names what is allowed.
    """
    for name in costs:
        if name not in COSTS:
            raise ValueError(f"{name!r}: must be one of {', '.join(COSTS)}")
