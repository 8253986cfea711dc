"""The page's script, the library it draws with, and the policy that allows these two alone.

Charts are drawn by Vega-Lite, whose bundle vl-convert brings along. It travels compressed, as
data: `view.js` unpacks it and puts it into the page, which the policy allows as it knows its hash.
Vega's expressions are interpreted and not compiled (`ast` in `view.js`), so that the policy needs
no `unsafe-eval`.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

# Images come from the page itself; styles are the page's own and what the chart sets on its marks.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}"


@cache
def library() -> str:
    """Return the text of the library, as the page will run it."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f'(function () {{\n"use strict";\n{bundle}\n}})();\n'


def own() -> str:
    """Return the text of the page's own script."""
    return (Path(__file__).parent / "view.js").read_text(encoding="utf-8")


def scripts() -> str:
    """Return the elements of both, the library as data."""
    packed = b64encode(gzip.compress(library().encode(), mtime=0)).decode()
    return (
        f'<script type="text/plain" id="library">{packed}</script>\n'
        f'<script type="module">{own()}</script>'
    )


def policy() -> str:
    """Return the content security policy of the page: two scripts by their hashes, no more."""
    hashes = (b64encode(sha256(text.encode()).digest()).decode() for text in (own(), library()))
    return _POLICY.format(" ".join(f"'sha256-{digest}'" for digest in hashes))
