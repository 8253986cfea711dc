"""Registries and the discovery of what registers itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robust import attacks, defenses
from robust.losses import LOSSES
from robust.networks.base import KINDS
from robust.registry import PluginError, Registry, discover


def test_registry_without_members_fails() -> None:
    with pytest.raises(PluginError, match="no thing is registered"):
        Registry[int]("thing").names()


@pytest.mark.parametrize("names", [attacks.names, defenses.names, KINDS.names, LOSSES.names])
def test_registries_have_members(names: object) -> None:
    assert callable(names)
    assert names()


def test_name_is_taken_once_and_unknown_ones_are_told() -> None:
    things: Registry[int] = Registry("thing")
    things.add("one", 1)
    with pytest.raises(ValueError, match="'one' is registered twice"):
        things.add("one", 2)
    with pytest.raises(ValueError, match=r"unknown thing 'oen' \(did you mean 'one'\?\)"):
        things.get("oen")


def test_module_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_plugins"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "good.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    __import__("some_plugins")
    assert list(discover("some_plugins")) == ["good"]
    (package / "broken.py").write_text("1 / 0\n")
    with pytest.raises(PluginError, match=r"some_plugins/broken.py cannot be imported: ZeroDiv"):
        discover("some_plugins")
    for name in [name for name in sys.modules if name.startswith("some_plugins")]:
        monkeypatch.delitem(sys.modules, name)
