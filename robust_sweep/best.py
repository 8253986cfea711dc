"""The command `best`: the network that validation data select for a radius, over all defenses.

    robust-sweep best dataset=wine norm=linf radius=0.1
    robust-sweep best dataset=wine norm=l1 radius=0.1 measure=certified [defense=NAME]

Options: dataset, norm (l1, l2, linf), radius (an attack grid radius of the records, times
sqrt(features) in L1 and L2), measure (attacked: the lowest accuracy of all attacks of the norm;
certified: the highest proven), defense (choose among its networks alone), experiment (default: the
latest), results, allow_simulated; `--key value` is the same as `key=value`.

Test data have no part in the choice; their accuracies are printed with 95% intervals (Wilson).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import arguments
from sweep.errors import UserError, unknown

if TYPE_CHECKING:
    from analysis.best import Best

NORMS = ("l1", "l2", "linf")
MEASURES = ("attacked", "certified")
DEFAULTS = {
    **{"dataset": "", "norm": "linf", "radius": "", "measure": "attacked", "defense": ""},
    **{"experiment": "", "results": "results", "allow_simulated": "false"},
}
_USAGE = "robust-sweep best dataset=NAME norm=l1|l2|linf radius=NUMBER [measure=certified]"
_SETTINGS = (
    *("network", "grid_radius", "learning_rate", "batch_size", "scaling"),
    *("steps", "seed", "split_seed"),
)


def main(argv: Sequence[str]) -> int:
    """Print what the arguments ask for.

    Returns:
        0, or 2 where an argument or the records are wrong.
    """
    if list(argv[:1]) in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        _, options, words = arguments.parse(["best", *argv], ["best"], DEFAULTS, _USAGE)
        if words:
            raise ValueError(f"unknown argument {words[0]!r}; usage: {_USAGE}")
        radius = _checked(options)
        print("\n".join(_told(options, radius)))
    except (UserError, ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _checked(options: Mapping[str, str]) -> float:
    """Return the radius; refuse what can be refused without records.

    Raises:
        ValueError: an option is missing or none of those allowed.
    """
    for key in ("dataset", "radius"):
        if not options[key]:
            raise ValueError(f"{key} is missing; usage: {_USAGE}")
    allowed = {"norm": NORMS, "measure": MEASURES, "allow_simulated": ("true", "false")}
    for key, known in allowed.items():
        if options[key] not in known:
            raise ValueError(f"{key}={options[key]}: {unknown(key, options[key], known)}")
    try:
        return float(options["radius"])
    except ValueError:
        raise ValueError(f"radius={options['radius']}: must be a number, as in 0.1") from None


def _told(options: Mapping[str, str], radius: float) -> Iterator[str]:
    """Yield the choice in lines, the last ones commands that work as they stand."""
    from analysis import load, locate
    from analysis.best import choose
    from analysis.names import label, norm_label

    names = [options["experiment"]] if options["experiment"] else []
    root = Path(options["results"])
    source = locate.locate(names, "", root)
    records = load.load(source, options["allow_simulated"] == "true")
    dataset, norm, measure = options["dataset"], options["norm"], options["measure"]
    for column in ("dataset", "defense"):
        there = sorted(records.trials[column].unique())
        if options[column] and options[column] not in there:
            raise ValueError(unknown(column, options[column], there))
    best = choose(records, dataset, norm, radius, measure, options["defense"])
    trial = best.trial
    yield f"{source.name}: {dataset}, {norm_label(norm)} at grid radius {radius:g}, {measure}"
    yield f"chosen on validation data among {_number(best.candidates)}{_tied(best)}"
    yield ""
    yield f"trial       {trial['trial_id']}"
    yield f"defense     {label(trial['defense'])} ({trial['defense']})"
    shown = ", ".join(f"{key} {_short(trial[key])}" for key in _SETTINGS if key in trial)
    yield f"settings    {shown}"
    yield f"validation  {best.validation:.1%} {measure}"
    yield from _accuracies(best)
    yield ""
    yield from _commands(trial["trial_id"], source.name, root, options["results"])


def _number(count: int) -> str:
    return f"{count:,} network{'s' if count > 1 else ''}"


def _tied(best: Best) -> str:
    if best.tied == 1:
        return ""
    return f"; {_number(best.tied)} are as good, and the first in the order of all tables is shown"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accuracies(best: Best) -> Iterator[str]:
    """Yield a line for each accuracy on test data, with its interval."""
    from analysis.statistics import binomial_interval

    test = best.test
    low, high = binomial_interval(test["accuracy"].to_numpy(), test["num_samples"].to_numpy())
    for row, least, most in zip(test.iter_rows(named=True), low, high, strict=True):
        at = f" at {row['attack_radius']:.4g}" if row["attack_grid_radius"] else ""
        yield (
            f"test        {row['accuracy']:6.1%} [{least:.1%}, {most:.1%}] of "
            f"{row['num_samples']} rows, {row['attack']}{at}"
        )


def _commands(trial: str, experiment: str, root: Path, results: str) -> Iterator[str]:
    """Yield how to use the network, with the folder where it is not the usual one."""
    from sweep.results import weights

    folder = "" if results == DEFAULTS["results"] else f" results={shlex.quote(results)}"
    where = f"experiment={shlex.quote(experiment)}{folder}"
    if trial not in weights.find(root):
        yield "its weights are not kept: the command below trains it again first"
    yield f"export: robust-sweep networks export {trial} format=onnx {where}"
    yield f"use:    robust-sweep networks predict {trial} ROWS.csv {where}"
