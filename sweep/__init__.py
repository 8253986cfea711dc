"""The sweep: what runs, where, and what is kept of it."""

import gc

# Imports make objects that stay: at Python's usual threshold (700) the collector spends a tenth
# of the seconds that a worker takes to import Ray and PyTorch on finding that out.
gc.set_threshold(20_000)
