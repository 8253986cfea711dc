"""How workers' memory is kept: settings of glibc, read when a process starts."""

from __future__ import annotations

# glibc gives blocks above 128 KiB back to the system when they are freed, so that every large
# activation is paged in anew; keeping them makes RUB's steps on a CPU about 1.5 times faster.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
