"""What runs, metrics and parameters are called in MLflow.

Metrics and parameters have names that MLflow's filters take without backticks:
`metrics.pgd_linf_0_1 > 0.9`. A radius in a name is the value in the paper's grid, with `_` for the
point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

NORMS = ("linf", "l2", "l1")  # in the order of their columns
# The same in every experiment, so that experiments compare: of every norm and certificate ...
NAMED_RADII = (0.01, 0.1, 1.0)
RADIUS = 0.1  # ... and of every attack

CLEAN = "clean_accuracy"
VALIDATION = "validation"
RATE = "train_steps_per_second"


def word(text: str) -> str:
    """Return a text as a part of a name: letters, digits and `_`."""
    return re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")


def plain(value: float) -> str:
    """Return a number without exponent and without needless digits: 0.00001, 10, 0.1."""
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(value: float) -> str:
    """Return a number as people write rates: 1e-3, 0.05, 1."""
    mantissa, _, exponent = format(value, "e").partition("e")
    lead = mantissa.rstrip("0").rstrip(".")
    return f"{lead}e{int(exponent)}" if "." not in lead and int(exponent) < -1 else plain(value)


@lru_cache(maxsize=10_000)  # each of a few names is asked for once per network
def accuracy(kind: str, grid_radius: float) -> str:
    """Return the metric of the accuracy in a ball.

    Args:
        kind: an attack, a certificate, or a norm for the lowest accuracy under any attack of it.
        grid_radius: as in the paper's grid.
    """
    return f"{word(kind)}_{word(plain(grid_radius))}"


def run_name(record: Mapping[str, object]) -> str:
    """Return a network's name, what differs most within a sweep first.

    Args:
        record: one of its rows in the records.
    """
    radius, rate = record["grid_radius"], record["learning_rate"]
    assert isinstance(radius, float)
    assert isinstance(rate, float)
    parts = [
        str(record["defense"]),
        *([f"rho {plain(radius)}"] if radius else []),  # without one: nominal training
        f"lr {short(rate)}",
        str(record["dataset"]),
        str(record["network"]),
        f"batch {record['batch_size']}",
        str(record["scaling"]),
        f"seed {record['seed']}",
        *([f"split {record['split_seed']}"] if record["split_seed"] else []),
    ]
    return ", ".join(parts)
