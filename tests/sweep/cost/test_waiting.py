"""Threads of workers sleep while they wait, unless the user has said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sweep.cluster import environment
from sweep.config.schema import Ray
from sweep.cost.waiting import WAIT_ASLEEP, wait_asleep


def test_threads_sleep_where_nothing_is_said() -> None:
    found = {"PATH": "/bin"}
    wait_asleep(found)
    assert found == {"PATH": "/bin", **WAIT_ASLEEP}


@pytest.mark.parametrize("name", WAIT_ASLEEP)
def test_what_the_user_says_of_waiting_stands_alone(name: str) -> None:
    found = {name: "his own"}
    wait_asleep(found)
    assert found == {name: "his own"}


def test_processes_that_a_sweep_starts_inherit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in WAIT_ASLEEP:
        monkeypatch.delenv(name, raising=False)
    environment.prepare(Ray(address="auto"))
    says = "import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    command = [sys.executable, "-c", says]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split() == ["PASSIVE", "0"]
