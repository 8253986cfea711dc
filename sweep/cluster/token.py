"""Which token Ray's processes show each other, decided before a sweep starts or joins a Ray.

A Ray that is started where ~/.ray/auth_token exists asks all who join for that token, and Ray
writes the file when a local Ray is started without one: after it every other Ray of that user
behaves differently. So a local Ray gets a token of its own that no file keeps. A cluster's choice
is asked of the cluster: a driver that shows a token to a cluster without one cannot be reached by
the workers, and one without a token is refused by a cluster that asks for it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

from sweep.errors import RayError

MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
_NAMES = (MODE, TOKEN)
OPEN, CLOSED = "disabled", "token"  # what MODE may be: without and with a token
_ANSWERS_WITHIN_S = 20.0

# In a process of its own: Ray keeps its first answer, prints to stderr, and waits for minutes.
_QUESTION = """
import sys
from ray._private import services
from ray._raylet import GcsClient
address = services.canonicalize_bootstrap_address(sys.argv[1])
print(address, flush=True)
GcsClient(address=address)
"""
_REFUSED = ("AuthenticationError", "authentication token")  # the latter: none is found here


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Leave the environment's token and mode as they were."""
    before = {name: os.environ.get(name) for name in _NAMES}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def give_own() -> None:
    """Let the local Ray that is about to start take a token that it shares with nobody.

    A token that the environment names is taken as it is.
    """
    if not os.environ.get(TOKEN):
        os.environ[TOKEN] = secrets.token_hex(32)


def settle(address: str) -> str:
    """Let Ray show a token to the cluster if, and only if, the cluster asks for one.

    Args:
        address: host:port, or auto.

    Returns:
        The cluster's host:port; auto may find another cluster when it is asked again.

    Raises:
        RayError: the environment or the token on this machine does not fit the cluster.
        ConnectionError: no cluster answers.
    """
    found, is_open = _ask(address, OPEN)
    mode = OPEN if is_open else CLOSED
    wanted = os.environ.get(MODE, mode).lower()
    if wanted != mode:
        asks = "for no token" if mode == OPEN else "for a token"
        raise RayError(
            f"ray.address={address}: the cluster asks {asks}, and {MODE}={wanted} here; "
            f"unset {MODE}, which then follows the cluster"
        )
    if not is_open and not _ask(found, CLOSED)[1]:
        raise RayError(
            f"ray.address={address}: the cluster asks for a token, and this machine has another "
            f"or none; copy the head node's ~/.ray/auth_token to it, or set {TOKEN}"
        )
    os.environ[MODE] = mode
    return found


def _ask(address: str, mode: str) -> tuple[str, bool]:
    """The host:port of the cluster, and whether it lets in who comes in this mode."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _QUESTION, address],
            env={**os.environ, MODE: mode},
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise ConnectionError(f"no answer of Ray's within {_ANSWERS_WITHIN_S:g} s") from None
    refused = done.returncode != 0 and any(sign in done.stderr for sign in _REFUSED)
    if done.returncode != 0 and not refused:
        raise ConnectionError(["Ray ended", *done.stderr.splitlines()][-1])
    return done.stdout.split()[0], not refused
