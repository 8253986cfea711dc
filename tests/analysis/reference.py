"""Selection and the paper's accuracy tables once more, in plain loops over dictionaries.

Slow and obvious on purpose: what `analysis` computes column by column is compared with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
Key = tuple[Any, ...]

PAIRS = {
    "l2": ("pgd-l2", "fgm-l2"),
    "l1": ("pgd-l1", "fgm-l1"),
    "linf": ("pgd-linf", "fgsm-linf"),
}


def order(row: Row) -> Key:
    """The order that settles ties: smaller grid radius, smaller learning rate, trial id."""
    return (row["grid_radius"], row["learning_rate"], row["trial_id"])


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def choose(rows: list[Row]) -> Row | None:
    """The validation row of the chosen trial among the rows of one attack and radius."""
    chosen = None
    for row in rows:
        if row["split"] != "validation" or row["status"] != "complete":
            continue
        if row["accuracy"] is None:
            continue
        if chosen is None or _preference(row) < _preference(chosen):
            chosen = row
    return chosen


def _preference(row: Row) -> Key:
    return (-row["accuracy"], *order(row))


def ties(rows: list[Row], pick: Row) -> list[str]:
    """The trials whose validation accuracy is as high as that of the chosen one."""
    return [
        row["trial_id"]
        for row in rows
        if row["split"] == "validation"
        and row["status"] == "complete"
        and row["accuracy"] == pick["accuracy"]
    ]


def selected_on_validation(rows: list[Row], keys: tuple[str, ...] = ()) -> list[Row]:
    """The first chosen trial with the mean test accuracy of all that tie; none if not measured."""

    def arm(row: Row) -> Key:
        place = (row["dataset"], row["defense"], row["attack"], row["attack_grid_radius"])
        return (*place, *(row[key] for key in keys))

    found = []
    for group in grouped(rows, arm).values():
        pick = choose(group)
        if pick is None:
            continue
        tied = ties(group, pick)
        tests = [
            row["accuracy"]
            for row in group
            if row["split"] == "test" and row["trial_id"] in tied and row["accuracy"] is not None
        ]
        if tests:
            mean = round(sum(tests) / len(tests), 12)
            found.append({**pick, "validation": pick["accuracy"], "accuracy": mean})
    return found


def weakest(rows: list[Row], keys: tuple[str, ...]) -> dict[Key, Row]:
    """Per key the row with the lowest test accuracy, the first attack by name in a tie."""
    return {
        key: min(group, key=lambda row: (row["accuracy"], row["attack"]))
        for key, group in grouped(rows, lambda row: tuple(row[k] for k in keys)).items()
    }


def marked(cells: dict[Key, Row], column: Callable[[Key], Key]) -> dict[Key, Row]:
    """Each cell with its percentage and marks; a column's cells are compared with its best."""
    best: dict[Key, float] = {}
    for key, row in cells.items():
        best[column(key)] = max(best.get(column(key), 0.0), row["accuracy"])
    return {
        key: {
            "percent": round(100 * row["accuracy"], 2),
            "best": row["accuracy"] == best[column(key)],
            "near_best": 100 * row["accuracy"] >= 100 * best[column(key)] - 0.5 - 1e-9,
            "trial_id": row["trial_id"],
        }
        for key, row in cells.items()
    }


def robust(rows: list[Row], keys: tuple[str, ...] = ()) -> dict[Key, Row]:
    """Tables 3 to 5: minimum over a norm's two attacks, each selecting for itself.

    All records here have both attacks of every norm, so a minimum over one of them is missing.
    """
    attacks = [attack for pair in PAIRS.values() for attack in pair]
    names = ("dataset", *keys, "attack_norm", "attack_grid_radius", "defense")
    chosen = selected_on_validation([row for row in rows if row["attack"] in attacks], keys)
    groups = grouped(chosen, lambda row: tuple(row[k] for k in names))
    both = [row for group in groups.values() if len(group) == 2 for row in group]
    return marked(weakest(both, names), lambda key: key[:-1])


def single(rows: list[Row], attacks: tuple[str, ...]) -> dict[Key, Row]:
    """Tables 7 to 12: one attack or bound at a time."""
    names = ("dataset", "attack", "attack_norm", "attack_grid_radius", "defense")
    chosen = selected_on_validation([row for row in rows if row["attack"] in attacks])
    return marked(weakest(chosen, names), lambda key: key[:-1])


def pixel(rows: list[Row], scales: dict[str, float]) -> dict[Key, Row]:
    """Tables 3 to 5 at pixel radii: each scaling at the next radius measured, the better one.

    A column in which some ball is over 5% larger than the others has no marks.
    """
    attacks = [attack for pair in PAIRS.values() for attack in pair]
    reached: list[Row] = []
    under_attack = [row for row in rows if row["attack"] in attacks]
    chosen = selected_on_validation(under_attack, ("scaling",))
    for group in grouped(chosen, lambda r: (r["dataset"], r["attack"])).values():
        targets = {row["attack_grid_radius"]: row["attack_radius"] for row in group}
        for grid, target in targets.items():
            for rivals in grouped(group, lambda row: (row["defense"],)).values():
                row = _preferred(rivals, target, scales)
                if row is not None:
                    large = row["measured"] > 1.05 * target
                    reached.append({**row, "attack_grid_radius": grid, "large": large})
    names = ("dataset", "attack_norm", "attack_grid_radius", "defense")
    unlike = {tuple(row[name] for name in names[:-1]) for row in reached if row["large"]}
    cells = marked(weakest(reached, names), lambda key: key[:-1])
    for key, cell in cells.items():
        cell["best"] &= key[:-1] not in unlike
        cell["near_best"] &= key[:-1] not in unlike
    return cells


def _preferred(rivals: list[Row], target: float, scales: dict[str, float]) -> Row | None:
    nearest: dict[str, tuple[float, Row]] = {}
    for row in rivals:
        standard = row["scaling"] == "standardized"
        measured = row["attack_radius"] * (scales[row["dataset"]] if standard else 1.0)
        if measured < target * (1 - 1e-9):
            continue
        if row["scaling"] not in nearest or measured < nearest[row["scaling"]][0]:
            nearest[row["scaling"]] = (measured, {**row, "measured": measured})
    rows = [row for _, row in nearest.values()]
    return min(rows, key=lambda row: (-row["validation"], order(row)), default=None)
