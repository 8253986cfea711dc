"""What a kept network does on rows of one's own: under an attack, and what is certified.

Radii are true radii in the space of scaled inputs, as in the records.

Legend: N rows, R radii.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch

from robust import certify
from robust.evaluate import survivors
from robust.predictor import Predictor
from sweep.driver.kept import Restored
from sweep.driver.rows import Rows
from sweep.grid.options import attack_norm


@dataclass(frozen=True)
class Findings:
    """Two tables.

    Attributes:
        summary: rows `radius, accuracy`, one per radius.
        rows: rows `row, label, predicted, ...`, one per row of the file.
    """

    summary: pl.DataFrame
    rows: pl.DataFrame


def attack(
    restored: Restored, predictor: Predictor, rows: Rows, name: str, radii: Sequence[float]
) -> Findings:
    """Attack every row at every radius.

    Args:
        name: of the attack.
        radii: R, strictly increasing.

    Returns:
        Accuracies, and for each row whether its class is kept: a column per radius.

    Raises:
        ValueError: an unknown attack, radii out of range, inputs outside their bounds.
    """
    ladder = torch.tensor(radii, dtype=torch.float64)
    bounds = restored.preprocessing.bounds
    kept = survivors(restored.net, rows.x, rows.y, attack=name, radii=ladder, bounds=bounds)[0]
    summary = {"radius": list(radii), "accuracy": kept.double().mean(dim=1).tolist()}
    columns = {
        f"keeps at {radius:g}": own.tolist() for radius, own in zip(radii, kept, strict=True)
    }
    return Findings(pl.DataFrame(summary), _per_row(restored, predictor, rows, columns))


def certified(
    restored: Restored, predictor: Predictor, rows: Rows, radii: Sequence[float]
) -> Findings:
    """Certify every row: the largest L1 radius within which its class is proven (by RUB).

    Args:
        radii: R, at which the share of rows is counted.

    Returns:
        The certified accuracies, and each row's certified radius, 0 where it is misclassified.

    Raises:
        ValueError: a network without a bound.
    """
    found = certify.certified_radius(restored.net, rows.x, rows.y)[0].double()
    right = restored.net(rows.x)[0].argmax(dim=1) == rows.y
    shares = [float((right & (found >= radius)).double().mean()) for radius in radii]
    summary = pl.DataFrame({"radius": list(radii), "certified accuracy": shares})
    columns = {"certified radius": found.tolist()}
    return Findings(summary, _per_row(restored, predictor, rows, columns))


def recorded_radii(restored: Restored, name: str) -> list[float]:
    """The true radii at which the trial is recorded under an attack or certificate.

    Raises:
        ValueError: there are none.
    """
    known = sorted(set(restored.rows["attack"]))
    own = restored.rows.filter(pl.col("attack") == name)
    if own.is_empty():
        raise ValueError(
            f"{name}: no radii are recorded of it, so give radii=0,0.1; recorded: "
            f"{', '.join(known)}"
        )
    return sorted(set(own["attack_radius"]))


def unit_of(name: str) -> str:
    """What the radii of an attack or certificate are, in words."""
    return f"{attack_norm(name)} radii of scaled inputs"


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
