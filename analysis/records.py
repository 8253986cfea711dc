"""Records in memory: a table of trials, and their accuracies on validation and on test apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from analysis.names import VISION, image_set

Made = TypeVar("Made")
# Rows in L1 balls with the costs of a catalog entry: other balls, put together with no plain ones.
WEIGHTED = "(costs="  # in their names
IS_WEIGHTED = pl.col("attack").str.contains(WEIGHTED, literal=True)
CELL = ("attack", "attack_norm", "attack_grid_radius")
REPETITION = ("seed", "split_seed")  # trials that differ in these alone repeat one experiment


@dataclass(frozen=True)
class Provenance:
    """Where records came from, for the report's last section."""

    name: str
    files: int
    manifests: tuple[Mapping[str, object], ...] = ()
    notes: tuple[str, ...] = ()  # what was left out or looks odd, one line each
    folder: Path | None = None


@dataclass(frozen=True, eq=False)
class Records:
    """All that tables and figures are built from.

    Attributes:
        trials: one row per trial, numbered by `trial` in the order that settles ties of
            selection: smaller grid radius, then smaller learning rate, then trial id. Beside the
            schema's columns, `family` is `cnn` or `mlp`.
        cells: `cell, attack, attack_norm, attack_grid_radius`, the attacks and radii that occur.
        validation: `trial, cell, attack_radius, accuracy, num_samples`, one row per trial and
            cell, measured on validation data.
        test: the same, measured on test data.
        curves: what was measured while training (`sweep.results.schema.CURVE_COLUMNS`), lazily.
        provenance: where all this came from.
        with_label: the trials on data that keep the label as a feature, apart from all the others
            so that they never mix. None where no trial is such; where all are, they are `trials`.
    """

    trials: pl.DataFrame
    cells: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    curves: pl.LazyFrame
    provenance: Provenance = field(default_factory=lambda: Provenance("records", 0))
    with_label: Records | None = None
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, made once per key: tables share their selections."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that occur, sorted."""
        return tuple(sorted(self.trials["dataset"].unique().to_list()))

    @property
    def tabular_datasets(self) -> tuple[str, ...]:
        """The data sets that are not images."""
        return tuple(name for name in self.datasets if image_set(name) is None)

    def image_datasets(self, *which: str) -> tuple[str, ...]:
        """Return the data sets that are the named image sets (default: any), however spelt."""
        return tuple(name for name in self.datasets if image_set(name) in (which or VISION))

    @cached_property
    def simulated(self) -> bool:
        """Whether any trial is made up."""
        return bool(self.trials["simulated"].any())

    @cached_property
    def leaky(self) -> bool:
        """Whether these trials' data keep the label as a feature."""
        return bool(self.trials["leaky"].any())

    @property
    def marks(self) -> tuple[str, ...]:
        """What every table and figure made of these records must carry."""
        known = {"LEAKY (the label is a feature)": self.leaky, "SIMULATED": self.simulated}
        return tuple(mark for mark, so in known.items() if so)
