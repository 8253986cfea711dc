"""How many trials fit into a pack's share of the device's memory.

Asked in this order: what packs of the same kind came to that once did not fit; a measurement in a
process of its own (sweep/cost/probe.py), made once and kept in results/memory.json; the model of
sweep/cost/model.py, which also decides where a measurement is worth its seconds.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from robust import networks
from sweep import files
from sweep.config.schema import SweepConfig
from sweep.cost import model
from sweep.cost.device import slots
from sweep.cost.probe import ProbeError, Shape, measure
from sweep.datasets import DatasetInfo
from sweep.grid.trial import Trial
from sweep.hashing import content_hash

_log = logging.getLogger(__name__)

_MARGIN = 0.8  # of its share that a pack may take: the rest is for data, evaluation, rounding
_MODEL_ERROR = 3.0  # what the model says may be wrong by this factor: beyond, measure
_PROBED = (1, 3)  # networks


@dataclass(frozen=True)
class Line:
    """Bytes as a function of the networks in a pack."""

    fixed: float
    each: float

    def fitting(self, limit: float) -> int:
        """How many networks take at most so many bytes; at least one."""
        return max(1, int((limit - self.fixed) / self.each))


Kind = tuple[str, str, str, int]  # data set, network, defense, batch size


def kind_of(trial: Trial) -> Kind:
    """What the memory of a trial's pack depends on."""
    return trial.dataset, trial.network, trial.defense, trial.batch_size


@dataclass(frozen=True)
class Memory:
    """What is known of the memory that packs take."""

    limit: float | None = None  # bytes that one pack may take; None for no bound
    measured: Mapping[str, Line] = field(default_factory=dict)  # by `key`
    split: Mapping[Kind, int] = field(default_factory=dict)  # networks that fitted in the end

    def fitting(self, trial: Trial, info: DatasetInfo) -> int | None:
        """How many trials like this one fit into memory together; None for any number."""
        known = self.split.get(kind_of(trial))
        if self.limit is None:
            return known
        shape = shape_of(trial, info)
        line = self.measured.get(key(shape)) or modelled(shape)
        return min(line.fitting(self.limit), known or 2**31)


def shape_of(trial: Trial, info: DatasetInfo) -> Shape:
    """What the memory of a trial's training depends on."""
    return Shape(
        defense=trial.defense,
        network=trial.network,
        num_features=info.num_features,
        num_classes=info.num_classes,
        batch_size=min(trial.batch_size, info.num_train),
        input_shape=tuple(info.input_shape),
    )


def key(shape: Shape) -> str:
    """The name of a measurement; another torch may take other memory."""
    return content_hash([asdict(shape), torch.__version__])


def modelled(shape: Shape) -> Line:
    """The memory of a pack by the model."""
    size = networks.size(shape.network, shape.num_features, shape.num_classes, shape.input_shape)
    one, two = (model.pack_bytes(shape.defense, size, shape.batch_size, n) for n in (1, 2))
    return Line(fixed=2 * one - two, each=two - one)


def share(config: SweepConfig, device: str) -> float | None:
    """The bytes that one pack may take; None where packs run on other machines than this one."""
    if config.packing.max_memory_gb is not None:
        return config.packing.max_memory_gb * 1e9
    if config.ray.address is not None:
        return None
    if device == "cpu":
        return _MARGIN * main_memory() / (1 if config.debug else slots(config.ray))
    gpus = config.ray.gpus_per_pack if config.ray.gpus_per_pack is not None else 0.5
    total = torch.cuda.get_device_properties(device).total_memory
    return _MARGIN * float(total) * min(1.0, gpus)


def main_memory() -> int:
    """The memory of this machine, or of the container that this process is in."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such limit, or the word max
            continue
    return min(sizes)


def to_measure(
    memory: Memory, trials: Iterable[tuple[Trial, DatasetInfo]], max_trials: int
) -> list[Shape]:
    """The shapes whose packs may not fit by the model, and were not measured."""
    if memory.limit is None:
        return []
    counts: dict[Shape, int] = {}
    for trial, info in trials:
        shape = shape_of(trial, info)
        counts[shape] = counts.get(shape, 0) + 1
    return [
        shape
        for shape, count in counts.items()
        if key(shape) not in memory.measured
        and modelled(shape).fitting(memory.limit / _MODEL_ERROR) < min(count, max_trials)
    ]


def measured(shapes: Iterable[Shape], device: str) -> dict[str, Line]:
    """Measure shapes one after the other; one that cannot be measured is left to the model."""
    found = {}
    for shape in shapes:
        try:
            few, more = (measure(shape, count, device) for count in _PROBED)
        except ProbeError as error:
            _log.warning("memory is not measured: %s", error)
            continue
        each = max((more - few) / (_PROBED[1] - _PROBED[0]), 1.0)
        found[key(shape)] = Line(max(0.0, few - _PROBED[0] * each), each)
    return found


def read(root: Path, device_name: str) -> dict[str, Line]:
    """The measurements made on this device before; none where the file is missing or damaged."""
    try:
        kept = json.loads(_path(root).read_text(encoding="utf-8"))[device_name]
        return {name: Line(**line) for name, line in kept.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write(root: Path, device_name: str, lines: Mapping[str, Line]) -> None:
    """Keep measurements beside those of other devices."""
    try:
        kept = json.loads(_path(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    kept = kept if isinstance(kept, dict) else {}
    kept[device_name] = {name: asdict(line) for name, line in lines.items()}
    files.write_text(_path(root), json.dumps(kept, indent=1) + "\n")


def _path(root: Path) -> Path:
    return root / "memory.json"
