"""Figures, times and environments in words, the same on every page and in every export."""

from __future__ import annotations

import datetime as dt

from birdbone.core import Measurement
from birdbone.evaluate.history.records import Environment

NOT_MEASURED = "not measured"


def percent_words(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f} %"


def points_words(difference: float) -> str:
    """Return a difference of shares in percentage points, without a sign."""
    return f"{100 * abs(difference):.3g}"


def interval_words(figure: Measurement) -> str:
    """Return the 95 % interval of a share in percent, or that there is none."""
    if figure.low is None or figure.high is None:
        return f"interval {NOT_MEASURED}"
    return f"[{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def figure_words(figure: Measurement) -> str:
    """Return a figure with its unit and interval; a benchmark's in percent."""
    if figure.unit == "1" and figure.name.startswith("benchmark."):
        return f"{percent_words(figure.value)} {interval_words(figure)}"
    unit = "" if figure.unit == "1" else f" {figure.unit}"
    ends = "" if figure.low is None or figure.high is None else f" [{figure.low:.5g}, {figure.high:.5g}]"
    return f"{figure.value:.5g}{unit}{ends}"


def moment_words(moment: dt.datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def short_digest(digest: str) -> str:
    """Return the beginning of a digest."""
    return digest.removeprefix("b3:")[:10]


def code_words(environment: Environment) -> str:
    """Return by what code a judgement was made: ours with its commit, and what computes."""
    commit = environment.source_commit
    ours = f"birdbone {environment.birdbone}{f' at {short_commit(commit)}' if commit else ''}"
    others = [f"{name} {version}" for name, version in environment.packages.items()]
    tree = [f"in a tree at {short_commit(environment.commit)}"] if environment.commit else []
    return ", ".join([ours, *others, f"Python {environment.python}", *tree])


def machine_words(environment: Environment) -> str:
    """Return on what machine, with how many threads and in which number format."""
    threads = [f"{environment.threads} thread(s)"] if environment.threads is not None else []
    dtype = [environment.dtype] if environment.dtype is not None else []
    return ", ".join(
        [environment.cpu, f"{environment.cores} core(s)", *environment.gpus, *threads, *dtype, environment.platform]
    )


def short_commit(commit: str) -> str:
    """Return the beginning of a commit, with its mark for changed files."""
    digits, dash, mark = commit.partition("-")
    return f"{digits[:10]}{dash}{mark}"
