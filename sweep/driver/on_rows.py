"""What a kept network does on rows of one's own: under an attack, and what is certified.

Radii are true radii in the space of scaled inputs, as in the records.

Legend: N rows, R radii.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl
import torch

from robust import certify
from robust.evaluate import survivors
from robust.norms import ORDERS, Norm
from robust.predictor import Predictor
from robust.registry import unknown
from sweep.driver.kept import Restored
from sweep.driver.rows import Rows


@dataclass(frozen=True)
class Findings:
    """Two tables.

    Attributes:
        summary: rows `radius, accuracy`, one per radius.
        rows: rows `row, label, predicted, ...`, one per row of the file.
    """

    summary: pl.DataFrame
    rows: pl.DataFrame


@dataclass(frozen=True)
class Proof:
    """How rows are certified.

    Attributes:
        norm: of the ball.
        method: of `certify.methods()`.
        costs: of moving a feature by 1, by its name; infinite: it cannot be moved.
    """

    norm: Norm
    method: str
    costs: Mapping[str, float]


def attack(
    restored: Restored,
    predictor: Predictor,
    rows: Rows,
    name: str,
    radii: Sequence[float],
    costs: Mapping[str, float] | None = None,
) -> Findings:
    """Attack every row at every radius.

    Args:
        name: of the attack.
        radii: R, strictly increasing.
        costs: of moving a feature by 1, by its name; infinite: it cannot be moved.

    Returns:
        Accuracies, and for each row whether its class is kept: a column per radius.

    Raises:
        ValueError: an unknown attack, radii out of range, inputs outside their bounds, costs
            where the attack takes none.
    """
    ladder = torch.tensor(radii, dtype=torch.float64)
    bounds = restored.preprocessing.bounds
    prices = _costs(costs or {}, predictor)
    kept = survivors(
        restored.net, rows.x, rows.y, attack=name, radii=ladder, bounds=bounds, costs=prices
    )[0]
    summary = {"radius": list(radii), "accuracy": kept.double().mean(dim=1).tolist()}
    columns = {
        f"keeps at {radius:g}": own.tolist() for radius, own in zip(radii, kept, strict=True)
    }
    return Findings(pl.DataFrame(summary), _per_row(restored, predictor, rows, columns))


def certified(
    restored: Restored,
    predictor: Predictor,
    rows: Rows,
    radii: Sequence[float],
    proof: Proof,
) -> Findings:
    """Certify every row: the largest radius within which its class is proven.

    Args:
        radii: R, at which the share of rows is counted.
        proof: norm, method and costs.

    Returns:
        The certified accuracies, and each row's certified radius, 0 where it is misclassified.

    Raises:
        ValueError: a network, norm or costs that the method is not made for.
    """
    costs = _costs(proof.costs, predictor)
    found = certify.certified_radius(
        restored.net, rows.x, rows.y, norm=proof.norm, method=proof.method, costs=costs
    )[0].double()
    with torch.no_grad():
        right = restored.net(rows.x)[0].argmax(dim=1) == rows.y
    shares = [float((right & (found >= radius)).double().mean()) for radius in radii]
    summary = pl.DataFrame({"radius": list(radii), "certified accuracy": shares})
    columns = {"certified radius": found.tolist()}
    return Findings(summary, _per_row(restored, predictor, rows, columns))


def proof_of(norm: str, method: str, costs: str) -> Proof:
    """Return what a command's options ask for: RUB for L1, all proofs for other norms or costs.

    Raises:
        ValueError: an unknown norm or method; costs that are no numbers.
    """
    if norm not in ORDERS:
        raise ValueError(f"norm={norm}: {unknown('norm', norm, ORDERS)}")
    method = method or ("rub" if norm == "l1" and not costs else "best")
    if method not in certify.methods():
        raise ValueError(f"method={method}: {unknown('method', method, certify.methods())}")
    return Proof(cast(Norm, norm), method, costs_of(costs))


def costs_of(costs: str) -> dict[str, float]:
    """Return the costs that a command's option names, as in age:inf,income:2.

    Raises:
        ValueError: they are no numbers.
    """
    found = {}
    for text in costs.split(",") if costs else ():
        name, _, number = text.rpartition(":")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise ValueError(f"costs={costs}: must be as in age:inf,income:2") from None
    return found


def _costs(costs: Mapping[str, float], predictor: Predictor) -> list[float] | None:
    """The cost of each feature, [D]; 1 where none is given."""
    if not costs:
        return None
    names = predictor.feature_names_in_
    known = [] if names is None else names.tolist()
    for name in costs:
        if name not in known:
            raise ValueError(f"costs: {unknown('feature', name, known)}")
    return [costs.get(name, 1.0) for name in known]


def recorded_radii(restored: Restored, column: str, value: str) -> list[float]:
    """The true radii at which the trial is recorded.

    Args:
        column: attack or attack_norm, of which rows with this value count.

    Raises:
        ValueError: there are none.
    """
    own = restored.rows.filter(pl.col(column) == value)
    if own.is_empty():
        known = ", ".join(sorted(set(restored.rows[column])))
        raise ValueError(
            f"{value}: no radii are recorded of it, so give radii=0,0.1; recorded: {known}"
        )
    return sorted(set(own["attack_radius"]))


def _per_row(
    restored: Restored, predictor: Predictor, rows: Rows, columns: dict[str, list[object]]
) -> pl.DataFrame:
    with torch.no_grad():
        codes = restored.net(rows.x)[0].argmax(dim=1)
    predicted = [str(predictor.classes_[code]) for code in codes.tolist()]
    numbers = range(1, len(rows.names) + 1)
    return pl.DataFrame(
        {"row": numbers, "label": list(rows.names), "predicted": predicted, **columns}
    )
