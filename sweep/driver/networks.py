"""The networks of recorded trials: the command `networks`.

    networks list    [selected] [dataset=NAME] [defense=NAME]
    networks export  TRIAL [format=torch|onnx|safetensors] [out=FILE]
    networks predict TRIAL ROWS.csv [out=FILE.csv]
    networks attack  TRIAL ROWS.csv [attack=NAME] [radii=0,0.1] [out=FILE.csv]
    networks certify TRIAL ROWS.csv [norm=l1|l2|linf] [method=NAME] [costs=age:inf,income:2]
                     [radii=0,0.1] [out=FILE.csv]
    networks prune   experiment=NAME

All take experiment=NAME and results=DIR; `--key value` is the same as `key=value`. A network comes
from its kept weights; where these are gone it is trained again by the command that asked for it
(`manifest.json`), which gives the same weights on the same kind of processor. Exported networks
and the rows of a file have raw features: the scaling travels with the network.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from robust import attacks
from robust.export import FORMATS, SUFFIXES, export
from robust.predictor import Predictor
from robust.registry import unknown
from sweep import arguments, files
from sweep.driver import kept, on_rows
from sweep.driver.kept import Restored
from sweep.driver.recorded import frame_of
from sweep.driver.rows import Rows, read_features, read_rows
from sweep.errors import UserError
from sweep.grid.options import attack_norm
from sweep.results import store, weights
from sweep.uri import redacted

Selection = Callable[[store.Folder], Container[str]]
Options = Mapping[str, str]

_DEFAULTS = {
    **{"experiment": "", "results": "results", "dataset": "", "defense": "", "selected": "false"},
    **{"format": "safetensors", "out": "", "attack": "pgd-linf", "radii": "", "target": ""},
    **{"norm": "l1", "method": "", "costs": ""},
}
_SHOWN = ("trial_id", "status", "dataset", "network", "defense", "grid_radius", "learning_rate",
          "batch_size", "scaling", "seed", "split_seed")  # fmt: skip
_PLAIN: dict[str, Any] = {
    "tbl_rows": -1,
    "tbl_cols": -1,
    "tbl_width_chars": 10**4,
    "fmt_str_lengths": 99,
    "tbl_formatting": "NOTHING",
    "tbl_hide_dataframe_shape": True,
    "tbl_hide_column_data_types": True,
}
_PRINTED_ROWS = 50  # of a file, where they are not written to one


@dataclass(frozen=True)
class _Call:
    """One call of a command."""

    folders: Sequence[store.Folder]
    words: Sequence[str]
    options: Options
    selection: Selection

    def restored(self) -> Restored:
        """The network of the trial that is the first word."""
        return kept.restore(self.folders, self.words[0])

    def rows(self, predictor: Predictor) -> Rows:
        """The labelled rows of the file that is the second word."""
        return read_rows(Path(self.words[1]), predictor, self.options["target"])


def main(argv: Sequence[str], selection: Selection) -> int:
    """Run one of the commands.

    Args:
        argv: its name and arguments.
        selection: the trials of an experiment that selection on validation picks.

    Returns:
        0, or 2 where an argument or the records are wrong.
    """
    if list(argv[:1]) in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        usage = _usage()
        command, options, words = arguments.parse(argv, list(COMMANDS), _DEFAULTS, usage)
        call, takes = COMMANDS[command]
        if "selected" in words and command == "list":
            words.remove("selected")
            options["selected"] = "true"
        if len(words) != len(takes):
            wanted = " and ".join(takes) or "no further word"
            raise ValueError(f"{command} takes {wanted}; usage: {usage}")
        root = Path(options["results"]).absolute()
        folders = store.folders(root, options["experiment"])
        if not folders:
            raise UserError(f"no records under {root}; known: none")
        print(call(_Call(folders, words, options, selection)))
    except (UserError, ValueError, OSError) as error:
        print(f"error: {redacted(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    return 0


def _list(call: _Call) -> str:
    """One line per recorded trial: its clean accuracy on test data, and whether it is kept."""
    found = [own for folder in call.folders for own in _trials(folder)]
    trials = pl.concat(found).unique("trial_id", keep="first")
    for key in ("dataset", "defense"):
        if call.options[key]:
            trials = trials.filter(pl.col(key) == call.options[key])
    if _flag(call.options, "selected"):
        chosen = [call.selection(folder) for folder in call.folders]
        ids = [t for t in trials["trial_id"] if any(t in selected for selected in chosen)]
        trials = trials.filter(pl.col("trial_id").is_in(ids))
    there = list(weights.find(call.folders[0].root))
    weighted = pl.when(pl.col("trial_id").is_in(there)).then(pl.lit("yes")).otherwise(pl.lit("no"))
    trials = trials.with_columns(weighted.alias("kept")).sort(_SHOWN[2:])
    with pl.Config(**_PLAIN):
        return f"{trials}\n{trials.height} trials"


def _trials(folder: store.Folder) -> Iterator[pl.DataFrame]:
    """The trials of an experiment, file by file, with their clean accuracy on test data."""
    for rows in map(frame_of, folder.record_files()):
        clean = rows.filter((pl.col("split") == "test") & (pl.col("attack_grid_radius") == 0))
        accuracy = clean.group_by("trial_id").agg(pl.col("accuracy").first().alias("clean"))
        yield rows.select(_SHOWN).unique().join(accuracy, on="trial_id", how="left")


def _export(call: _Call) -> str:
    """Write a trial's network to a file."""
    form = call.options["format"]
    if form not in FORMATS:
        raise ValueError(f"format={form}: {unknown('format', form, FORMATS)}")
    restored = call.restored()
    path = Path(call.options["out"] or f"{call.words[0]}{SUFFIXES[form]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    export(
        restored.net,
        path,
        form,
        preprocessing=restored.preprocessing,
        metadata=restored.metadata,
    )
    return f"written to {path}, {restored.source}"


