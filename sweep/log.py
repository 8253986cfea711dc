"""One structured line per pack: for people, and for calibration."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from sweep.plan import Task
from sweep.store import Folder
from sweep.worker import Summary


def append(folder: Folder, task: Task, summary: Summary, beside: float) -> None:
    """Add a pack's line to logs/packs.jsonl; `beside`: its slot's seconds that trained nothing."""
    line = {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        **asdict(summary),
        "beside_seconds": beside,
        "train_flops": task.price.train_flops,
        "evaluation_flops": task.price.evaluation_flops,
        "predicted_seconds": task.seconds,
    }
    folder.logs.mkdir(parents=True, exist_ok=True)
    with (folder.logs / "packs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
