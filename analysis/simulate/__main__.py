"""Write made-up records.

    python -m analysis.simulate out=results              # the paper's 45,472 trials
    python -m analysis.simulate out=results size=dozen   # the 936 trials of uci_small
    python -m analysis.simulate out=results size=small   # five data sets, seconds

They follow a smooth law (skill of the data set, half-life radius of the defense) with binomial
noise, say nothing about any real defense, and carry `simulated`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from analysis.arguments import parse
from analysis.simulate.curves import pack_curves
from analysis.simulate.grid import SIZES, packs, trial_ids
from analysis.simulate.law import pack_records


def write(results: Path, size: str) -> tuple[int, int]:
    """Write `results/simulated_SIZE` as a sweep would; return trials and rows."""
    experiment = f"simulated_{size}"
    folder = results / experiment
    for part in ("records", "curves"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ids: list[str] = []
    rows = 0
    for pack in packs(SIZES[size]()):
        frame = pack_records(pack, experiment)
        frame.write_parquet(folder / "records" / f"{pack.pack_id}.parquet")
        curves = pack_curves(pack, experiment)
        curves.write_parquet(folder / "curves" / f"{pack.pack_id}.parquet")
        ids += trial_ids(pack)
        rows += frame.height
    manifest = {"experiment": experiment, "num_trials": len(ids), "trial_ids": ids}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return len(ids), rows


def main(argv: list[str]) -> int:
    """Write the records the arguments ask for and say how many."""
    try:
        options = parse(argv, {"out": "results", "size": "paper"}, choices={"size": tuple(SIZES)})
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    trials, rows = write(Path(options["out"]), options["size"])
    print(f"{trials} made-up trials, {rows} records under {options['out']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
