"""The process that holds the assertions. The tested code is in another one, and its objects never come here.

What a test calls is a `Remote`: it sends the arguments over and gets plain values back. Whatever has no plain form
stays with the suspect and is a `Remote` again, which can be neither compared nor asked for its truth.
"""

from __future__ import annotations

import builtins
import errno
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from birdbone.evaluate.sandbox.inside import wire

_DENIED_ERRNOS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENETUNREACH)
_SECONDS_TO_DIE = 0.2


class ProgramGoneError(BaseException):
    """The suspect no longer answers, or not in frames. No `except Exception` of a test catches it."""


class ProgramExitError(BaseException):
    """The tested code raised what is no `Exception`, such as `SystemExit`."""


class RemoteError(Exception):
    """The tested code raised an exception that cannot be made again here."""


class Verdict(NamedTuple):
    """How the program ended, before the parent adds what only it can see. No dataclass: their import takes 12 ms."""

    ending: str
    exception: str | None = None
    detail: str = ""
    signal_number: int | None = None


class Link:
    """The judge's end of the pipes."""

    def __init__(self, *, requests: int, replies: int) -> None:
        self._requests, self._replies = requests, replies
        self.last_error: BaseException | None = None
        self.last_description: dict[str, Any] = {}
        self.is_broken = False

    def ask(self, *request: Any) -> Any:
        """Return the suspect's answer, or raise what the tested code raised."""
        if self.is_broken:
            raise ProgramGoneError("the program is gone")
        try:
            wire.send(self._requests, request)
        except wire.ClosedError as error:
            self._give_up(error)
        return self.hear()

    def hear(self) -> Any:
        """Return the next answer; the first comes unasked, when the code was loaded."""
        try:
            reply = wire.receive(self._replies)
            if isinstance(reply, dict) and isinstance(reply.get("error"), dict):
                description = reply["error"]
            else:
                return wire.decode(reply["value"], lambda handle: Remote(self, handle))
        except (wire.WireError, TypeError, KeyError, MemoryError) as error:
            self._give_up(error)
        self.last_description = description
        self.last_error = _exception(description)
        raise self.last_error

    def _give_up(self, error: BaseException) -> None:
        self.is_broken = True
        raise ProgramGoneError(str(error)) from error


class Remote:
    """Stands for an object of the suspect."""

    __slots__ = ("_handle", "_link")

    def __init__(self, link: Link, handle: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_handle", handle)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return what the call returned there. Arguments go over as copies: a change made to them is not seen here."""
        sent = wire.encode(list(arguments), _handle_of), wire.encode(keywords, _handle_of)
        return self._link.ask("call", self._handle, *sent)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._link.ask("get", self._handle, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self._handle, name, wire.encode(value, _handle_of))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._link.ask("list", self._handle))

    def __bool__(self) -> bool:
        raise TypeError("an object of the program has no truth value here")

    def __eq__(self, other: object) -> bool:
        raise TypeError("an object of the program cannot be compared here")

    __hash__ = None  # type: ignore[assignment]


def judge(link: Link, paper: dict[str, Any]) -> Verdict:
    """Run the tests and return the verdict.

    Args:
        link: to a suspect whose first answer was heard.
        paper: `support` (run first), `remote` (names that stand for the suspect's), `tests` (run last).
    """
    try:
        _run_tests(link, paper)
    except BaseException as error:  # noqa: BLE001 -- the edge of the tests: whatever they raise is a verdict
        return explain(link, error)
    if link.is_broken:
        return Verdict(ending="failed", detail="the program was gone before the last test was over")
    return Verdict(ending="passed")


def explain(link: Link, error: BaseException) -> Verdict:
    """Return the verdict on a program whose load or test ended in `error`."""
    if isinstance(error, ProgramGoneError):
        return Verdict(ending="failed", exception="ProgramGoneError", detail=str(error))
    if error is not link.last_error:
        return Verdict(ending="failed", exception=type(error).__name__, detail=f"in the test: {error}"[:500])
    name, number = str(link.last_description.get("name")), link.last_description.get("errno")
    if isinstance(error, ProgramExitError):
        ending = "exited"
    elif isinstance(error, MemoryError):
        ending = "memory"
    elif isinstance(error, PermissionError) or (isinstance(error, OSError) and number in _DENIED_ERRNOS):
        ending = "forbidden"
    else:
        ending = "failed"
    return Verdict(ending=ending, exception=name, detail=str(error)[:500])


def explain_death(pid: int, verdict: Verdict) -> Verdict:
    """Return the verdict on a suspect that answers no more: how it died, if it did."""
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline:
        reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            return _death(status)
        time.sleep(0.002)
    return verdict


def _death(status: int) -> Verdict:
    if not os.WIFSIGNALED(status):
        return Verdict(ending="exited", detail=f"exit status {os.WEXITSTATUS(status)}")
    number = os.WTERMSIG(status)
    ending = {signal.SIGXCPU: "timeout", signal.SIGSYS: "forbidden"}.get(signal.Signals(number), "killed")
    return Verdict(ending=ending, detail=signal.Signals(number).name, signal_number=number)


def _run_tests(link: Link, paper: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {"__name__": "judge"}
    exec(compile(paper["support"], "<support>", "exec", dont_inherit=True), namespace)
    for name in paper["remote"]:
        try:
            namespace[name] = link.ask("name", name)
        except KeyError:
            namespace.pop(name, None)  # the program lacks it; the test that wants it says so by a NameError
    exec(compile(paper["tests"], "<tests>", "exec", dont_inherit=True), namespace)


def _handle_of(value: object) -> int:
    if isinstance(value, Remote):
        handle: int = object.__getattribute__(value, "_handle")
        return handle
    raise TypeError(f"an argument of type {type(value).__name__} cannot be sent to the program")


def _exception(description: dict[str, Any]) -> BaseException:
    kind = getattr(builtins, str(description.get("kind")), None)
    message = str(description.get("message"))
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return RemoteError(message)
    if not issubclass(kind, Exception):
        return ProgramExitError(message)
    try:
        return kind(message)
    except TypeError:  # one that wants more than a text, such as UnicodeDecodeError
        return RemoteError(message)
