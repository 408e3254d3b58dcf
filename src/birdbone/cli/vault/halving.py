"""What the commands of a bisection do and print."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from birdbone.cli import output, words
from birdbone.cli.errors import BisectRunError
from birdbone.cli.vault.telling import short_digest, version_line, version_lines
from birdbone.vault.artefacts import checkout
from birdbone.vault.folder import Vault
from birdbone.vault.history.bisect import BisectStep, Verdict, mark_version, run_bisection, verdict_of_exit_code
from birdbone.vault.records import Version
from birdbone.vault.refs.lookup import read_version

_ONLY_SKIPPED = 2  # as `git bisect` ends where only skipped versions are left
_FOLDER = "{}"


def mark(vault: Vault, verdict: Verdict, name: str | None, *, as_json: bool) -> None:
    """Say what a version is, and print what follows."""
    print_step(vault, mark_version(vault, verdict, name), as_json=as_json)


def print_step(vault: Vault, step: BisectStep, *, as_json: bool) -> None:
    """Print where a bisection stands; end with 2 where only skipped versions are left, as git does."""
    output.print_json(_step_json(step)) if as_json else output.print_line("\n".join(_step_lines(vault, step)))
    if step.suspects:
        raise typer.Exit(_ONLY_SKIPPED)


def run_tests(vault: Vault, command: Sequence[str]) -> BisectStep:
    """Return the last step of the bisection, after the command judged every version that was to be tested.

    Raises:
        BisectRunError: the command cannot be started, or ended with a code that is neither good, bad nor skip.
        NoBisectionError: none is under way.
    """

    def test(version: Version) -> Verdict:
        code = _run_on(vault, version, command)
        verdict = verdict_of_exit_code(code)
        if verdict is None:
            raise BisectRunError(
                f"The command ended with {code} on {short_digest(version.id)}; 0 to 127 were expected.", code=code
            )
        output.talk(f"{verdict:<5} {version_line(version)}")
        return verdict

    return run_bisection(vault, test)


def _run_on(vault: Vault, version: Version, command: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="birdbone-bisect-") as name:
        folder = str(checkout(vault, version.id, Path(name) / "version"))
        filled = [word.replace(_FOLDER, folder) for word in command]
        try:
            return subprocess.run(filled if filled != [*command] else [*filled, folder], check=False).returncode
        except OSError as error:
            raise BisectRunError(f"{command[0]} cannot be started: {error.strerror}.") from error


def _step_json(step: BisectStep) -> dict[str, Any]:
    return {**asdict(step), "max_tests_left": step.max_tests_left}


def _step_lines(vault: Vault, step: BisectStep) -> list[str]:
    if step.first_bad:
        found = read_version(vault, step.first_bad)
        tests = words.count(step.num_tests, "test")
        return [f"{short_digest(found.id)} is the first bad version ({tests})", *version_lines(found)]
    if step.next:
        found = read_version(vault, step.next)
        left = words.count(step.max_tests_left, "test")
        return [
            f"test next, {words.count(step.num_candidates, 'version')} in question, at most {left} left:",
            f"  {version_line(found)}",
        ]
    lines = [f"  {version_line(read_version(vault, each))}" for each in step.suspects]
    return ["only skipped versions are left; the first bad one is among:", *lines]
