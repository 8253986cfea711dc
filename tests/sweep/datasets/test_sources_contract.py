"""What every source of data promises; a new one is tested by lying in the folder."""

from __future__ import annotations

from types import ModuleType

import pytest

from robust.registry import PluginError
from sweep.datasets import sources as package
from sweep.datasets.loading import check_name, read_raw
from sweep.datasets.sources import source, sources
from sweep.datasets.values import DataOptions


@pytest.fixture(params=sources().names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_data_set_has_a_name_of_its_own(name: str) -> None:
    offered = source(name).names(None)
    assert offered
    assert len(set(offered)) == len(offered)
    assert all(isinstance(one, str) and one for one in offered)


def test_unknown_data_set_is_named(name: str, tmp_path: object) -> None:
    with pytest.raises(ValueError, match="'no-such-set'"):
        check_name("no-such-set", DataOptions(name, str(tmp_path)))


def test_source_that_needs_a_folder_asks_for_it(name: str) -> None:
    if source(name).NEEDS_ROOT:
        with pytest.raises(ValueError, match=f"data.source={name} needs the folder"):
            source(name).read(source(name).names(None)[0], DataOptions(name))


def test_what_needs_no_file_can_be_read(name: str) -> None:
    options, offered = DataOptions(name), source(name).names(None)
    if source(name).NEEDS_ROOT or source(name).files(offered[0], options):
        return
    for one in offered:
        raw, _ = read_raw(one, options)
        assert len(raw.x) == len(raw.y)


def test_file_that_is_no_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "discover", lambda name: {"half": ModuleType("half")})
    with pytest.raises(PluginError, match=r"sources/half.py has no names, read, files"):
        sources.__wrapped__()
