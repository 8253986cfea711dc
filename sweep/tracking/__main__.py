"""The command `python -m sweep.tracking sync`."""

import sys

from sweep import output
from sweep.tracking.tracker import main

output.outlive_readers()
sys.exit(main(sys.argv[1:]))
