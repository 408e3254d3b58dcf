"""Names of runs: sortable by time, short enough to type, unique on one machine and across machines."""

from __future__ import annotations

import datetime as dt
import secrets


def new_run_id(name: str, *, now: dt.datetime | None = None) -> str:
    """Return `<name>-<YYYYMMDD>-<HHMMSS>-<4 hex digits>`, in UTC."""
    moment = now or dt.datetime.now(dt.UTC)
    return f"{name}-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
