"""The report: self-contained, whole, and readable on a desk and on a phone."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.artifact import figures, tables
from analysis.build import Built, build
from analysis.records import Records
from analysis.report.page import embed, render
from tests.analysis.made_records import records_of, rows_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Written into a copy of the page: what a reader's browser makes of it.
PROBE = """<script>
function used() { // what mouse and keyboard do to the tables, the choice and the dialog
  const press = key => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  const column = i => [...document.querySelectorAll("#numbers tbody tr")].map(
    row => Number.parseFloat(row.cells[i].textContent));
  const head = document.querySelector("#numbers thead th");
  head.focus();
  press("ArrowRight"); press("ArrowRight"); press("ArrowRight"); press("Enter");
  const down = column(3);
  press("Enter");
  const up = column(3);
  const box = document.querySelector("#choose-defenses input");
  const before = column(3).length;
  box.click();
  const label = box.parentElement.textContent.trim();
  const left = [...document.querySelectorAll("main section tbody th")].filter(
    cell => cell.textContent === label && cell.getClientRects().length).length;
  box.click();
  const cell = document.querySelector("td[data-t]");
  cell.focus();
  cell.tabIndex = 0; cell.focus(); press("Enter");
  const dialog = document.querySelector("dialog");
  const said = dialog.open ? dialog.textContent : "";
  dialog.close();
  const mean = document.querySelector("#numbers tbody button"); // of all data sets
  mean.click();
  const sets = [mean.textContent, `${dialog.querySelectorAll("li").length} trials`];
  dialog.close();
  return {down, up, before, left, said, sets, focused: document.activeElement.tagName};
}
addEventListener("load", () => {
  setTimeout(() => {
  const images = [...document.images];
  const broken = [...document.querySelectorAll("a")].filter(
    a => !document.getElementById(decodeURIComponent(a.hash.slice(1))));
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  const wide = [...document.querySelectorAll("body *")].filter(e =>
    !e.closest(".wide, pre, nav") && e.getBoundingClientRect().right > innerWidth + 1);
  document.title = "PROBE" + JSON.stringify({
    width: innerWidth, scroll: document.documentElement.scrollWidth,
    images: images.length, shown: images.filter(i => i.complete && i.naturalWidth > 0).length,
    sticking_out: wide.map(e => e.outerHTML.slice(0, 80)),
    requests: performance.getEntriesByType("resource").map(r => r.name).filter(
      n => !n.startsWith("data:")), broken: broken.map(a => a.href),
    marks: document.querySelectorAll("#chart path").length, ...used()});
  }, 3000);
});</script>"""


class Page(HTMLParser):
    """Collects what a page refers to and what it can be referred to by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []


@pytest.fixture(scope="module")
def text(built: Built, made_up: Records) -> str:
    return embed(render(built, made_up), built.out)


def test_page_refers_to_nothing_outside_itself(text: str) -> None:
    page = Page(text)
    assert page.links
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"url\(|@import", re.sub(r"<script.*?</script>", "", text, flags=re.S))


def test_policy_allows_the_two_scripts_alone(text: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    bodies = re.findall(r"<script([^>]*)>(.*?)</script>", text, flags=re.S)
    runs = [
        body for kind, body in bodies if "application/json" not in kind and "plain" not in kind
    ]
    (packed,) = (body for kind, body in bodies if 'id="library"' in kind)
    library = gzip.decompress(base64.b64decode(packed)).decode()
    assert len(runs) == 1
    allowed = {
        f"'sha256-{b64encode(sha256(s.encode()).digest()).decode()}'" for s in (*runs, library)
    }
    assert set(rules["script-src"].split()) == allowed


def test_page_shows_every_artifact_or_says_that_it_is_missing(text: str) -> None:
    page = Page(text)
    absent = {"table3", "table5", "table7", "table9", "table10", "table11"}
    assert {*tables(), *figures()} - absent <= set(page.ids)
    assert not absent & set(page.ids)
    missing = text[text.index("No records for") :]
    assert "Table 3, Table 5" in missing
    assert "python sweep/run.py +experiment=vision_full" in missing


def test_images_are_png(text: str) -> None:
    sources = Page(text).sources
    assert len(sources) == len(figures())
    for source in sources:
        assert base64.b64decode(source.partition(",")[2]).startswith(b"\x89PNG")


def test_simulated_records_are_called_so(text: str) -> None:
    assert "<strong>SIMULATED</strong>" in text
    assert "These records are made up" in text


def test_text_from_records_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    records = records_of(
        rows_of("a", 0.5, 0.5, dataset=evil, defense=evil, git_commit=evil, device=evil),
        rows_of("b", None, None, status="failed", error=evil),
    )
    page = render(build([*tables().values()], [], records, tmp_path), records)
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert page.count("</script>") == page.count("<script")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1440, 390], ids=["desk", "phone"])
def test_browser_shows_the_page_whole(text: str, width: int, tmp_path: Path) -> None:
    allowed = re.sub(r"script-src [^\"]*", "script-src 'unsafe-inline'", text)
    # A window narrower than 500 pixels is widened by the browser; a frame is not.
    framed = allowed.replace("</body>", PROBE.replace("document.title", "parent.document.title"))
    page = tmp_path / "page.html"
    page.write_text(
        f'<!doctype html><title>none</title><iframe width="{width}" height="900" '
        f'style="border:0" srcdoc="{framed.replace("&", "&amp;").replace(chr(34), "&quot;")}">'
        "</iframe>"
    )
    assert BROWSER is not None
    size = ["--window-size=1500,1000", "--virtual-time-budget=20000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, *FLAGS, *size, profile, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r"<title>PROBE(\{.*?\})</title>", done.stdout)
    assert found, done.stderr[-2000:]
    seen = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["width"] == width
    assert seen["scroll"] <= width
    assert seen["sticking_out"] == []
    assert seen["images"] == seen["shown"] == len(figures())
    assert seen["requests"] == []
    assert seen["broken"] == []
    assert seen["marks"] > 10
    assert len(seen["down"]) > 10
    assert seen["down"] == sorted(seen["down"], reverse=True)
    assert seen["up"] == sorted(seen["up"])
    assert seen["sets"][0] == seen["sets"][1] != "0 trials"  # a mean opens one of each data set
    assert seen["left"] == 0  # rows of a defense that is not chosen
    assert re.search(
        r"robust-sweep networks export \w{16} experiment=simulated_small", seen["said"]
    )
