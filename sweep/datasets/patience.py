"""A limit to how long an HTTP client waits for a server that has gone silent."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import urllib3


@contextlib.contextmanager
def silence_limited(seconds: float) -> Iterator[None]:
    """Let every request of this thread fail when a server says nothing for so long.

    The openml package sets no limit and offers no way to: requests waits for ever, MinIO for five
    minutes, six times over. Both go through urllib3.
    """
    whole, thread = urllib3.HTTPConnectionPool.urlopen, threading.get_ident()
    limit = urllib3.Timeout(connect=seconds, read=seconds)

    @functools.wraps(whole)
    def urlopen(pool: urllib3.HTTPConnectionPool, *args: Any, **options: Any) -> Any:
        if threading.get_ident() != thread:
            return whole(pool, *args, **options)
        options["timeout"] = limit
        options.setdefault("retries", False)  # whoever asks for the limit tries again himself
        return whole(pool, *args, **options)

    pools: Any = urllib3.HTTPConnectionPool
    pools.urlopen = urlopen
    try:
        yield
    finally:
        pools.urlopen = whole
