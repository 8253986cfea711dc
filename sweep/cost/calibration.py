"""How fast packs have run here: learnt from the logs of every sweep under the results folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from sweep import output

# Operations per second assumed before anything was measured: one core of a laptop.
_DEFAULT_RATE = 2e10
# What a line of the log holds; those of older versions lack some of it.
_NAMES = ("device", "dataset", "network", "defense")
_COUNTS = ("trials", "failed", "batch_size", "trained_together")
_AMOUNTS = (
    *("seconds", "train_seconds", "evaluation_seconds", "train_flops", "evaluation_flops"),
    *("predicted_seconds", "beside_seconds"),
)
_MOST = 1e30  # neither NaN nor infinite


@dataclass(frozen=True)
class Rates:
    """Operations per second of a pack's share of the device."""

    training: Mapping[str, float] = field(default_factory=dict)  # by defense
    evaluation: float | None = None
    overhead: float = 0.0  # seconds per pack without training and evaluation
    around_pack: float = 0.0  # the same with messages and waiting for the next pack
    packs: int = 0  # that this was learnt from
    error: float | None = None  # median |predicted - measured| / measured of past predictions

    def seconds(self, defense: str, train_flops: float, evaluation_flops: float) -> float:
        """The predicted time of a pack."""
        known = self.training.get(defense)
        rate = known if known is not None else self._typical()
        evaluation = self.evaluation if self.evaluation is not None else _DEFAULT_RATE
        return train_flops / rate + evaluation_flops / evaluation + self.overhead

    def _typical(self) -> float:
        return median(self.training.values()) if self.training else _DEFAULT_RATE


def learn(root: Path, device: str) -> Rates:
    """Read the rates from the logs of packs that ran on this device."""
    lines = [
        line
        for line in _lines(root)
        if line["device"] == device
        and line.get("failed") == 0
        and all(name in line for name in ("defense", *_AMOUNTS))
        and line["seconds"] > 0
    ]
    if not lines:
        return Rates()
    flops: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for line in lines:
        flops[line["defense"]] += line["train_flops"]
        seconds[line["defense"]] += line["train_seconds"]
    evaluation_seconds = sum(line["evaluation_seconds"] for line in lines)
    return Rates(
        training={name: flops[name] / seconds[name] for name in flops if seconds[name] > 0},
        evaluation=sum(line["evaluation_flops"] for line in lines) / evaluation_seconds
        if evaluation_seconds > 0
        else None,
        overhead=median(
            line["seconds"] - line["train_seconds"] - line["evaluation_seconds"] for line in lines
        ),
        around_pack=median(line["beside_seconds"] for line in lines),
        packs=len(lines),
        error=median(
            abs(line["predicted_seconds"] - line["seconds"]) / line["seconds"] for line in lines
        ),
    )


def splits(root: Path, device: str) -> dict[tuple[str, str, str, int], int]:
    """Kinds of packs (data set, network, defense, batch size) that did not fit into memory.

    Returns:
        How many networks fitted in the end, by kind.
    """
    found: dict[tuple[str, str, str, int], int] = {}
    for line in _lines(root):
        together = line.get("trained_together", 0)
        if line["device"] != device or not all(name in line for name in (*_NAMES, *_COUNTS)):
            continue
        if 0 < together < line["trials"]:
            kind = line["dataset"], line["network"], line["defense"], line["batch_size"]
            found[kind] = min(together, found.get(kind, together))
    return found


def _lines(root: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(root.glob("*/logs/packs.jsonl")):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            output.warn_once(f"{path}: cannot be read ({error.strerror}) and teaches no speeds")
            continue
        read = [_line(text) for text in content.splitlines() if text.strip()]
        lines = [line for line in read if line is not None]
        if len(lines) < len(read):
            skipped = len(read) - len(lines)
            output.warn_once(f"{path}: {skipped} damaged lines of speeds are left out")
        yield from lines


def _line(text: bytes) -> dict[str, Any] | None:
    """A pack's line; None where it is damaged, as by a killed driver, or none that we wrote."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict):
        return None
    names = all(isinstance(line[name], str) for name in _NAMES if name in line)
    counts = all(type(line[name]) is int and line[name] >= 0 for name in _COUNTS if name in line)
    amounts = all(
        type(line[name]) in (int, float) and 0 <= line[name] <= _MOST
        for name in _AMOUNTS
        if name in line
    )
    return line if "device" in line and names and counts and amounts else None
