"""Versions, refs and moves in words and as plain data: what several commands of the vault print."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from birdbone.cli import words
from birdbone.cli.edge import report
from birdbone.cli.output import talk, talk_console
from birdbone.vault.errors import VaultError
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.query.lanes import Charset
from birdbone.vault.query.lineage import headline, short_digest
from birdbone.vault.records import Version
from birdbone.vault.refs.refs import read_head, read_ref, refs

_MAX_FIGURES = 6
_MAX_LINE = 200  # what a merge records of its strategies can be long; --json has it whole

__all__ = ["headline", "short_digest"]


def refs_by_version(vault: Vault) -> dict[str, list[str]]:
    """Return the refs that point at each version, as a person writes them; `HEAD` first, with its branch."""
    head, at_head = read_head(vault), read_ref(vault, HEAD)
    found: dict[str, list[str]] = {}
    if at_head:
        found[at_head] = [HEAD if head == HEAD else f"HEAD -> {head.removeprefix(BRANCHES)}"]
    for full, version in refs(vault).items():
        if full != head:
            found.setdefault(version, []).append(full.removeprefix(BRANCHES).removeprefix("refs/"))
    return found


def version_line(version: Version, names: Sequence[str] = ()) -> str:
    """Return a version in one line: digits, refs, the first line of its message."""
    decoration = f" ({', '.join(names)})" if names else ""
    return f"{short_digest(version.id)}{decoration} {headline(version)}"


def version_lines(version: Version, names: Sequence[str] = ()) -> list[str]:
    """Return a version as `git log` shows a commit, with its figures."""
    decoration = f" ({', '.join(names)})" if names else ""
    parents = " ".join(map(short_digest, version.parents))
    facts = [
        ("merge", parents if len(version.parents) > 1 else ""),
        ("author", version.author),
        ("date", words.moment(version.time)),
        ("run", " ".join(part for part in (version.lineage.run_id, version.lineage.step) if part)),
        ("figures", figures(version.measurements)),
    ]
    return [
        f"version {version.id.removeprefix('b3:')[:40]}{decoration}",
        *(f"{name:<9}{plain(value)}" for name, value in facts if value),
        "",
        *(f"    {_clipped(plain(line))}".rstrip() for line in version.message.splitlines()),
    ]


def version_json(version: Version, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return a version as plain data."""
    return {"version": version.id, "refs": list(names), **version.model_dump(mode="json", exclude={"format"})}


def figures(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the figures of a version in a line: `perplexity 12.50, sparsity 0.300`."""
    found = [
        f"{row['name']} {words.number(row['value'])}"
        for row in rows
        if "name" in row and isinstance(row.get("value"), int | float)
    ]
    more = len(found) - _MAX_FIGURES
    return ", ".join(found[:_MAX_FIGURES]) + (f" and {more} more" if more > 0 else "")


def plain(text: str) -> str:
    """Return a text without characters that would steer a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _clipped(line: str) -> str:
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 1]}…"


def charset() -> Charset:
    """Return which characters standard output can show."""
    return "unicode" if "utf" in (sys.stdout.encoding or "").lower() else "ascii"


@contextlib.contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that long work is under way, with a clock; say nothing elsewhere."""
    console = talk_console()
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def report_in_lines(error: VaultError, *, as_json: bool) -> None:
    """Print an error whose message needs its line breaks: a query with a caret, a list of conflicts."""
    if as_json:
        report(error, as_json=True, is_debug=False)
    else:
        talk(f"error [{error.code}] {error.message}\nhint: {error.hint}")


@contextlib.contextmanager
def transfer(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows on a terminal how many bytes are done; nothing elsewhere."""
    console = talk_console()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), DownloadColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
