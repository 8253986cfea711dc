"""The losses along training of Figure 1 at every radius traced, the paper's and others."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.figure1 import DEFENSES, PANELS, build, draw_panels
from analysis.records import Records

MOST = 8  # panels of one page


def more(records: Records) -> pd.DataFrame:
    """Return the losses of Figure 1's setting where there are more than the paper shows."""
    frame = build(records)
    traced = set(zip(frame["defense"], frame["grid_radius"], strict=True))
    return frame if traced - set(PANELS) else frame.head(0)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw the smallest radii, both defenses side by side."""
    radii = sorted(set(frame["grid_radius"]))
    traced = set(zip(frame["defense"], frame["grid_radius"], strict=True))
    places = [(defense, radius) for radius in radii for defense in DEFENSES]
    return draw_panels(frame, [place for place in places if place in traced][:MOST])


FIGURE = Figure(
    name="losses",
    title="Loss minimised and adversarial loss at every radius traced",
    caption="As Figure 1, with the panels that the paper does not show: aRUB-L∞ and Baseline-L∞ "
    "at each grid radius ρ traced, up to eight panels.",
    build=more,
    draw=draw,
    experiment="figure1",
    optional=True,
)
