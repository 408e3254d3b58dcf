"""Histories of any shape, written as versions alone: what comes before what needs no weights."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from hypothesis import strategies as st

from birdbone.vault import Vault, Version
from birdbone.vault.records import canonical_json
from birdbone.vault.store.objects import put_record

NOTHING = "b3:" + "0" * 64
Shape = Sequence[Sequence[int]]
"""For each version the places of its parents, which stand before it."""


def plant(vault: Vault, shape: Shape) -> list[str]:
    """Write the versions of a shape and return their ids in its order."""
    planted: list[str] = []
    for place, parents in enumerate(shape):
        version = Version(
            artefact=NOTHING,
            parents=tuple(planted[parent] for parent in parents),
            author="Ada",
            time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=place),
            message=str(place),
        )
        planted.append(put_record(vault, "versions", canonical_json(version)))
    return planted


def ancestors_in(shape: Shape) -> list[set[int]]:
    """The plain model: for each place all places that it follows, itself included."""
    found: list[set[int]] = []
    for place, parents in enumerate(shape):
        found.append({place}.union(*(found[parent] for parent in parents)))
    return found


@st.composite
def shapes(draw: st.DrawFn, *, max_size: int = 9) -> list[tuple[int, ...]]:
    """Any history: several roots, merges of up to three, branches that cross."""
    size = draw(st.integers(1, max_size))
    return [
        tuple(draw(st.lists(st.integers(0, place - 1), max_size=3, unique=True))) if place else ()
        for place in range(size)
    ]
