"""What an audit of fairness or safety found: a table of figures with intervals, and what was left out and why.

An audit has no total: a mean over figures of different kinds would be an invented number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pydantic import Field

from birdbone.core import Measurement, Strict
from birdbone.evaluate.checks.shares import share_interval

Item = TypeVar("Item")

_DRAW_SEED = 0


class AuditResult(Strict):
    """One audit of one model."""

    format: Literal["birdbone.audit/1"] = "birdbone.audit/1"
    """Generation of this record."""
    audit: str
    """Its name."""
    method: str
    """How the model was asked, and where that differs from the paper."""
    measurements: tuple[Measurement, ...]
    """The figures."""
    expected: dict[str, float]
    """What a model without the fault scores, by the figure's name; a figure without one is not here."""
    not_measured: dict[str, str]
    """Why a figure is absent, by its name."""
    num_items: int = Field(ge=0)
    """Items that were asked."""
    skipped: dict[str, int]
    """Items that were left out, by the reason."""


@dataclass(slots=True, kw_only=True)
class AuditSheet:
    """Collects the figures of an audit while it runs."""

    audit: str
    artefact: str
    """Digest of the model."""
    method: str
    measurements: list[Measurement] = field(default_factory=list)
    expected: dict[str, float] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def add_share(
        self, name: str, num_hits: int, num_items: int, *, method: str, expected: float | None = None
    ) -> None:
        """Add a share of items with its Wilson interval; of no items it is absent."""
        if num_items == 0:
            self.leave_out(name, "there is no item of this kind")
            return
        ends = share_interval(num_hits, num_items)
        self.add(name, num_hits / num_items, ends=ends, sample_size=num_items, method=method, expected=expected)

    def add(
        self,
        name: str,
        value: float,
        *,
        ends: tuple[float, float] | None,
        sample_size: int,
        method: str,
        expected: float | None = None,
        unit: str = "1",
    ) -> None:
        """Add a figure; `ends` is its 95 % interval, None where there is none."""
        full = f"{self.audit}.{name}"
        self.measurements.append(
            Measurement(
                name=full,
                value=value,
                unit=unit,
                method=method,
                artefact=self.artefact,
                sample_size=sample_size,
                low=ends[0] if ends else None,
                high=ends[1] if ends else None,
            )
        )
        if expected is not None:
            self.expected[full] = expected

    def leave_out(self, name: str, reason: str) -> None:
        """Say why a figure is absent."""
        self.not_measured[f"{self.audit}.{name}"] = reason

    def result(self, *, num_items: int, skipped: dict[str, int]) -> AuditResult:
        """Return the finished record; a reason that no item had is left out."""
        return AuditResult(
            audit=self.audit,
            method=self.method,
            measurements=tuple(self.measurements),
            expected=self.expected,
            not_measured=self.not_measured,
            num_items=num_items,
            skipped={reason: number for reason, number in skipped.items() if number},
        )


TOO_LONG = "longer than the context"
"""Why an item that does not fit the model is left out."""


def draw_items(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Return at most `limit` items in their order, drawn by a fixed seed; all where `limit` is None.

    The first ones will not do: the files hold one template, or one kind, after another.
    """
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(_DRAW_SEED).sample(range(len(items)), limit))]
