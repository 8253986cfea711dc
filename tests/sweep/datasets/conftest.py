"""Fixtures: an empty cache for every test, the real data where it is there, an OpenML server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.datasets import loading

from .openml_server import OpenMLServer


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep nothing between tests, in memory or on disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for function in (loading.read_raw, loading._indices, loading._measured, loading._recorded):
        function.cache_clear()
    loading.load.cache_clear()
    loading._tell_choices.cache_clear()


@pytest.fixture
def release(shared_path: Path) -> Path:
    """The authors' release."""
    return shared_path / "data" / "uci"


@pytest.fixture
def images_root(shared_path: Path) -> Path:
    """A folder with MNIST's original files and a part of CIFAR-10."""
    return shared_path / "data"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenMLServer]:
    """A loopback OpenML server, which the real client of this process talks to."""
    import openml

    from sweep.datasets.sources import openml as source

    monkeypatch.setattr(source, "PAUSE_SECONDS", 0.001)
    with OpenMLServer() as running:
        monkeypatch.setattr(openml.config, "server", running.api)
        yield running
