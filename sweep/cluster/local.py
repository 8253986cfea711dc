"""A local Ray that starts what a sweep uses, and waits no longer than it must.

Much of the time before the first pack is Ray's start, and Ray has no public switches for what is
left out here. So this module alone changes some of its private methods, for the length of the
start; a Ray that does not have them starts as usual.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from sweep.cluster import token

# Starts of Ray's autoscaler, log reader and dashboard server, each of which imports for one to
# two seconds of processor time while the first workers wait.
_UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
_REGISTERS_WITHIN_S = 30.0  # after which Ray's own waiting begins
_LOOK_EVERY_S = 0.02


def start(num_cpus: int | None, num_gpus: int | None, **quiet: Any) -> None:
    """Start Ray on this machine alone.

    Args:
        num_cpus, num_gpus: what its workers may use; all that there is if None.
        quiet: further arguments of `ray.init`.
    """
    import ray
    from ray._private.node import Node
    from ray._private.state import GlobalState

    token.give_own()
    with contextlib.ExitStack() as changes:
        for name in _UNUSED:
            changes.enter_context(_changed(Node, name, lambda start_process: _nothing))
        changes.enter_context(_changed(GlobalState, "get_node", _found_early))
        ray.init(num_cpus=num_cpus, num_gpus=num_gpus, include_dashboard=False, **quiet)


@contextlib.contextmanager
def _changed(owner: type, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a method within, if there is one of this name."""
    if not hasattr(owner, name):
        yield
        return
    with mock.patch.object(owner, name, change(getattr(owner, name))):
        yield


def _nothing(*args: object, **kwargs: object) -> None:
    pass


def _found_early(get_node: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Ask for a node often until it is known: Ray itself looks for it once a second."""

    def get_known_node(state: Any, node_id: str) -> Any:
        end = time.monotonic() + _REGISTERS_WITHIN_S
        while time.monotonic() < end and not _knows(state, node_id):
            time.sleep(_LOOK_EVERY_S)
        return get_node(state, node_id)

    return get_known_node


def _knows(state: Any, node_id: str) -> bool:
    return any(node["NodeID"] == node_id for node in state.node_table())
