"""The process edge: what is set before anything loads, how signals arrive, how an error leaves.

Imports nothing of the other rooms before an error has to be explained: `birdbone --help` starts in a moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

JSON, VERBOSE = "birdbone.json", "birdbone.verbose"
"""Names in the context's `meta` under which commands and the edge find what the person asked for."""

_SETTINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve whatever else runs
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's: what is large is done by torch, and starting them takes a tenth of a second
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}

_ASKS_FOR_HELP = "NoArgsIsHelpError"  # of the click that Typer carries inside, which is not to be imported


class Door(TyperGroup):
    """The group of all commands. Whatever a command raises leaves as one message, a hint and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if type(error).__name__ == _ASKS_FOR_HELP:  # a group without a command: its help, as Typer prints it
                raise
            as_json, is_debug = bool(ctx.meta.get(JSON)), bool(ctx.params.get("debug"))
            raise typer.Exit(report(error, as_json=as_json, is_debug=is_debug)) from error


def prepare_process() -> None:
    """Set what libraries read when they load, and let SIGTERM arrive as Ctrl-C does. A person's own settings win."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, _interrupt)


def report(error: BaseException, *, as_json: bool, is_debug: bool) -> int:
    """Print an error to standard error, with its trace only if `is_debug`, and return the exit code."""
    from birdbone.core import exit_code

    known = explain(error)
    if is_debug:
        traceback.print_exception(error)
    fields = {key: value for key, value in known.to_dict().items() if is_debug or key != "trace"}
    hint = _with_run(known.hint, known.fields.get("run_id"))
    if as_json:
        text = json.dumps(fields | {"hint": hint}, default=str, ensure_ascii=False)
    else:
        text = f"error [{known.code}] {_one_line(known.message)}" + (f"\nhint: {_one_line(hint)}" if hint else "")
    with contextlib.suppress(OSError):  # standard error may be gone; the exit code is not
        print(text, file=sys.stderr)  # noqa: T201
    return exit_code(known.kind)


def explain(error: BaseException) -> Any:
    """Return any error as a `BirdboneError`: ours as it is, the usual ones of libraries in our words."""
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from birdbone.cli import errors
    from birdbone.core import BirdboneError

    match error:
        case BirdboneError():
            return error
        case KeyboardInterrupt():
            return errors.InterruptedByUser("Stopped.")
        case MemoryError():
            return errors.NoMemoryError("There was not enough memory.")
        case ValidationError():
            return errors.UnreadableValueError(_first_fault(error))
        case DBAPIError():
            return errors.DatabaseError(f"The database does not answer: {error.orig}")
        case OSError():
            return _explain_system(error)
        case _ if hasattr(error, "format_message"):
            return errors.UsageError(error.format_message(), hint=_usage_hint(error))
        case _:
            return errors.UnexpectedError(f"{type(error).__name__}: {error}")


def _explain_system(error: OSError) -> Any:
    from pathlib import Path

    from birdbone.cli.errors import UnexpectedError
    from birdbone.core import BirdboneError
    from birdbone.core.files import raise_if_disk_full

    try:
        raise_if_disk_full(error, Path(str(error.filename or "a file")))
    except BirdboneError as full:
        return full
    return UnexpectedError(f"{type(error).__name__}: {error}")


def _first_fault(error: Any) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{error.title}: {place}: {fault['msg']}"


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context is not None else 'birdbone'} --help` lists what it takes."


def _with_run(hint: str, run_id: Any) -> str:
    return re.sub(r"\bRUN\b", str(run_id), hint) if run_id else hint


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
