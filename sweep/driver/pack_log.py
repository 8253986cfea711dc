"""One structured line per pack: for people, and for calibration."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime
from typing import BinaryIO

from sweep.driver.plan import Task
from sweep.pack.run import Summary
from sweep.results.store import Folder


def append(folder: Folder, task: Task, summary: Summary, lost: float) -> None:
    """Add a pack's line to logs/packs.jsonl; `lost`: its slot's seconds that trained nothing."""
    line = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        **asdict(summary),
        "beside_seconds": lost,
        "train_flops": task.price.train_flops,
        "evaluation_flops": task.price.evaluation_flops,
        "predicted_seconds": task.seconds,
    }
    folder.logs.mkdir(parents=True, exist_ok=True)
    with (folder.logs / "packs.jsonl").open("ab+") as file:
        # What a full disk left of the line before must not take this one with it.
        apart = b"\n" if _ends_within_a_line(file) else b""
        file.write(apart + json.dumps(line).encode() + b"\n")


def _ends_within_a_line(file: BinaryIO) -> bool:
    if not file.seekable() or file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
