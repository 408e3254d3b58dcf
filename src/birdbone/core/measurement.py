"""A figure with its evidence: no number reaches a person without one of these."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field

from birdbone.core.schema import Strict

Basis = Literal["measured", "estimated"]


class Measurement(Strict):
    """One figure: what, how much, in which unit, on which artefact, by which run, and how it was obtained."""

    name: str
    """Dotted name, such as `perplexity` or `decode_rate`."""
    value: float = Field(allow_inf_nan=False)
    """The figure."""
    unit: str
    """Unit, such as `1`, `byte`, `token/s`, `bit/weight`."""
    basis: Basis = "measured"
    """`measured` on the artefact as stored and loaded again, or `estimated`."""
    method: str
    """How it was obtained, in one phrase that another person can repeat."""
    artefact: str
    """Digest of the artefact that it was taken on."""
    sample_size: int | None = Field(default=None, ge=0)
    """Number of items behind the figure (tokens, repeats), where that makes sense."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    run_id: str = ""
    """The run that took it; set by `pipeline` when it stores the row."""
    step: str = ""
    """The step of that run; set by `pipeline`."""
    taken_at: dt.datetime | None = None
    """When (UTC); set by `pipeline`."""
