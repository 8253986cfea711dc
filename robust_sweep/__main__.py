"""`python -m robust_sweep`: the command `robust-sweep` where it is not installed."""

from __future__ import annotations

import sys

from robust_sweep.cli import main

if __name__ == "__main__":
    sys.exit(main())
