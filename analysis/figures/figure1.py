"""Figure 1: the loss being minimised beside the adversarial loss, along training."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import matplotlib as mpl
import pandas as pd
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.plotting import RC, Layout, legend, panel_grid, plain_numbers
from analysis.names import SPELLINGS, dataset_title, math_label
from analysis.paper import claims
from analysis.records import Records

DEFENSES = ("arub-linf", "baseline-linf")  # left, right
PANELS = tuple((defense, radius) for radius in (0.01, 0.05, 0.1) for defense in DEFENSES)[:5]
IMAGE_SET, NETWORK, LEARNING_RATE, BATCH_SIZE = "mnist", "mlp-3x200", 1e-3, 32
QUANTITIES = {
    "adversarial_loss": ("adversarial loss", "#D55E00", "-"),
    "objective": ("loss minimised", "#0072B2", "--"),
}


def build(records: Records) -> pd.DataFrame:
    """Return both losses per step, for the setting of the paper's figure or the nearest to it.

    MNIST, rate 1e-3 and batch size 32 where they were traced; else the first traced data set,
    and the rate and batch size nearest by ratio. All radii that were traced.
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
    """Draw the paper's five panels, those of them that were traced."""
    return draw_panels(frame, [place for place in PANELS if not traces(frame, *place).empty])


def traces(frame: pd.DataFrame, defense: str, radius: float) -> pd.DataFrame:
    """Return the losses of one panel."""
    return frame[(frame["defense"] == defense) & (frame["grid_radius"] == radius)]


def draw_panels(frame: pd.DataFrame, shown: Sequence[tuple[str, float]]) -> Canvas:
    """Draw a panel per defense and radius, two in a row."""
    dataset = dataset_title(str(frame["dataset"].iloc[0]))
    shown = shown or [(str(frame["defense"].iloc[0]), float(frame["grid_radius"].iloc[0]))]
    layout = Layout(height=1.75, gap_x=0.5, gap_y=0.4, legend=len(QUANTITIES))
    with mpl.rc_context(RC):
        figure, panels = panel_grid(ceil(len(shown) / 2), 2, layout, sharex=True)
        for axes in list(panels.flat)[len(shown) :]:
            axes.set_visible(False)
        for i, ((defense, radius), axes) in enumerate(zip(shown, panels.flat, strict=False)):
            title = rf"({chr(97 + i)}) {math_label(defense)}, {dataset}, $\rho={radius:g}$"
            _panel(axes, traces(frame, defense, radius), title)
            if i + 2 >= len(shown):  # nothing stands below
                axes.set_xlabel("training step")
                axes.tick_params(labelbottom=True)
        for row in panels:
            row[0].set_ylabel("cross entropy")
        legend(figure, *panels.flat[0].get_legend_handles_labels())
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    axes.set_title(title)
    for quantity, (text, color, dash) in QUANTITIES.items():
        trace = rows[rows["quantity"] == quantity]
        if not trace.empty:
            axes.plot(trace["step"], trace["value"], color=color, linestyle=dash, label=text)
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
    agree=claims.losses,
    experiment="figure1",
    paper=True,
)
