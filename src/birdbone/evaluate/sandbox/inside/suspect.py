"""The process in which the tested code runs: it loads the code, then answers the judge's questions until it is killed.

Nothing here is a secret or guards anything: the code may change all of it. What it can do is answer, and the answers
are judged elsewhere.
"""

from __future__ import annotations

import builtins
import contextlib
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

from birdbone.evaluate.sandbox.inside import wire

MAX_ITEMS = 100_000
_MAX_MESSAGE_CHARS = 500


def serve(code: str, module_name: str, *, requests: int, replies: int) -> None:
    """Load `code` as a module, report how that went, then answer requests until the pipe closes."""
    kept: list[object] = []
    module = types.ModuleType(module_name)
    sys.modules[module_name] = module
    reply = _outcome(lambda: _load(code, module), kept)
    with contextlib.suppress(wire.ClosedError):
        while True:
            _flush()
            _reply(replies, reply)
            request = wire.receive(requests)
            reply = _outcome(lambda request=request: _answer(request, module, kept), kept)  # type: ignore[misc]


def _load(code: str, module: types.ModuleType) -> None:
    exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)


def _answer(request: list[Any], module: types.ModuleType, kept: list[object]) -> object:
    def read(value: Any) -> Any:
        return wire.decode(value, kept.__getitem__)

    match request:
        case ["name", name]:
            return module.__dict__[name]
        case ["call", handle, arguments, keywords]:
            function: Any = kept[handle]
            return function(*read(arguments), **read(keywords))
        case ["get", handle, name]:
            return getattr(kept[handle], name)
        case ["set", handle, name, value]:
            setattr(kept[handle], name, read(value))
            return None
        case ["list", handle]:
            items: Any = kept[handle]
            return list(itertools.islice(iter(items), MAX_ITEMS))
        case _:
            raise ValueError("an unknown request")


def _outcome(action: Callable[[], object], kept: list[object]) -> dict[str, Any]:
    def keep(value: object) -> int:
        kept.append(value)
        return len(kept) - 1

    try:
        return {"value": wire.encode(action(), keep)}
    except BaseException as error:  # noqa: BLE001 -- the edge of the tested code: SystemExit is an answer too
        return {"error": _describe(error)}


def _describe(error: BaseException) -> dict[str, Any]:
    known = next(kind for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
    try:
        message = str(error)[:_MAX_MESSAGE_CHARS]
    except BaseException:  # noqa: BLE001 -- the text of an error is the tested code's too
        message = ""
    number = error.errno if isinstance(error, OSError) else None
    return {"kind": known.__name__, "name": type(error).__name__, "message": message, "errno": number}


def _reply(replies: int, reply: dict[str, Any]) -> None:
    try:
        wire.send(replies, reply)
    except wire.ClosedError:
        raise
    except (wire.WireError, MemoryError) as error:  # too large to cross
        wire.send(replies, {"error": _describe(error)})


def _flush() -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
