"""One SQLAlchemy engine for a URL: SQLite in WAL mode on one machine, PostgreSQL by URL."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event

metadata = MetaData()
"""All tables of all rooms; a room's `models.py` adds its own."""


@functools.lru_cache(maxsize=8)
def connect(url: str) -> Engine:
    """Return the engine of `url`, with every table that the imported rooms declare made if missing."""
    engine = create_engine(_with_driver(url), pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _use_wal)
    metadata.create_all(engine)
    return engine


def in_utc(moment: dt.datetime) -> dt.datetime:
    """Return a moment in UTC: SQLite forgets the zone (it was UTC), PostgreSQL gives that of its session."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1) if url.startswith("postgresql://") else url


def _use_wal(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")
