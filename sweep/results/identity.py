"""The ids of networks and of evaluations, from values that every record carries (pure).

A trial's id is the hash of what its weights follow from, and of nothing else: neither of how it is
evaluated nor of where or when it ran. An evaluation's id is the hash of what its accuracy follows
from once the network is given. Both can be computed again from any row of the records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sweep.hashing import content_hash

# Columns of the records. The true training radius stands for the grid radius, and
# `training_options` holds what has no column of its own: every field of the defense, the loss, the
# optimizer and its constants, tf32, keep_target_column, simulate.
TRIAL_FIELDS: Final[tuple[str, ...]] = (
    *("dataset", "dataset_hash", "scaling", "network", "defense", "train_radius"),
    *("learning_rate", "batch_size", "steps", "seed", "split_seed", "training_options"),
    "numerics_version",
)
# The seed of random starts follows from the trial, the attack and the radius. The grid radius is
# here because tables put the row under it.
EVALUATION_FIELDS: Final[tuple[str, ...]] = (
    *("split", "attack", "attack_grid_radius", "attack_radius", "evaluation_options"),
)


def trial_id(values: Mapping[str, object]) -> str:
    """The id of a trained network.

    Args:
        values: by column, at least `TRIAL_FIELDS`: a row of the records will do.

    Returns:
        16 hexadecimal digits.

    Raises:
        KeyError: a column is missing.
    """
    return content_hash({name: values[name] for name in TRIAL_FIELDS})


def evaluation_id(values: Mapping[str, object]) -> str:
    """The id of one evaluation of any network: together with a trial's id, a row's key.

    Args:
        values: by column, at least `EVALUATION_FIELDS`: a row of the records will do.

    Returns:
        16 hexadecimal digits.

    Raises:
        KeyError: a column is missing.
    """
    return content_hash({name: values[name] for name in EVALUATION_FIELDS})
