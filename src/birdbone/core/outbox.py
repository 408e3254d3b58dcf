"""The outbox of events: what happened, in order, in the same transaction as the change it tells of.

Now it is the log of runs (`birdbone logs`). Dispatch to Redis Streams or Kafka will read the same table.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, DateTime, Integer, String, Table, select

from birdbone.core.database import in_utc, metadata

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("topic", String(128), nullable=False, index=True),
    Column("kind", String(64), nullable=False),
    Column("payload", JSON, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `topic` is what it is about (a run id), `kind` what it was, `payload` plain data."""

    topic: str
    kind: str
    payload: dict[str, Any]
    at: dt.datetime
    id: int = 0


def publish(connection: Connection, *, topic: str, kind: str, payload: dict[str, Any]) -> None:
    """Add an event within the caller's transaction."""
    connection.execute(events.insert().values(at=dt.datetime.now(dt.UTC), topic=topic, kind=kind, payload=payload))


def read_events(connection: Connection, *, topic: str, after_id: int = 0) -> list[Event]:
    """Return the events of a topic that came after `after_id`, in order."""
    query = select(events).where(events.c.topic == topic, events.c.id > after_id).order_by(events.c.id)
    return [
        Event(id=row.id, at=in_utc(row.at), topic=row.topic, kind=row.kind, payload=row.payload)
        for row in connection.execute(query)
    ]
