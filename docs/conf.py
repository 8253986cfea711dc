"""The docs site: `make docs` builds it, and a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sphinx.application import Sphinx  # noqa: E402

from robust_sweep import __version__  # noqa: E402

project = "robust-sweep"
author = "the robust-sweep authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Sweeps of adversarially robust training",
    "page_width": "1100px",
    "fixed_sidebar": True,
}
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository beside the docs
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True


def as_plain_bars(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Take the bars of docstrings for absolute values, which Sphinx takes for substitutions."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app: Sphinx) -> None:
    """Have docstrings read so before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", as_plain_bars, priority=400)
