"""What the released files' leak is worth: accuracy without and with the label as a feature."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import NORMS, label, math_label, order_key
from analysis.records import REPETITION, Records
from analysis.tables.cells import Place, accuracy_block, grouped
from analysis.tables.robust import robust_accuracy
from analysis.weakest import PLACE

KEYS = ["dataset", "defense", *PLACE]
BEHIND = ["candidates", "network", "grid_radius", "learning_rate", "trial_id"]


def build(records: Records) -> pd.DataFrame:
    """Return both accuracies per data set, norm, grid radius and defense, where both were run.

    Minimum over PGD and fast gradient, each sweep selecting on its own validation data, over
    trials of the seeds, splits, steps and options that both sweeps have.
    `leaky_percent` is with the label among the features; the other columns of the same names
    without and with `leaky_` say which trial and how many stand behind each.
    """
    leaky = records.with_label
    common = () if leaky is None else sorted({*leaky.tabular_datasets} & {*records.datasets})
    if leaky is None or not common:
        return pd.DataFrame()
    wanted = [*KEYS, "attack_radius", "percent", *BEHIND]
    pair = _alike(records, leaky), _alike(leaky, records)
    without, having = (robust_accuracy(r, common)[wanted] for r in pair)
    theirs = {name: f"leaky_{name}" for name in wanted if name not in KEYS}
    frame = without.merge(having.rename(columns=theirs), on=KEYS)
    difference = (frame["leaky_percent"] - frame["percent"]).round(2)
    front = [*KEYS, "percent", "leaky_percent", "difference"]
    frame = frame.assign(difference=difference)
    return frame[[*front, *(name for name in frame.columns if name not in front)]]


def _alike(records: Records, others: Records) -> Records:
    """Return the records of those trials that have a peer among others in all but the label."""
    alike = ["dataset", "family", *REPETITION, "steps", "other_options"]
    trials, peers = (
        frame.with_columns(other_options=_other_options(frame["training_options"]))
        for frame in (records.trials, others.trials)
    )
    trials = trials.join(peers, on=alike, how="semi", nulls_equal=True, maintain_order="left")
    trials = trials.drop("other_options")
    return replace(records, trials=trials, _made={})


def _other_options(options: pl.Series) -> pl.Series:
    """Return the options of trials without the label's, and without those of one defense."""
    apart = ("defense", "keep_target_column")
    known = options.drop_nulls().unique().to_list()
    kept = [
        json.dumps(
            {key: v for key, v in json.loads(text).items() if key not in apart}, sort_keys=True
        )
        for text in known
    ]
    return options.replace_strict(known, kept, default=None, return_dtype=pl.String)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print the clean accuracies of each defense over all sets, then every set and norm."""
    # The label adds a feature, so equal grid radii are balls of two sizes.
    grid = frame.assign(attack_radius=frame["attack_grid_radius"])
    cells = grouped(grid, "dataset", "attack_norm")
    return _summary(frame), *(
        accuracy_block(cells[dataset, norm], dataset, norm, _cell)
        for dataset, norm in product(dict.fromkeys(frame["dataset"]), NORMS)
        if (dataset, norm) in cells
    )


def _cell(place: Place) -> Cell:
    return Cell(f"{place['percent']:.1f} → {place['leaky_percent']:.1f}")


def _summary(frame: pd.DataFrame) -> Block:
    """Return mean accuracies at radius 0 (the smallest there is) per defense."""
    smallest = frame["attack_grid_radius"].min()
    clean = frame[frame["attack_grid_radius"] == smallest].drop_duplicates(["dataset", "defense"])
    rows = []
    for defense in sorted(set(clean["defense"]), key=order_key):
        cells = clean[clean["defense"] == defense]
        means = [float(np.mean(cells[n])) for n in ("percent", "leaky_percent", "difference")]
        text = [str(len(cells)), f"{means[0]:.2f}", f"{means[1]:.2f}", f"{means[2]:+z.2f}"]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    heads = ("data sets", "without the label", "with it", "difference")
    corner = f"mean accuracy (%) at radius {smallest:g}"
    return Block("All of these data sets", (corner, corner), heads, tuple(rows))


TABLE = Table(
    name="leak",
    title="Accuracy without and with the label as a feature",
    caption="Accuracy (%) on clean data → on leaky data, whose last feature is the label as in "
    "the authors' release; minimum over PGD and fast gradient, by grid radius, for the data sets "
    "on which both sweeps were run. Each side selects on its own validation data.",
    build=build,
    layout=layout,
    experiment="uci_full data.source=authors data.root=FOLDER data.keep_target_column=true "
    "name=uci_leaky",
)
