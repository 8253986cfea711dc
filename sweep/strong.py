"""AutoAttack on the selected networks: python sweep/strong.py +experiment=NAME [key=value ...].

A script: it is run as a file, and nothing imports it. Its code is `sweep.driver.strong`.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # see run.py

from robust_sweep.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["strong", *sys.argv[1:]]))