def _predict(call: _Call) -> str:
    """The class and the probabilities of every row."""
    restored = call.restored()
    predictor = Predictor(restored.net, restored.preprocessing)
    raw = read_features(Path(call.words[1]), predictor, call.options["target"])
    shares = dict(zip(map(str, predictor.classes_), predictor.predict_proba(raw).T, strict=True))
    columns = {f"p({name})": own.round(4) for name, own in shares.items()}
    rows = pl.DataFrame({"row": range(1, len(raw) + 1), "predicted": predictor.predict(raw)})
    return _told(call, restored, "", None, rows.with_columns(**columns))


def _attack(call: _Call) -> str:
    """The accuracy on a file's rows under an attack."""
    name = call.options["attack"]
    attacks.get(name)
    radii, costs = _radii(call.options), on_rows.costs_of(call.options["costs"])
    restored = call.restored()
    radii = radii or on_rows.recorded_radii(restored, "attack", name)
    predictor = Predictor(restored.net, restored.preprocessing)
    found = on_rows.attack(restored, predictor, call.rows(predictor), name, radii, costs)
    what = f"under {name}, {attack_norm(name)} radii of scaled inputs:"
    return _told(call, restored, what, found.summary, found.rows)


def _certify(call: _Call) -> str:
    """What is certified of a file's rows."""
    options = call.options
    proof = on_rows.proof_of(options["norm"], options["method"], options["costs"])
    radii = _radii(options)
    restored = call.restored()
    radii = radii or on_rows.recorded_radii(restored, "attack_norm", proof.norm)
    predictor = Predictor(restored.net, restored.preprocessing)
    found = on_rows.certified(restored, predictor, call.rows(predictor), radii, proof)
    what = f"certified by {proof.method}, {proof.norm} radii of scaled inputs:"
    return _told(call, restored, what, found.summary, found.rows)


def _prune(call: _Call) -> str:
    """Delete the kept networks that selection does not pick."""
    if not call.options["experiment"]:
        raise ValueError("prune deletes networks: say of which experiment=NAME")
    (folder,) = call.folders
    return f"{kept.prune(folder, call.selection(folder)):,} networks deleted"


def _told(
    call: _Call, restored: Restored, what: str, summary: pl.DataFrame | None, rows: pl.DataFrame
) -> str:
    """The tables of a command; that of single rows is printed if it is short."""
    first, (trial, path), out = restored.rows.row(0, named=True), call.words, call.options["out"]
    lines = [
        f"trial {trial} ({first['dataset']}, {first['defense']}), {restored.source}",
        f"{rows.height:,} rows of {path} {what}".rstrip(),
    ]
    with pl.Config(**_PLAIN):
        lines += [] if summary is None else [str(summary)]
        if out:
            files.write_text(Path(out), rows.write_csv())
            lines.append(f"each row: {out}")
        elif rows.height <= _PRINTED_ROWS:
            lines.append(str(rows))
        else:
            lines.append("each row: give out=FILE.csv")
    return "\n".join(lines)


def _radii(options: Options) -> list[float]:
    """The radii of the option; none where it is not given."""
    told = options["radii"]
    try:
        radii = [float(text) for text in told.strip("[]").split(",") if text.strip()]
    except ValueError:
        raise ValueError(f"radii={told}: must be numbers, as in 0,0.1,0.5") from None
    if not all(0 <= radius < math.inf for radius in radii) or radii != sorted(set(radii)):
        raise ValueError(
            f"radii={told}: must be finite, at least 0 and strictly increasing, as in 0,0.1,0.5"
        )
    return radii


def _flag(options: Options, key: str) -> bool:
    values = {"true": True, "false": False}
    if options[key] not in values:
        raise ValueError(f"{key}={options[key]}: must be true or false")
    return values[options[key]]


_TRIAL, _ROWS = "one trial", "one file of rows"
COMMANDS: Mapping[str, tuple[Callable[[_Call], str], tuple[str, ...]]] = MappingProxyType(
    {
        "list": (_list, ()),
        "export": (_export, (_TRIAL,)),
        "predict": (_predict, (_TRIAL, _ROWS)),
        "attack": (_attack, (_TRIAL, _ROWS)),
        "certify": (_certify, (_TRIAL, _ROWS)),
        "prune": (_prune, ()),
    }
)


def _usage() -> str:
    options = " ".join(f"[{key}=...]" for key in _DEFAULTS)
    return f"robust-sweep networks {'|'.join(COMMANDS)} [TRIAL] [ROWS.csv] {options}"
