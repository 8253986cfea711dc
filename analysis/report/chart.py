"""How the page's chart looks: `chart.json` (Vega-Lite) with the defenses' colours and marks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from pathlib import Path
from typing import Any

from analysis.names import label, style


def chart(defenses: Sequence[str]) -> dict[str, Any]:
    """Return the chart of accuracy over the radius, without its data.

    The script adds `data` (rows with the fields that `chart.json` names), the parameter `zero`,
    where radius 0 stands on the axis of powers of ten, and the axis' `values`.
    """
    spec: dict[str, Any] = json.loads((Path(__file__).parent / "chart.json").read_text("utf-8"))
    looks = [style(name) for name in defenses]
    names = [label(name) for name in defenses]
    spec["encoding"]["color"] = _encoded(names, [look.color for look in looks])
    spec["encoding"]["strokeDash"] = _encoded(names, [_dash(look.dash) for look in looks])
    spec["layer"][-1]["encoding"]["shape"] = _encoded(names, [_SHAPES[k.marker] for k in looks])
    return spec


def _encoded(names: Sequence[str], values: Sequence[object]) -> dict[str, object]:
    scale = {"domain": list(names), "range": list(values)}
    return {"field": "defense", "type": "nominal", "scale": scale, "title": None}


def _polygon(corners: int, turn: float = 0.0, depth: float = 1.0) -> str:
    """Return the path of a regular polygon, or of a star whose every second corner is `depth`."""
    points = []
    for i in range(corners):
        angle, reach = 2 * pi * i / corners + turn, depth if i % 2 else 1.0
        points.append(f"{reach * sin(angle):.3f},{-reach * cos(angle):.3f}")
    return f"M{'L'.join(points)}Z"


# matplotlib's markers as Vega draws them.
_SHAPES = {
    "o": "circle", "^": "triangle-up", "v": "triangle-down", "s": "square", "D": "diamond",
    "d": _polygon(4, depth=0.6), "<": "triangle-left", ">": "triangle-right",
    "P": "cross", "X": _polygon(8, pi / 4, 0.5), "x": _polygon(8, pi / 4, 0.2),
    "+": _polygon(8, depth=0.2),
    "p": _polygon(5), "h": _polygon(6), "H": _polygon(6, pi / 6), "8": _polygon(8, pi / 8),
    "*": _polygon(10, depth=0.45),
}  # fmt: skip
_DASHES: Mapping[str, list[float]] = {"-": [1, 0], "--": [6, 3], "-.": [7, 3, 1, 3], ":": [1, 3]}


def _dash(dash: str | tuple[float, tuple[float, ...]]) -> list[float]:
    """Return matplotlib's dash as lengths in pixels."""
    return _DASHES[dash] if isinstance(dash, str) else [2 * part for part in dash[1]]
