"""What people ask of the waves of a run, kept among the events of the run: hold, let one through, go on, end.

Theory of operation. A request is an event in the outbox, in the order in which it was made, so that it is in the run's
log, holds on PostgreSQL as on SQLite, and outlives the process that it was meant for. It takes effect where a wave
would begin: the wave in hand is finished and judged first. A wave that is let through alone is marked by an event of
its own, so that it is let through again if its process dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal, get_args

from sqlalchemy import Connection, Engine

from birdbone.core.outbox import Event, publish, read_events

WaveRequest = Literal["pause", "step", "resume", "stop"]
Standing = Literal["go", "hold", "end"]
"""Whether the next wave may begin, has to wait, or is not to be made."""

WAVE_REQUESTS: tuple[WaveRequest, ...] = get_args(WaveRequest)
_POLL_SECONDS = 0.5
_LET_THROUGH = "wave_let_through"
_KINDS: dict[str, WaveRequest] = {f"waves_{request}_asked": request for request in WAVE_REQUESTS}


def write_request(connection: Connection, run_id: str, request: WaveRequest, *, author: str) -> None:
    """Record a request within the caller's transaction."""
    publish(connection, topic=run_id, kind=f"waves_{request}_asked", payload={"author": author})


def standing_of(events: Iterable[Event], *, label: str) -> Standing:
    """Return whether the wave of that label may begin, by all that was asked before it."""
    standing: Standing = "go"
    has_ticket, let_through = False, ""
    for event in events:
        match _KINDS.get(event.kind, event.kind):
            case "pause":
                standing, has_ticket, let_through = "hold", False, ""
            case "step":
                standing, has_ticket = "hold", True
            case "resume":
                standing, has_ticket = "go", False
            case "stop":
                standing = "end"
            case kind if kind == _LET_THROUGH:
                has_ticket, let_through = False, str(event.payload["label"])
            case _:
                pass
    return "go" if standing == "hold" and (has_ticket or let_through == label) else standing


def wait_for_leave(engine: Engine, run_id: str, label: str, tick: Callable[[str, int, int], None]) -> bool:
    """Wait while the waves are held; return whether the wave of that label is to be made.

    Args:
        tick: called again and again while it waits, with what it waits for; it raises if the run is to stop.
    """
    while True:
        with engine.connect() as connection:
            events = read_events(connection, topic=run_id)
        standing = standing_of(events, label=label)
        if standing != "hold":
            break
        tick(f"held before {label}", 0, 0)
        time.sleep(_POLL_SECONDS)
    if standing == "go" and is_alone(events):
        with engine.begin() as connection:
            publish(connection, topic=run_id, kind=_LET_THROUGH, payload={"label": label})
    return standing == "go"


def is_alone(events: Iterable[Event]) -> bool:
    """Return whether waves are let through one at a time: a step was what was asked for last."""
    asked = [_KINDS[event.kind] for event in events if event.kind in _KINDS]
    return bool(asked) and asked[-1] == "step"
