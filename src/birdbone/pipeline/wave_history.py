"""The waves of a run so far, as their control and their forecast read them off the notes. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from birdbone.compress import WaveOutcome
from birdbone.compress.config import WavesConfig

STOPPED = "stopped"
"""Verdict of the round in which the waves were ended by hand, and no wave was made."""


def wave_outcomes(notes: Sequence[Mapping[str, Any]], settings: WavesConfig) -> list[WaveOutcome]:
    """Return what the control needs of each wave that was made.

    Args:
        notes: of each round. What older runs did not note is taken as the recipe's, or as nothing.
    """
    return [
        WaveOutcome(
            fraction=float(each.get("fraction") or settings.shed.fraction),
            healing_factor=float(each.get("healing_factor") or 1.0),
            verdict=each["verdict"],
            rise=_number(each.get("rise", 0.0)),
            total_rise=_number(each.get("total_rise", 0.0)),
            seconds=float(each.get("seconds") or 0.0),
            available_bytes=each.get("available_bytes"),
        )
        for each in notes
        if each["verdict"] != STOPPED
    ]


def _number(value: float | None) -> float:
    """Return a figure as it was: JSON keeps what is not finite as nothing."""
    return math.nan if value is None else float(value)
