"""Which code wrote the records."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version

from sweep.installation import INSTALLED, ROOT

COMMIT = "SWEEP_GIT_COMMIT"  # an image is built without .git, and told its commit


def git_commit() -> str:
    """The commit of the working tree, with +dirty where it was changed.

    An installed project has none: a repository around its environment is somebody else's. Its
    release is named instead. Without git, as in a container: what SWEEP_GIT_COMMIT says, or
    unknown.
    """
    if INSTALLED:
        return f"release-{version('robust-sweep')}"
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return os.environ.get(COMMIT, "").strip() or "unknown"
    return f"{commit}+dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit


def short(commit: str) -> str:
    """Return a commit as people write it: seven digits, and +dirty if it is."""
    digits, plus, dirty = commit.partition("+")
    is_hash = len(digits) == 40 and not digits.strip("0123456789abcdef")
    return f"{digits[:7]}{plus}{dirty}" if is_hash else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
