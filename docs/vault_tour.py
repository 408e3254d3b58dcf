"""Runs the commands that `vault.md` shows and pastes what they print: `python docs/vault_tour.py FOLDER_OF_A_MODEL`.

Every block of `sh` between the two markers is run, in order, in a copy of the model's folder; a block of `text` that
follows one is what it printed. Digests, times and the folder's place differ from run to run; a test compares the rest.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from birdbone.cli import app

PAGE = Path(__file__).with_name("vault.md")
BEGIN, END = "<!-- tour -->", "<!-- end of tour -->"
HOME = "~"
_PROGRAM = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^```sh\n(.*?)^```$(\n\n^```text\n.*?^```$)?", flags=re.MULTILINE | re.DOTALL)


def rewrite(page: str, model: Path) -> str:
    """Return the page with what its commands print now, on a copy of the files of `model`."""
    before, rest = page.split(BEGIN)
    tour, after = rest.split(END)
    with tempfile.TemporaryDirectory() as name, _place(Path(name).resolve(), tour, model) as base:
        return f"{before}{BEGIN}{_STEP.sub(lambda step: _run_step(step, base), tour)}{END}{after}"


def outputs(page: str) -> list[str]:
    """Return the blocks of output of a page, with what differs from run to run taken out, lines in order of text."""
    tour = page.split(BEGIN)[1].split(END)[0]
    return [_steady(step[1]) for step in _STEP.findall(tour) if step[1]]


class _place:
    """A folder with a copy of a model, the page's program beside it, and the settings of a person named ann."""

    def __init__(self, base: Path, tour: str, model: Path) -> None:
        self._base, self._was, self._environment = base, Path.cwd(), dict(os.environ)
        shutil.copytree(model, base / "tiny")
        for program in _PROGRAM.findall(tour):
            (base / "prune.py").write_text(program)

    def __enter__(self) -> Path:
        os.environ |= {"COLUMNS": "80", "BIRDBONE_AUTHOR": "ann", "TZ": "UTC"}
        os.chdir(self._base)
        return self._base

    def __exit__(self, *_: object) -> None:
        os.chdir(self._was)
        os.environ.clear()
        os.environ.update(self._environment)


def _run_step(step: re.Match[str], base: Path) -> str:
    lines = step[1].splitlines()
    printed = "".join(f"$ {line}\n" * (len(lines) > 1) + _run(line, base) for line in lines)
    shown = f"```sh\n{step[1]}```"
    return f"{shown}\n\n```text\n{printed}```" if step[2] else shown


def _run(line: str, base: Path) -> str:
    words = shlex.split(line, comments=True)
    if words[0] == "cd":
        os.chdir(words[1])
        return ""
    if words[0] == "birdbone":
        text = CliRunner().invoke(app, words[1:]).output
    else:
        program = [sys.executable, *words[1:]] if words[0] == "python" else words
        text = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    lines = (row.rstrip() for row in text.replace(str(base), HOME).splitlines())
    return "".join(f"{row}\n" for row in lines if row)


def _steady(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{10,64}\b", "ID", text)
    return "\n".join(sorted(_masked(text.splitlines())))


def _masked(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield re.sub(r"[<>]?\s*[+−-]?\d[\d,.:-]*( ?%)?", " N", re.sub(r"─+", "─", line)).strip()


if __name__ == "__main__":
    PAGE.write_text(rewrite(PAGE.read_text(encoding="utf-8"), Path(sys.argv[1])), encoding="utf-8")
