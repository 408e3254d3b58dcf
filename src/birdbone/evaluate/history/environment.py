"""Where a judgement ran: versions of what computes, the machine, and the commits of the code."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import birdbone
from birdbone.evaluate.history.records import Environment
from birdbone.watch import describe_hardware

PACKAGES = ("lm-eval", "torch", "transformers", "tokenizers", "datasets", "numpy", "xllamacpp")
"""Distributions whose version is recorded where they are installed."""

_GIT_TIMEOUT_SECONDS = 20.0


def describe_environment(
    *, num_threads: int | None = None, dtype: str | None = None, folder: Path | None = None
) -> Environment:
    """Return what a judgement records of where it runs. Loads nothing heavy; asks git, where it is installed.

    Args:
        num_threads: CPU threads of the computation.
        dtype: number format of the computation.
        folder: working tree whose commit is recorded; the current one unless given.
    """
    hardware = describe_hardware()
    return Environment(
        birdbone=birdbone.__version__,
        source_commit=_own_commit(),
        commit=commit_of(folder or Path.cwd()),
        python=hardware.python,
        platform=hardware.system,
        packages={name: version for name in PACKAGES if (version := _version(name))},
        cpu=hardware.cpu_model,
        cores=hardware.num_logical_cores,
        gpus=tuple(map(str, hardware.gpus)),
        threads=num_threads,
        dtype=dtype,
    )


def commit_of(folder: Path) -> str | None:
    """Return the commit of the working tree that `folder` is in, with `-dirty` where tracked files were changed.

    None where it is in none, where nothing was committed, or where there is no git.
    """
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None


def _own_commit() -> str | None:
    """Return the commit of our source, unless it was installed: an environment may lie inside another tree."""
    folder = Path(birdbone.__file__).parent
    return commit_of(folder) if _git(folder, "ls-files", "--", "__init__.py") else None


def _git(folder: Path, *words: str) -> str:
    """Return what git prints, or nothing where it fails."""
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
