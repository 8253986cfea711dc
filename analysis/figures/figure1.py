"""Figure 1: the loss being minimised beside the adversarial loss, along training."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.plotting import RC, Layout, legend, nothing, panel_grid, plain_numbers
from analysis.names import SPELLINGS, dataset_title, math_label
from analysis.records import Records

DEFENSES = ("arub-linf", "baseline-linf")  # left, right
RADII = (0.01, 0.05, 0.1)  # from the top
IMAGE_SET, NETWORK, LEARNING_RATE, BATCH_SIZE = "mnist", "mlp-3x200", 1e-3, 32
QUANTITIES = {
    "adversarial_loss": ("adversarial loss", "#D55E00", "-"),
    "objective": ("loss minimised", "#0072B2", "--"),
}


def build(records: Records) -> pd.DataFrame:
    """Return both losses per step, for the setting of the paper's figure or the nearest to it.

    MNIST, rate 1e-3 and batch size 32 where they were traced; else the first traced data set,
    and the rate and batch size nearest by ratio.
    """
    traces = records.curves.filter(
        pl.col("quantity").is_in(list(QUANTITIES))
        & pl.col("defense").is_in(DEFENSES)
        & ((pl.col("norm") == "linf") | pl.col("norm").is_null())
    )
    settings = (
        traces.select("dataset", "network", "scaling", "seed", "learning_rate", "batch_size")
        .unique()
        .with_columns(
            foreign=~pl.col("dataset").is_in(SPELLINGS[IMAGE_SET]),
            other=pl.col("network") != NETWORK,
            far=(pl.col("learning_rate") / LEARNING_RATE).log().abs()
            + (pl.col("batch_size") / BATCH_SIZE).log().abs(),
        )
        .sort("foreign", "dataset", "other", "network", "far", "scaling", "seed")
        .head(1)
    )
    keys = ["dataset", "network", "scaling", "seed", "learning_rate", "batch_size"]
    frame = traces.join(settings.select(keys), on=keys).collect().to_pandas()
    columns = ["defense", "grid_radius", "step", "quantity", "value", *keys]
    return frame[columns].sort_values(columns[:4]).reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw the six panels."""
    dataset = dataset_title(str(frame["dataset"].iloc[0]))
    traced = sorted(set(frame["grid_radius"]))
    radii = [r for r in RADII if r in traced] or traced[:3]
    layout = Layout(height=1.75, gap_x=0.5, gap_y=0.4, legend=len(QUANTITIES))
    with mpl.rc_context(RC):
        figure, panels = panel_grid(len(radii), 2, layout, sharex=True)
        for i, radius in enumerate(radii):
            for j, defense in enumerate(DEFENSES):
                rows = frame[(frame["defense"] == defense) & (frame["grid_radius"] == radius)]
                name = f"{math_label(defense)}, {dataset}"
                title = rf"({'abcdef'[2 * i + j]}) {name}, $\rho={radius:g}$"
                _panel(panels[i, j], rows, title)
            panels[i, 0].set_ylabel("cross entropy")
        for axes in panels[-1]:
            axes.set_xlabel("training step")
        fullest = max(panels.flat, key=lambda axes: len(axes.lines))
        legend(figure, *fullest.get_legend_handles_labels())
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    axes.set_title(title)
    for quantity, (text, color, dash) in QUANTITIES.items():
        trace = rows[rows["quantity"] == quantity]
        if not trace.empty:
            axes.plot(trace["step"], trace["value"], color=color, linestyle=dash, label=text)
    if rows.empty:
        nothing(axes)
        return
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)


FIGURE = Figure(
    name="figure1",
    title="Figure 1: loss minimised and adversarial loss",
    caption="Adversarial loss (cross entropy under PGD-L∞) and the loss being minimised along "
    "training: aRUB-L∞ left, Baseline-L∞ right, the radius grows from the top. Learning rate "
    "0.001, batch size 32.",
    build=build,
    draw=draw,
    experiment="figure1",
    paper=True,
)
