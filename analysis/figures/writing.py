"""Files of a figure: a PDF with all its pages, a PNG per page, one for narrow screens."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure as Canvas
from PIL import Image

from analysis.artifact import Figure
from analysis.figures.plotting import RC, narrow

COLOURS = 64  # of a picture: enough for lines and bands, at a third of the bytes
DOTS, NARROW_DOTS = 200, 150  # per inch


def write_pictures(
    figure: Figure, frame: pd.DataFrame, out: Path, marks: Sequence[str] = ()
) -> None:
    """Draw a figure and write its pictures to `out`.

    `marks` say in the picture what kind of data it shows.
    """
    # Kinds of fonts are looked up when the file is opened.
    with mpl.rc_context(RC), PdfPages(out / f"{figure.name}.pdf", metadata=_DATELESS) as pdf:
        for number, page in enumerate(_pages(figure, frame, marks), 1):
            pdf.savefig(page)
            _write_png(page, out / f"{figure.picture(number)}.png", DOTS)
    if figure.narrow:
        with narrow():
            first = _pages(figure, frame, marks)[0]
        _write_png(first, out / f"{figure.name}-narrow.png", NARROW_DOTS)


_DATELESS = {"CreationDate": None}


def _pages(figure: Figure, frame: pd.DataFrame, marks: Sequence[str]) -> Sequence[Canvas]:
    drawn = figure.draw(frame)
    pages = [drawn] if isinstance(drawn, Canvas) else list(drawn)
    text = ", ".join(marks)
    for page in pages:
        page.text(0.998, 0.998, text, ha="right", va="top", fontsize=6, color="#b00020")
    return pages


def _write_png(page: Canvas, path: Path, dots: int) -> None:
    """Write a picture with few colours."""
    made = BytesIO()
    page.savefig(made, format="png", dpi=dots)
    with Image.open(made) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
