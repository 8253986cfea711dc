"""Where the project's files are, and how its commands are called: in a checkout, or installed.

A wheel has no folder conf/ beside its packages and no scripts to run as files: `setup.py` puts
conf/ into this package, and the command `robust-sweep` stands for the scripts.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parent
# Only a wheel has it; looked for first, as a stranger's conf/ may lie beside installed packages.
INSTALLED = (_HERE / "conf").is_dir()
CONF = _HERE / "conf" if INSTALLED else ROOT / "conf"
_COMMANDS = {
    "sweep/run.py": "run",
    "sweep/strong.py": "strong",
    "analysis/make_tables.py": "tables",
}


def command_of(script: str, *, installed: bool | None = None) -> str:
    """Return what a person types to run a script of the project.

    Args:
        script: its path in a checkout, as in `sweep/run.py`.
        installed: whether the command `robust-sweep` stands for it; None: where it is there and
            the folder one is in is not a checkout's root.

    Returns:
        `python sweep/run.py`, or `robust-sweep run`.
    """
    elsewhere = Path.cwd() != ROOT
    if installed is None:
        there = Path(sys.executable).with_name("robust-sweep").exists()
        installed = INSTALLED or (elsewhere and there)
    if installed:
        return f"robust-sweep {_COMMANDS[script]}"
    return f"python {shlex.quote(str(ROOT / script)) if elsewhere else script}"
