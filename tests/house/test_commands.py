"""The command line and its pages agree, in both directions."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from birdbone.core import exit_code

from .conftest import find_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROMISED = set("run status phases config models model logs monitor clean export validate compare cite init".split())  # noqa: SIM905


def shell_lines(page: Path) -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        yield from (line.strip() for line in block.splitlines())


def shown_commands() -> list[list[str]]:
    lines = [line for page in PAGES for line in shell_lines(page)]
    lines += re.findall(r"`(birdbone [^`]+)`", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    words = [shlex.split(line.removeprefix(".venv/bin/")) for line in lines]
    return [line for line in words if line and line[0] == "birdbone" and not line[1].startswith("-")]


def test_every_promised_command_is_there(cli_commands: dict[str, set[str]]) -> None:
    assert set(cli_commands) >= PROMISED


def test_every_command_is_documented(cli_commands: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in cli_commands if f"| `birdbone {name}` |" not in page] == []


def test_every_command_shown_in_a_page_exists_with_its_options(cli_commands: dict[str, set[str]]) -> None:
    shown = shown_commands()
    assert len(shown) > 20
    for line in shown:
        name = find_command(line[1:], cli_commands)
        assert name in cli_commands, line
        assert {word.split("=")[0] for word in line if word.startswith("--")} <= cli_commands[name], line


def test_the_page_gives_the_exit_code_of_every_kind_of_error() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == 7
    for code, kind in rows:
        assert exit_code(kind) == int(code)


def test_help_starts_without_torch() -> None:
    """Torch would cost more than the 300 ms that `birdbone --help` may take; what is imported decides, not a clock."""
    program = (
        "import sys\nfrom birdbone.cli import main\nsys.argv = ['birdbone', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'dbos', 'pyarrow'} & set(sys.modules), 'heavy imports'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
