"""The options of training that enter a trial's id, at the values that take effect.

Two configurations that train the same network give it the same options, whatever was written.
All are there, defaults included: a default that is changed gives new ids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Final

from robust.defenses.base import Defense
from robust.registry import CATALOG
from robust.training import optimizer
from sweep.config.balls import attack_norm as attack_norm
from sweep.config.balls import measured
from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.datasets import DatasetInfo
from sweep.results import schema

ADAM: Final[Mapping[str, object]] = {
    "name": "adam",
    "beta1": optimizer.BETA1,
    "beta2": optimizer.BETA2,
    "eps": optimizer.EPS,
}


def evaluated_attacks(evaluation: Evaluation) -> tuple[str, ...]:
    """Every value of the column `attack`, in order."""
    certificates = {
        schema.CERTIFIED: evaluation.certify,
        schema.CERTIFIED_TIGHT: evaluation.certify_tight,
    }
    best = [name for name in schema.CERTIFIED_BEST if name in evaluation.certificates]
    asked = [name for name, wanted in certificates.items() if wanted]
    return tuple(measured([*evaluation.attacks, *asked, *best], evaluation))


def training_options(
    config: SweepConfig, method: Defense, info: DatasetInfo | None = None
) -> dict[str, object]:
    """What a network's weights follow from that is no axis of the grid.

    The loss stands for the defense's field of that name; its input bounds follow from the data.

    Args:
        config: checked by `sweep.config.checks.check`.
        method: the defense, with its hyperparameters.
        info: of the data set, whose costs count where the defense trains in a ball with them.

    Raises:
        ValueError: a hyperparameter that no record can hold.
    """
    costs = info.costs_hash if info is not None and method.costs == CATALOG else None
    return {
        **({} if costs is None else {"costs": costs}),
        "defense": {"norm": method.norm, **_own_fields(method, method.parameters)},
        "loss": config.training.loss,
        "optimizer": dict(ADAM),
        "tf32": config.training.tf32,
        "keep_target_column": config.data.keep_target_column,
        "simulate": config.simulate,
    }


def curve_options(training: Training, checked: bool) -> dict[str, object]:
    """What is measured while a network trains, at the values that take effect."""
    return {
        "bound_checks": checked,
        # The curve has a point at the last step in any case, a trace has not.
        "curve_every": min(training.curve_every, training.steps),
        "trace_every": training.trace_every if training.trace_every <= training.steps else 0,
    }


def _own_fields(plugin: object, values: Mapping[str, object]) -> dict[str, object]:
    return {name: plain(value, f"{plugin!r}: {name}") for name, value in values.items()}


def plain(value: object, where: str) -> object:
    """A plug-in's field as JSON holds it.

    Args:
        value: numbers, text, and tuples, mappings and dataclasses of them.
        where: names the field in the error.

    Raises:
        ValueError: a value of another type.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else str(value)  # -0.0 is 0
    if isinstance(value, (tuple, list)):
        return [plain(one, where) for one in value]
    if isinstance(value, Mapping):
        return {str(key): plain(one, where) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), where) for f in fields(value)}
    raise ValueError(
        f"{where}={value!r}: is part of a trial's identity and must be a number, text, or a "
        f"tuple, mapping or dataclass of these, not {type(value).__name__}"
    )
