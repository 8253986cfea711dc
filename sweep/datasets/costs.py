"""What moving each feature costs, by the `costs` of a catalog entry: an L1 ball's weights.

    costs: {default: 1, age: inf, income: 0.5}
    costs_per: deviation

With costs c the ball is {delta : sum_m c_m |delta_m| <= rho} in the scaled space. `inf` holds a
feature fixed. A cost is that of moving a feature by one standard deviation of the training rows,
which is 1 in the scaled space; with `costs_per: unit` by 1 in the units of the table.

A column that is one-hot encoded gives its cost to each of its inputs. Per unit a switch between
two of several categories, which moves two inputs by 1, costs what the entry says: each input has
half of it. The inputs of a column are moved one by one, also by fractions: balls contain the
switches that they can pay for and more, and no attack tries a switch as one step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sweep.datasets.catalog import CatalogEntry, check_cost
from sweep.datasets.scaling import statistics
from sweep.datasets.values import FloatArray, Indices, OneHot, RawData
from sweep.errors import unknown
from sweep.hashing import content_hash

DEFAULT = "default"  # of the features that are not listed; a column of that name has it too
UNIT = "unit"  # of `costs_per`


def feature_costs(
    entry: CatalogEntry | None, raw: RawData, indices: Indices, name: str
) -> tuple[float, ...] | None:
    """Return what moving each input by 1 in the scaled space costs, D numbers.

    Args:
        entry: of the data set; None where there is none.
        raw: its arrays.
        indices: its split, of which the training rows tell the deviations.
        name: for errors.

    Returns:
        Positive, infinite where an input cannot be moved; None where the entry names no costs.

    Raises:
        ValueError: a feature that the data do not have; images; nothing that can be moved.
    """
    if entry is None or entry.costs is None:
        return None
    if raw.is_vision:
        raise ValueError(f"data set {name}: costs are for tables; pixels have no names")
    costs = _by_input(entry.costs, raw, name)
    if entry.costs_per == UNIT:
        costs = _per_deviation(costs, raw, indices)
    if np.isinf(costs).all():
        raise ValueError(f"data set {name}: costs: all are inf; some feature must be movable")
    return tuple(costs.tolist())


def costs_hash(entry: CatalogEntry | None, raw: RawData, name: str) -> str | None:
    """Return what stands for a data set's costs in ids: those of each input, in the entry's unit.

    What they are in the scaled space follows from it and from the training rows, which ids hash.
    """
    if entry is None or entry.costs is None:
        return None
    costs = [repr(cost) for cost in _by_input(entry.costs, raw, name).tolist()]
    return content_hash([entry.costs_per, costs])


def notes(entry: CatalogEntry | None, raw: RawData) -> tuple[str, ...]:
    """Return what a user should know about the costs of one-hot encoded columns."""
    several = [group.column for group in raw.groups if len(group.inputs) > 1]
    if entry is None or entry.costs is None or not several:
        return ()
    return (
        f"costs: the inputs of {', '.join(several)} are moved one by one, also by fractions; no "
        "attack tries a switch of category as one step",
    )


def _by_input(listed: Mapping[str, object], raw: RawData, name: str) -> FloatArray:
    """Return the cost of each input, [D], in the entry's unit."""
    given = {str(key): check_cost(key, cost, f"data set {name}") for key, cost in listed.items()}
    groups = {group.column: group.inputs for group in raw.groups}
    costs = np.full(len(raw.features), given.get(DEFAULT, 1.0))
    places = {feature: i for i, feature in enumerate(raw.features)}
    known = [*dict.fromkeys(_column(i, raw) for i in range(len(raw.features)))]
    for column in sorted(set(given) - {DEFAULT}, key=lambda one: one not in groups):
        if column in groups:
            costs[list(groups[column])] = given[column]
        elif column in places:  # after its group: one category may cost more than the others
            costs[places[column]] = given[column]
        else:
            raise ValueError(f"data set {name}: costs: {unknown('feature', column, known)}")
    return costs


def _column(place: int, raw: RawData) -> str:
    """Return the column that an input comes from."""
    group = _group_of(place, raw)
    return raw.features[place] if group is None else group.column


def _group_of(place: int, raw: RawData) -> OneHot | None:
    return next((group for group in raw.groups if place in group.inputs), None)


def _per_deviation(costs: FloatArray, raw: RawData, indices: Indices) -> FloatArray:
    """Return costs per unit of the table as costs per standard deviation, [D].

    A column that does not vary in the training rows is 0 to every network: it cannot be moved.
    """
    of_train = statistics(raw.x.astype(np.float64, copy=False), indices.train)
    deviation = of_train.deviation * of_train.unit
    for group in raw.groups:
        if len(group.inputs) > 1:
            costs[list(group.inputs)] /= 2
    fixed = deviation == 0
    return np.where(fixed, np.inf, costs * np.where(fixed, 1.0, deviation))
