"""Figures, times and events in words. What was not measured is said to be so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from birdbone.core import Measurement
from birdbone.core.outbox import Event

NOT_MEASURED = "not measured"

_PERCENT = frozenset({"share_gone", "sparsity", "stored_zeros"})
_RATIOS = frozenset({"perplexity_ratio", "engine_ratio"})  # a difference of a thousandth matters
_UNITS = {"byte": (1e6, "MB"), "byte/token": (1e6, "MB/token"), "token/s": (1.0, "tokens/s")}


def figure(row: Measurement | None) -> str:
    """Return a measurement with its interval and unit, or `not measured`."""
    if row is None:
        return NOT_MEASURED
    scale, unit = (0.01, "%") if row.name in _PERCENT else _UNITS.get(row.unit, (1.0, _plain_unit(row.unit)))
    write = _ratio if row.name in _RATIOS else number
    text = write(row.value / scale)
    if row.low is not None and row.high is not None:
        text += f" [{write(row.low / scale)}, {write(row.high / scale)}]"
    text += f" {unit}" if unit else ""
    return text if row.basis == "measured" else f"{text} ({row.basis})"


def number(value: float) -> str:
    """Return a number with four or five significant digits, small ones with three decimals."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def evidence(row: Measurement | None) -> str:
    """Return how a figure was obtained, in one phrase."""
    if row is None:
        return ""
    return row.method if row.sample_size is None else f"{row.method}; n = {row.sample_size:,}"


def size(size_bytes: float) -> str:
    """Return a number of bytes in the unit that reads best (powers of ten)."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def count(number_of: int, noun: str) -> str:
    """Return a number of things, such as `1 run` or `2 runs`."""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return a time span, such as `1 m 12 s`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 60} m {whole % 60:02} s" if whole >= 60 else f"{seconds:.1f} s"


def moment(when: dt.datetime | None) -> str:
    """Return a time in this machine's time zone, to the second."""
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def rise(ratio: float) -> str:
    """Return a ratio of perplexities as a rise, such as `+1.82 %`."""
    return f"{100 * (ratio - 1):+.2f} %"


def describe_event(event: Event) -> str:
    """Return what happened in one line, without its time."""
    payload, label = event.payload, str(event.payload.get("label", ""))
    match event.kind:
        case "step_started":
            return f"{label}: started"
        case "step_done":
            return f"{label}: done{_outcome(payload)}"
        case "step_failed":
            error = payload.get("error") or {}
            return f"{label}: failed: [{error.get('code', '')}] {error.get('message', '')}"
        case "run_stopped":
            return f"{label}: stopped" if label else "run stopped"
        case _:
            return event.kind.replace("_", " ")


def _outcome(payload: dict[str, Any]) -> str:
    figures, notes = {row["name"]: row["value"] for row in payload.get("figures") or ()}, payload.get("notes") or {}
    parts = []
    if perplexity := figures.get("perplexity", figures.get("perplexity_gguf")):
        ratio = figures.get("perplexity_ratio")
        parts.append(f"perplexity {number(perplexity)}" + (f" ({rise(ratio)})" if ratio else ""))
    if (sparsity := figures.get("sparsity")) is not None:
        parts.append(f"sparsity {100 * sparsity:.1f} %")
    if (gone := figures.get("share_gone")) is not None:
        parts.append(f"{100 * gone:.1f} % of the decoder gone")
    if word := verdict(notes):
        parts.append(word)
    if "retry" in notes:
        parts.append(retry(notes["retry"]))
    return f": {', '.join(parts)}" if parts else ""


def retry(notes: Mapping[str, Any]) -> str:
    """Return what a retry changes, and why."""
    changes = ", ".join(f"{change['path']} {change['before']} -> {change['after']}" for change in notes["changes"])
    return f"retry {notes['number']} of {notes['of']} from {notes['go_back_to']}: {changes}, as {notes['rule']} failed"


def verdict(notes: dict[str, Any]) -> str:
    """Return the verdict in a step's notes: a wave's word, or the outcome of a gate."""
    found = notes.get("verdict") or ""
    return str(found.get("outcome", "")) if isinstance(found, dict) else str(found)


def _ratio(value: float) -> str:
    return f"{value:.4f}"


def _plain_unit(unit: str) -> str:
    return "" if unit == "1" else unit
