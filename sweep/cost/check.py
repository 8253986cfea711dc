"""Trainings of which not even the smallest part fits into memory."""

from __future__ import annotations

import math
from collections.abc import Mapping

from robust import networks
from robust.supports import takes
from sweep.config.schema import SweepConfig
from sweep.cost.memory import main_memory
from sweep.datasets import DatasetInfo

_INDEX_BYTES = 8
_INDEX_COPIES = 2  # of the order of examples: its epochs one by one, and joined
_PARAMETER_BYTES = 4 * 4  # with gradient and Adam's two moments
_CLUSTER_MEMORY = 2**42  # bytes that no node of a cluster is expected to exceed


def check_memory(config: SweepConfig, infos: Mapping[tuple[str, int], DatasetInfo]) -> None:
    """Refuse trainings of which not even the smallest part fits into memory.

    Raises:
        ValueError: one line naming the key, its value and what would fit.
    """
    most = main_memory() if config.ray.address is None else _CLUSTER_MEMORY
    for info in infos.values():
        _check_order(config, info, most)
        for network in config.grid.network:
            if not takes(network, info.input_shape):
                continue  # which the grid's expansion refuses
            size = networks.size(network, info.num_features, info.num_classes, info.input_shape)
            taken = size.parameters * _PARAMETER_BYTES
            if taken > most:
                raise ValueError(
                    f"grid.network={network}: training one on data set {info.name!r} takes "
                    f"{_gigabytes(taken)} of memory for its parameters, of {_gigabytes(most)}"
                )


def _check_order(config: SweepConfig, info: DatasetInfo, most: float) -> None:
    """The order of examples is drawn in advance: `steps` minibatches of row numbers."""
    batch = min(max(config.grid.batch_size), max(info.num_train, 1))
    each = batch * _INDEX_BYTES * _INDEX_COPIES
    if config.training.steps * each > most:
        raise ValueError(
            f"training.steps={config.training.steps}: the order of examples of data set "
            f"{info.name!r} alone takes {_gigabytes(config.training.steps * each)} of memory, of "
            f"{_gigabytes(most)}; at most {math.floor(most / each):,} steps fit with batches of "
            f"{batch}"
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
