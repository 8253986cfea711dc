"""The paper's own numbers (Tables 1 to 12), kept as data, and how ours compare with them.

`accuracy.csv`: Tables 3 to 5 (minimum over PGD and FGM), 7 to 9 (certified) and 10 to 12 (CNN,
PGD-L2), in percent; `radius_printed` is the rounded head of the paper's column, `attack_radius`
the radius behind it. Bold and colour are not kept: the paper's captions state their rule (the best
of a column; within 0.5 points of it), and the tables apply it. `bound_rate.csv`: Table 1.
`throughput_*.csv`: Tables 2 and 6.
"""

from __future__ import annotations

from functools import cache
from math import isclose
from pathlib import Path

import pandas as pd

# All accuracies printed, but one of Table 4, are multiples of 1/2,560: ten batches of 256.
SAMPLES = 2560
NOISE = 1.96  # standard deviations that 95% of a normal variable lie within

_FOLDER = Path(__file__).parent


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(_FOLDER / f"{name}.csv", dtype={"radius_printed": str})


def accuracies(table: int) -> pd.DataFrame:
    """Return one accuracy table of the paper, tidy."""
    frame = _read("accuracy")
    return frame[frame["table"] == table].reset_index(drop=True)


def bound_rates() -> pd.DataFrame:
    """Return Table 1: `norm, rho, percent_upper_bound`."""
    return _read("bound_rate").copy()


def throughput(data: str) -> pd.DataFrame:
    """Return Table 2 (`tabular`) or 6 (`vision`): mean and deviation per defense."""
    return _read(f"throughput_{data}").copy()


@cache
def printed_radii(table: int) -> dict[tuple[str, str], float]:
    """Return (norm, head of column) -> the true radius behind it, in the paper's order."""
    frame = accuracies(table)
    heads = zip(frame["attack_norm"], frame["radius_printed"], strict=True)
    return dict(zip(heads, frame["attack_radius"], strict=True))


@cache
def column_of(table: int, norm: str, radius: float) -> str | None:
    """Return the head of the paper's column for a radius, or None where it has none.

    Records made from the paper's printed numbers carry the rounded radius itself.
    """
    heads = {head: true for (n, head), true in printed_radii(table).items() if n == norm}
    for head, true in heads.items():
        if isclose(radius, true, rel_tol=1e-3, abs_tol=1e-9):
            return head
    for head in heads:
        if isclose(radius, float(head), rel_tol=1e-9):
            return head
    return None


def compared(frame: pd.DataFrame, table: int) -> pd.DataFrame:
    """Return the frame with the paper's value and ours minus it, in percent points.

    Adds `radius_printed` (null where the paper has no such column), `paper_percent`,
    `difference` and `beyond`, whether that is more than sampling noise.
    """
    places = zip(frame["attack_norm"], frame["attack_radius"], strict=True)
    heads = [column_of(table, str(norm), float(radius)) for norm, radius in places]
    theirs = accuracies(table)[["attack_norm", "radius_printed", "defense", "percent"]]
    merged = frame.assign(
        radius_printed=pd.Series(heads, index=frame.index, dtype="object")
    ).merge(
        theirs.rename(columns={"percent": "paper_percent"}),
        on=["attack_norm", "radius_printed", "defense"],
        how="left",
    )
    difference = (merged["percent"] - merged["paper_percent"]).round(2)
    noise = sampling_noise(merged["percent"], merged["paper_percent"], merged["num_samples"])
    return merged.assign(difference=difference, beyond=difference.abs() > noise)


def sampling_noise(ours: pd.Series, theirs: pd.Series, samples: pd.Series) -> pd.Series:
    """Return what two percentages of one truth differ by in 95% of cases, at most.

    1.96 sqrt(p (1 - p) (1/n + 1/2560)), p being the mean of the two, pulled half a sample away
    from 0 and 1, which would know no noise.
    """
    share = ((ours + theirs) / 200).clip(0.5 / SAMPLES, 1 - 0.5 / SAMPLES)
    deviation = (share * (1 - share) * (1 / samples + 1 / SAMPLES)) ** 0.5
    return 100 * NOISE * deviation


def head_text(table: int, norm: str, head: str) -> str:
    """Return the head of a column as the paper prints it.

    Two digits; three for L-infinity below 1 and for convolutional networks (Tables 10 to 12).
    """
    three = table >= 10 or (norm == "linf" and float(head) < 1)
    return f"{float(head):.{3 if three else 2}f}"
