"""Find an experiment's files under the results folder, or those of a given path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.files import is_curve_file
from sweep.installation import command_of
from sweep.results.checksum import damage_of_json

RECORDS, CURVES = "records", "curves"  # folders of the sweep's results
STRONG = "strong"  # the folder that sweep/strong.py writes to, beside `records`


@dataclass(frozen=True)
class Source:
    """The files to read and, where manifests name them, the trials that count."""

    name: str
    record_files: tuple[Path, ...]
    curve_files: tuple[Path, ...]
    out: Path  # where tables go unless told otherwise
    trial_ids: frozenset[str] | None = None
    manifests: tuple[Mapping[str, object], ...] = ()
    strong_files: tuple[Path, ...] = ()  # of sweep/strong.py: AutoAttack on selected networks


def locate(experiments: Sequence[str], records: str, results: Path) -> Source:
    """Return the source that `experiment=` or `records=` names, or the latest experiment.

    Raises:
        ValueError: nothing there, or both given.
    """
    if experiments and records:
        raise ValueError("give experiment= or records=, not both")
    if records:
        return _from_path(Path(records))
    return _from_experiments(experiments or (_latest(results),), results)


def _parquet_files(folder: Path) -> tuple[Path, ...]:
    # Writers use hidden or differently named temporary files until a pack is whole.
    found = (p for p in folder.rglob("*.parquet") if not p.name.startswith((".", "_")))
    return tuple(sorted(p for p in found if not _set_aside(p.relative_to(folder))))


def _set_aside(path: Path) -> bool:
    """Tell whether a file lies in a folder that a sweep took for a damaged file and renamed."""
    return any(part.endswith(".damaged") for part in path.parts)


def _from_path(path: Path) -> Source:
    if not path.exists():
        raise ValueError(f"records={str(path)!r} does not exist; give a Parquet file or a folder")
    if path.is_file():
        return Source(path.stem, (path,), (), path.parent / "tables")
    files = _parquet_files(path)
    curves = tuple(file for file in files if _holds_curves(file))
    strong = tuple(file for file in files if file.parent.name == STRONG)
    found = tuple(file for file in files if file not in {*curves, *strong})
    if not found:
        raise ValueError(f"no records: no *.parquet file in records={str(path)!r}")
    out, manifests = path / "tables", _manifests([path])
    return Source(path.name, found, curves, out, None, manifests, strong)


def _holds_curves(file: Path) -> bool:
    """Tell by the sweep's own folders, which is fast, and elsewhere by what is in the file.

    A folder of MLflow artifacts holds both tables side by side.
    """
    folder = file.parent.name
    return folder == CURVES if folder in (RECORDS, CURVES, STRONG) else is_curve_file(file)


def experiments_in(results: Path) -> list[str]:
    """Return the names of the experiments there are, the most recently changed last."""
    marks = {
        folder.name: [
            mark.stat().st_mtime_ns
            for mark in (folder / RECORDS, folder / "manifest.json")
            if mark.is_file() or _parquet_files(mark)
        ]
        for folder in results.glob("*/")
    }
    return sorted((name for name, times in marks.items() if times), key=lambda n: max(marks[n]))


def _latest(results: Path) -> str:
    known = experiments_in(results)
    if not known:
        raise ValueError(
            f"no records under {str(results)!r}; run "
            f"`{command_of('sweep/run.py')} +experiment=quickstart` first, or give records=PATH"
        )
    return known[-1]


def _manifests(folders: Sequence[Path]) -> tuple[Mapping[str, object], ...]:
    paths = (folder / "manifest.json" for folder in folders)
    return tuple(_manifest(path) for path in paths if path.is_file())


def _manifest(path: Path) -> Mapping[str, object]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        manifest = error
    if (
        not isinstance(manifest, dict)
        or not isinstance(manifest.get("trial_ids", []), list)
        or damage_of_json(manifest) is not None
    ):
        raise ValueError(
            f"{path} is no manifest of a sweep (damaged?); run the sweep's command again, or move "
            "it away, and all records of its folder count"
        )
    return manifest


def _from_experiments(names: Sequence[str], results: Path) -> Source:
    known = experiments_in(results)
    folders = [results / name for name in names]
    manifests = _manifests(folders)
    for name in names:
        if name not in known:
            raise ValueError(
                f"unknown experiment={name!r}; with records under {str(results)!r}: "
                + (", ".join(sorted(known)) or "none")
            )
    ids: frozenset[str] | None = None
    searched = folders
    if len(manifests) == len(folders):
        ids = frozenset(i for m in manifests for i in _ids(m))
        searched = [results / name for name in known]  # a trial may lie in another's folder
    record_files, curve_files, strong_files = (
        tuple(file for folder in searched for file in _parquet_files(folder / part))
        for part in (RECORDS, CURVES, STRONG)
    )
    if not record_files:
        raise ValueError(f"no records yet for experiment={','.join(names)!r}")
    out = folders[0] / "tables"
    return Source("+".join(names), record_files, curve_files, out, ids, manifests, strong_files)


def _ids(manifest: Mapping[str, object]) -> list[str]:
    ids = manifest.get("trial_ids", [])
    assert isinstance(ids, list)
    return ids
