"""The command `robust-sweep COMMAND ...`.

Each command hands its arguments to one script of the project and is imported only when it is
called, so that `--help` takes no time and `ui` needs no PyTorch.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from robust_sweep import __version__
from sweep import output
from sweep.errors import UserError, unknown

_USAGE_ERROR = 2


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: one line for `--help`.
        call: takes the arguments after the command's name, returns the exit code.
    """

    summary: str
    call: Callable[[Sequence[str]], int]


def _run(argv: Sequence[str]) -> int:
    output.outlive_readers()  # before anything else opens a file
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C while the import takes its seconds
    from robust_sweep.run import command

    command(argv)


def _plan(argv: Sequence[str]) -> int:
    return _run([*argv, "dry_run=true"])  # the last word on a key counts


def _strong(argv: Sequence[str]) -> int:
    output.outlive_readers()
    from sweep.driver.strong import main

    return main(argv)


def _tables(argv: Sequence[str]) -> int:
    from analysis.make_tables import main

    return main(list(argv))


def _data(argv: Sequence[str]) -> int:
    from sweep.datasets.__main__ import main

    return main(argv)


def _networks(argv: Sequence[str]) -> int:
    from robust_sweep.selection import selected
    from sweep.driver.networks import main

    return main(argv, selected)


def _best(argv: Sequence[str]) -> int:
    from robust_sweep.best import main

    return main(argv)


def _new(argv: Sequence[str]) -> int:
    from robust_sweep.new import main

    return main(argv)


def _completion(argv: Sequence[str]) -> int:
    from robust_sweep.completion import main

    return main(argv)


def _publish(argv: Sequence[str]) -> int:
    from robust_sweep.publish import main

    return main(argv)


def _ui(argv: Sequence[str]) -> int:
    from robust_sweep import ui

    if list(argv[:1]) in (["--help"], ["-h"], ["help"]):
        print(ui.__doc__)
        return 0
    return ui.main(argv)


COMMANDS: Mapping[str, Command] = {
    "run": Command("train what is missing of an experiment and record it", _run),
    "plan": Command("print what `run` would train and what it would cost", _plan),
    "tables": Command("build tables, figures and the report from records", _tables),
    "strong": Command("run AutoAttack on the networks that selection picks", _strong),
    "best": Command("print the network that validation data select for a radius", _best),
    "networks": Command("list the kept networks; export, attack or certify one", _networks),
    "publish": Command("give MLflow the selected networks as models, and the report", _publish),
    "ui": Command("serve MLflow's pages on the results, to this machine only", _ui),
    "data": Command("check a table of your own; verify or audit data sets", _data),
    "new": Command("write a defense, attack, table or experiment from a template", _new),
    "completion": Command("print what completes these commands in bash", _completion),
}


def help_text() -> str:
    """Return what `robust-sweep --help` prints."""
    listed = "\n".join(f"  {name:12}{command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: robust-sweep COMMAND [argument ...]\n"
        "       robust-sweep [--help | --version]\n\n"
        f"{listed}\n\n"
        "  robust-sweep run +experiment=quickstart\n"
        "  robust-sweep tables experiment=quickstart\n"
        "  robust-sweep best dataset=wine norm=linf radius=0.1\n"
        "  robust-sweep ui\n\n"
        "`robust-sweep run --help` lists every key of a sweep."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command's name and its arguments; default: those of this process.

    Returns:
        The command's exit code; 2 if there is no such command or its arguments are wrong.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if name == "--version":
        print(f"robust-sweep {__version__}")
        return 0
    try:
        if not name:
            raise UserError(f"give a command: {', '.join(COMMANDS)}; see robust-sweep --help")
        if name not in COMMANDS:
            raise UserError(unknown("command", name, COMMANDS))
        return COMMANDS[name].call(rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE_ERROR
