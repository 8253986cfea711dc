"""Run a sweep: python sweep/run.py +experiment=NAME [key=value ...] [dry_run=true].

A script: it is run as a file, and nothing imports it. Its code is `robust_sweep.run`.
"""

import sys
from pathlib import Path

# Python looks first in a script's own folder, where our modules may hide others, and never in
# the checkout's root, which need not be installed.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from robust_sweep.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
