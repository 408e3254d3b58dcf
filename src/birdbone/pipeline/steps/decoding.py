"""Timing two GGUF files against each other, as people run them: in a process of its own.

A run makes waiting threads sleep (`OMP_WAIT_POLICY=PASSIVE`), which suits torch beside other work. But torch and
llama.cpp share one OpenMP, and llama.cpp's threads meet at a barrier hundreds of times a token: two that sleep decoded
at a third of the speed of one. So the timing happens in a child process without that variable. How many threads are
fastest still depends on who else is at work: the baseline is timed with one and with all, and the better is used.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from pydantic import TypeAdapter

from birdbone.core import BirdboneError
from birdbone.evaluate import RateComparison, decode_rates
from birdbone.models.llamacpp import EngineError, LlamaCpp, open_engine

_WAIT_POLICY_VARIABLE = "OMP_WAIT_POLICY"
_TRIAL_TOKENS = 16
_TRIALS = 3
_MEMORY_HINT = "A kernel that runs out of memory ends a process so: free some, or resume on a larger machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What the turns of two files came to."""

    rates: RateComparison
    num_threads: int


def race(
    candidate: Path,
    baseline: Path,
    *,
    num_tokens: int,
    repeats: int,
    max_threads: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Race:
    """Return the decode rates of two files in llama.cpp, in turns, with 1 or `max_threads` threads.

    Args:
        num_tokens: tokens a turn decodes, one after another.
        repeats: timed turns of each file; one more of each goes first, untimed.
        progress: called with turns done and turns in all; what it raises ends the child.

    Raises:
        EngineError: llama.cpp does not take a file (code, kind and hint are the child's), or the child died.
    """
    order = {"candidate": str(candidate), "baseline": str(baseline), "num_tokens": num_tokens, "repeats": repeats}
    with TemporaryFile("w+") as errors, _child(json.dumps(order | {"max_threads": max_threads}), errors) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = json.loads(line)
            if "rates" in message:
                return TypeAdapter(Race).validate_python(message)
            if "error" in message:
                raise EngineError.from_dict(message["error"])
            progress(message["done"], message["total"])
        status = child.wait()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
        reason = f"signal {-status}" if status < 0 else lines[-1] if lines else f"exit status {status}"
        raise EngineError(
            f"The timing of {candidate.name} ended without a result: {reason}",
            hint=_MEMORY_HINT if status == -signal.SIGKILL else None,
            engine_log=lines[-20:],
        )


@contextmanager
def _child(order: str, errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Start the child in a session of its own, so that Ctrl-C reaches the run alone, which then ends it."""
    environment = {name: value for name, value in os.environ.items() if name != _WAIT_POLICY_VARIABLE}
    command = [sys.executable, "-m", __name__, order]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()
            child.wait()  # at Ctrl-C, Popen itself would wait a quarter of a second only


def _run(order: dict[str, Any]) -> Race:
    paths = [Path(order[name]) for name in ("candidate", "baseline")]
    num_tokens, repeats = int(order["num_tokens"]), int(order["repeats"])
    num_threads = _faster_number(paths[1], order["max_threads"])
    with (
        open_engine(paths[0], num_ctx=num_tokens + 8, num_threads=num_threads) as ours,
        open_engine(paths[1], num_ctx=num_tokens + 8, num_threads=num_threads) as theirs,
    ):
        done = 0

        def turn(engine: LlamaCpp) -> int:
            nonlocal done
            engine.generate_greedy([0], num_tokens)
            done += 1
            _say({"done": done, "total": 2 * (repeats + 1)})
            return num_tokens

        rates = decode_rates(lambda: turn(ours), lambda: turn(theirs), repeats=repeats)
    return Race(rates=rates, num_threads=num_threads)


def _faster_number(path: Path, max_threads: int) -> int:
    """Return 1 or `max_threads`, whichever decodes faster now."""
    best: dict[int, float] = {}
    for num_threads in {1, max_threads}:
        with open_engine(path, num_ctx=_TRIAL_TOKENS + 8, num_threads=num_threads) as engine:
            best[num_threads] = max(engine.decode_rate(1, _TRIAL_TOKENS, repeats=_TRIALS).tokens_per_second)
    return max(best, key=best.__getitem__)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _say(asdict(_run(json.loads(sys.argv[1]))))
    except BirdboneError as failure:
        _say({"error": failure.to_dict()})
