"""What the paper says of its figures in words or numbers, and whether ours shows it too.

The figures' own data are not published; the statements are those of sections 3 and 6.2.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.artifact import Agreement

# Section 6.2 of Figure 2: aRUB-Linf and PGD-Linf are best below 0.1; RUB for the larger radii.
SMALL, SMALL_BEST = 0.1, {"arub-linf", "pgd-linf"}
LARGE, LARGE_BEST = 1.0, {"rub"}
LOWERED, MUCH, MUCH_RAISED, SETS = 3, 15.0, 8, 46  # Figure 3 at radius 10
CLEAR = 1.0  # percent points of the mean that say which way Figure 4 leans


def losses(frame: pd.DataFrame) -> Agreement:
    """Figure 1: aRUB's objective is closer to the adversarial loss than Baseline's."""
    gap = _gaps(frame)
    both = gap.dropna()
    if both.empty:
        return Agreement(remark="the two defenses were not both traced at one radius")
    closer = int((both["arub-linf"] < both["baseline-linf"]).sum())
    return Agreement(
        winners=f"{closer} of {len(both)}",
        remark="radii at which aRUB-L∞'s objective is nearer to the adversarial loss than "
        "Baseline-L∞'s (mean absolute difference of logarithms along training), as in the paper",
    )


def _gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return radius x defense: the mean distance of the two losses on a logarithmic scale."""
    keys = ["defense", "grid_radius", "step"]
    wide = frame.pivot_table(index=keys, columns="quantity", values="value", observed=True)
    needed = {"objective", "adversarial_loss"}
    if not needed <= set(wide.columns):
        return pd.DataFrame(columns=["arub-linf", "baseline-linf"])
    tiny = np.finfo(np.float64).tiny
    logs = np.log(wide[[*needed]].clip(lower=tiny))
    gap = (logs["objective"] - logs["adversarial_loss"]).abs()
    means = gap.groupby(["grid_radius", "defense"]).mean().unstack()
    return pd.DataFrame(means).reindex(columns=["arub-linf", "baseline-linf"])


def ranks(frame: pd.DataFrame) -> Agreement:
    """Figure 2: who is best at small radii and at large ones."""
    radius = frame["attack_grid_radius"]
    agreed = total = 0
    for wanted, best in (
        ((radius > 0) & (radius < SMALL), SMALL_BEST),
        (radius > LARGE, LARGE_BEST),
    ):
        for _, cell in frame[wanted].groupby(["attack", "attack_grid_radius"]):
            first = set(cell[cell["mean_rank"] == cell["mean_rank"].min()]["defense"])
            agreed, total = agreed + bool(first & best), total + 1
    return Agreement(
        winners=f"{agreed} of {total}",
        remark=f"attacks and radii at which the best rank is aRUB-L∞'s or PGD-L∞'s below "
        f"ρ = {SMALL:g} and RUB's above ρ = {LARGE:g}, as the paper says",
    )


def rub_over_pgd(frame: pd.DataFrame) -> Agreement:
    """Figure 3: at radius 10 RUB lowers accuracy on 3 of 46 sets, raises it by over 15 on 8."""
    gains = _gains(frame, 10.0)
    if gains.empty:
        return Agreement(remark="radius 10 was not run")
    lowered, raised = int((gains < 0).sum()), int((gains > MUCH).sum())
    return Agreement(
        remark=f"at ρ = 10 lower on {lowered} and over {MUCH:g} points higher on {raised} of "
        f"{len(gains)} data sets; in the paper on {LOWERED} and {MUCH_RAISED} of {SETS}"
    )


def arub_over_pgd(frame: pd.DataFrame) -> Agreement:
    """Figure 4: slightly better at 0.001 and 0.1, clearly worse at 1."""
    parts, agreed, total = [], 0, 0
    for radius, better in ((0.001, True), (0.1, True), (1.0, False)):
        gains = _gains(frame, radius)
        if not gains.empty:
            mean = float(gains.mean())
            parts.append(f"{mean:+.1f} at ρ = {radius:g}")
            agreed, total = agreed + (mean >= 0 if better else mean < -CLEAR), total + 1
    if not parts:
        return Agreement(remark="none of the paper's radii was run")
    return Agreement(
        winners=f"{agreed} of {total}",
        remark=f"mean improvement in points {', '.join(parts)}; in the paper slightly better at "
        "0.001 and 0.1, clearly worse at 1",
    )


def _gains(frame: pd.DataFrame, radius: float) -> pd.Series:
    near = np.isclose(frame["attack_grid_radius"].to_numpy(np.float64), radius)
    gains: pd.Series = frame[near]["improvement"].dropna()
    return gains
