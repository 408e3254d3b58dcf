"""One program, one fresh process tree, one verdict: the side outside of the walls.

The parent starts the stage (`inside/stage.py`), keeps the time, caps what is printed, kills the whole group, and
believes no verdict but the one that comes with the nonce through the judge's own pipe. Before its first program it runs
one whose verdict it knows: a library that cannot be read inside would else look like code that is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from birdbone.evaluate.errors import NoSandboxError, SandboxBrokenError
from birdbone.evaluate.sandbox.limits import Limits
from birdbone.evaluate.sandbox.programs import Program, humaneval_program, mbpp_program
from birdbone.evaluate.sandbox.results import Ending, Layer, Layers, SandboxResult

_PACKAGE = Path(__file__).parent
# The stage has no site-packages, so the packages above it are stood in for by empty ones: none of their code is run.
_BOOT = """
import sys, types
for name, path in {packages!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [path]
from birdbone.evaluate.sandbox.inside import stage
stage.main()
"""
_FLAGS = ("-s", "-P", "-S", "-X", "utf8")
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_FIRST_THROWAWAY_USER, _NUM_THROWAWAY_USERS = 1_879_048_192, 2**26
_SECONDS_TO_DIE = 5.0
_KNOWN_GOOD = Program(
    code="import collections, datetime, hashlib, heapq, math, random, re, typing\ndef twice(x): return 2 * x",
    remote_names=("twice",),
    tests="assert twice([1]) == [1, 1]",
)


def run_python(code: str, *, limits: Limits | None = None, without: Collection[Layer] = ()) -> SandboxResult:
    """Return how `code` ended, run as a program of its own.

    Without a test there is nothing to judge by: `passed` means that the code got to its end, by its own account.

    Args:
        code: Python source.
        limits: what it may use up.
        without: layers to leave out, to see what the others hold alone.

    Raises:
        NoSandboxError: the machine cannot hold the program.
        SandboxBrokenError: the sandbox itself did not work.
    """
    return run_program(Program(code=code, module_name="__main__"), limits=limits, without=without)


def check_humaneval(
    prompt: str,
    completion: str,
    test: str,
    entry_point: str,
    *,
    limits: Limits | None = None,
    without: Collection[Layer] = (),
) -> SandboxResult:
    """Return whether a completion passes its HumanEval test. Errors: as `run_python`, and `BadTestError`."""
    return run_program(humaneval_program(prompt, completion, test, entry_point), limits=limits, without=without)


def check_mbpp(
    code: str,
    tests: Sequence[str],
    setup: str = "",
    *,
    limits: Limits | None = None,
    without: Collection[Layer] = (),
) -> SandboxResult:
    """Return whether `code` passes the assertions of an MBPP task. Errors: as `run_python`, and `BadTestError`."""
    return run_program(mbpp_program(code, tests, setup), limits=limits, without=without)


def describe_layers(*, without: Collection[Layer] = ()) -> Layers:
    """Return the walls that this machine gives, found by putting them up around an empty program."""
    if sys.platform != "linux":
        return Layers(standing=(), missing={}, is_enough=False)
    return _Run(Program(code=""), Limits(), without).finish().layers


def run_program(program: Program, *, limits: Limits | None = None, without: Collection[Layer] = ()) -> SandboxResult:
    """Return how `program` ended. Errors: as `run_python`."""
    if sys.platform != "linux":
        raise NoSandboxError(f"the sandbox needs Linux; this is {sys.platform}")
    _require_sound(frozenset(without))
    return _Run(program, limits or Limits(), without).finish().result()


@functools.cache
def _require_sound(without: frozenset[Layer]) -> None:
    run = _Run(_KNOWN_GOOD, Limits(wall_seconds=60), without).finish()
    if not run.layers.is_enough:
        lacks = "; ".join(f"{name}: {why}" for name, why in run.layers.missing.items())
        raise NoSandboxError(f"this machine cannot hold foreign code ({lacks})", missing=run.layers.missing)
    if not run.result().has_passed:
        result = run.result()
        raise SandboxBrokenError(f"a program that is right did not pass: {result.exception}: {result.detail}")


class _Run:
    """One process tree from start to end."""

    def __init__(self, program: Program, limits: Limits, without: Collection[Layer]) -> None:
        self._limits = limits
        self._nonce = secrets.token_hex(16)
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "verdicts": bytearray()}
        self._cut: Ending | None = None
        self._start = time.monotonic()
        self._verdicts, verdicts = os.pipe()
        job = _job_file(program, limits, without, nonce=self._nonce)
        try:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).resolve()), *_FLAGS, "-c", _boot(), str(verdicts)],
                stdin=job,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[verdicts],
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        finally:
            os.close(job)
            os.close(verdicts)

    def finish(self) -> _Run:
        """Wait for the end, or bring it about; nothing of the tree is alive afterwards."""
        try:
            self._watch()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # before the wait, while the number is still its own
            self._process.wait()
            self._drain()
            self._close()
        self.wall_seconds = time.monotonic() - self._start
        self._messages = _messages(bytes(self._output["verdicts"]))
        if not self._messages and self._cut is None:
            raise SandboxBrokenError(f"the sandbox did not start: {self._text('stderr')[-500:]}")
        return self

    @property
    def layers(self) -> Layers:
        """The walls that stood."""
        if not self._messages:
            return Layers(standing=(), missing={}, is_enough=True)  # out of time before they were reported; nothing ran
        first = self._messages[0]
        return Layers(standing=tuple(first["layers"]), missing=first["missing"], is_enough=first["is_enough"])

    def result(self) -> SandboxResult:
        """The verdict, with what only the parent saw."""
        verdict = self._verdict()
        return SandboxResult(
            ending=cast(Ending, verdict["ending"]),
            exception=verdict["exception"],
            detail=verdict["detail"],
            signal_number=verdict["signal_number"],
            stdout=self._text("stdout"),
            stderr=self._text("stderr"),
            wall_seconds=self.wall_seconds,
            layers=self.layers.standing,
        )

    def _verdict(self) -> dict[str, Any]:
        if self._cut is not None:
            return _plain_verdict(self._cut, f"stopped by the {self._cut} limit")
        for message in self._messages[1:]:
            if message.get("nonce") == self._nonce:
                return message
        return _plain_verdict("failed", "no verdict was reached: the judge ended early")

    def _watch(self) -> None:
        """Read until the judge has spoken and gone, the time is over, or too much was printed."""
        deadline = self._start + self._limits.wall_seconds
        with selectors.DefaultSelector() as selector:
            for name, descriptor in self._descriptors().items():
                selector.register(descriptor, selectors.EVENT_READ, name)
            while self._cut is None:
                seconds_left = deadline - time.monotonic()
                if seconds_left <= 0:
                    self._cut = "timeout"
                for key, _ in selector.select(max(0.0, seconds_left)):
                    if self._read(key.data, key.fd):
                        continue
                    if key.data == "verdicts":
                        return
                    selector.unregister(key.fd)

    def _drain(self) -> None:
        """Read what was printed before the end; all writers are dead or dying."""
        deadline = time.monotonic() + _SECONDS_TO_DIE
        with selectors.DefaultSelector() as selector:
            for name, descriptor in self._descriptors().items():
                selector.register(descriptor, selectors.EVENT_READ, name)
            while selector.get_map() and time.monotonic() < deadline:
                for key, _ in selector.select(deadline - time.monotonic()):
                    if not self._read(key.data, key.fd):
                        selector.unregister(key.fd)

    def _read(self, name: str, descriptor: int) -> bool:
        chunk = os.read(descriptor, 65536)
        kept = self._output[name]
        if name == "verdicts":
            kept += chunk
            return bool(chunk)
        room = self._limits.output_bytes - len(self._output["stdout"]) - len(self._output["stderr"])
        kept += chunk[:room]
        if len(chunk) > room and self._cut is None:
            self._cut = "output"
        return bool(chunk)

    def _descriptors(self) -> dict[str, int]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        return {
            "stdout": self._process.stdout.fileno(),
            "stderr": self._process.stderr.fileno(),
            "verdicts": self._verdicts,
        }

    def _close(self) -> None:
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        os.close(self._verdicts)

    def _text(self, name: str) -> str:
        return self._output[name].decode(errors="replace")


def _boot() -> str:
    packages = {
        "birdbone": _PACKAGE.parent.parent,
        "birdbone.evaluate": _PACKAGE.parent,
        "birdbone.evaluate.sandbox": _PACKAGE,
    }
    return _BOOT.format(packages={name: str(path) for name, path in packages.items()})


def _job_file(program: Program, limits: Limits, without: Collection[Layer], *, nonce: str) -> int:
    """Return a descriptor of two frames: what the suspect may know, and what only the judge may."""
    user = _FIRST_THROWAWAY_USER + 2 * secrets.randbelow(_NUM_THROWAWAY_USERS)
    paper = asdict(program)
    header = {"code": paper.pop("code"), "module": paper.pop("module_name"), "limits": limits.model_dump()}
    job = os.memfd_create("birdbone-sandbox-job")
    with open(job, "wb", closefd=False) as file:
        for frame in (
            {**header, "user": user, "without": list(without)},
            {"support": paper["support"], "remote": paper["remote_names"], "tests": paper["tests"], "nonce": nonce},
        ):
            payload = json.dumps(frame).encode()
            file.write(len(payload).to_bytes(4, "big") + payload)
    os.lseek(job, 0, os.SEEK_SET)
    return job


def _messages(stream: bytes) -> list[dict[str, Any]]:
    messages = []
    while len(stream) >= 4:
        size = int.from_bytes(stream[:4], "big")
        if len(stream) < 4 + size:
            break  # cut off by the kill
        messages.append(json.loads(stream[4 : 4 + size]))
        stream = stream[4 + size :]
    return messages


def _plain_verdict(ending: Ending, detail: str) -> dict[str, Any]:
    return {"ending": ending, "exception": None, "detail": detail, "signal_number": None}
