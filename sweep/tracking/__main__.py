"""The command `python -m sweep.tracking sync`."""

import sys

from sweep.tracker import main

sys.exit(main(sys.argv[1:]))
