"""Output that nobody reads, or that cannot be written, stops nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep import output
from tests.sweep import chaos

# Prints lines, then says on a file of its own what became of it.
PRINTING = """
import os, sys
from sweep import output
output.outlive_readers()
for number in range(20000):
    print("line", number, chr(961))
sys.stdout.flush()
print("an error", file=sys.stderr)
opened = open(sys.argv[1], "w")
opened.write(f"done {opened.fileno()}")
"""


def shell(tmp_path: Path, redirection: str, **environment: str) -> tuple[int, str, str]:
    """Run the program as `sh` would; return its exit code, stderr, and what it wrote."""
    told = tmp_path / "told"
    command = f'"$0" -c "$1" "$2" {redirection}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, PRINTING, str(told)],
        cwd=chaos.ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr, told.read_text()


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("| head -1", "Broken pipe"), (">/dev/full", "No space left")],
)
def test_output_that_cannot_be_written_is_lost_and_said_once(
    redirection: str, reason: str, tmp_path: Path
) -> None:
    code, error, told = shell(tmp_path, redirection)
    assert code == 0
    assert error.count(reason) == 1
    assert error.splitlines()[-1] == "an error"
    assert len(error.splitlines()) == 2
    assert told.startswith("done")


@pytest.mark.parametrize(
    "redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full >/dev/full"]
)
def test_streams_that_are_not_open_are_taken_by_no_file(redirection: str, tmp_path: Path) -> None:
    code, _, told = shell(tmp_path, redirection)
    assert code == 0
    assert int(told.split()[1]) > 2


def test_letters_that_the_terminal_lacks_do_not_end_its_output(tmp_path: Path) -> None:
    code, error, _ = shell(tmp_path, "| tail -1 >&2", PYTHONIOENCODING="ascii")
    assert code == 0
    assert r"line 19999 \u03c1" in error


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_warning_is_one_line_and_never_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.warn("several\nlines")
    assert capsys.readouterr().err == "warning: several lines\n"
    closed = open(os.devnull, "w")  # noqa: PTH123, SIM115
    closed.close()
    for broken in (Full(), closed, None):
        monkeypatch.setattr(sys, "stderr", broken)
        output.warn("lost")
