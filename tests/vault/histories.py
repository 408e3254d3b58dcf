"""Histories of versions: made in a store, or drawn at random as a snapshot that needs none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from birdbone.vault import Lineage, Vault, Version, commit
from birdbone.vault.query.snapshot import Snapshot, newest_first

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ARTEFACT = "b3:" + "a" * 64


def figure(name: str, value: float, **more: object) -> dict[str, object]:
    row = {"name": name, "value": value, "unit": "1", "basis": "measured", "method": "counted", "artefact": ARTEFACT}
    return row | more


def made(
    number: int,
    *parents: Version,
    message: str = "",
    author: str = "Ada",
    measurements: Sequence[Mapping[str, object]] = (),
    lineage: Lineage | None = None,
) -> Version:
    """A version of day `number` of the year, in no store."""
    return Version(
        artefact=ARTEFACT,
        parents=tuple(parent.id for parent in parents),
        author=author,
        time=NEW_YEAR + dt.timedelta(days=number),
        message=message or f"version {number}",
        measurements=tuple(dict(row) for row in measurements),
        lineage=lineage or Lineage(),
    )


def snapshot_of(*versions: Version, head: str | None = None, **refs: Version) -> Snapshot:
    """A snapshot without a store; the keywords are branches, or tags if they begin with `tag_`."""
    found = {version.id: version for version in versions}
    names = {
        f"refs/tags/{name[4:]}" if name.startswith("tag_") else f"refs/heads/{name}": version.id
        for name, version in refs.items()
    }
    return Snapshot(
        vault=Vault(folder=Path("nowhere")),
        versions={id: found[id] for id in newest_first(found)},
        refs=names,
        head_branch=None if head is None else f"refs/heads/{head}",
    )


def commit_on(vault: Vault, artefact: str, ref: str, *, day: int, **more) -> Version:
    """A version of day `day` of the year, committed."""
    more = {"message": f"version {day}", "author": "Ada"} | more
    return commit(vault, artefact, ref=ref, time=NEW_YEAR + dt.timedelta(days=day), **more)


@st.composite
def snapshots(draw: st.DrawFn, *, max_versions: int = 12) -> Snapshot:
    """Any history: several roots, merges of up to three parents, clocks that disagree, branches and tags anywhere."""
    versions: list[Version] = []
    for number in range(draw(st.integers(1, max_versions))):
        parents = draw(st.lists(st.sampled_from(versions), max_size=3, unique_by=lambda v: v.id)) if versions else []
        rows = [figure("loss", draw(st.integers(0, 4)))] if draw(st.booleans()) else []
        day = draw(st.integers(0, 20))
        versions.append(made(day, *parents, message=f"number {number}", measurements=rows))
    tips = draw(st.lists(st.sampled_from(versions), max_size=3))
    names = {f"{draw(st.sampled_from(['', 'tag_']))}ref{number}": tip for number, tip in enumerate(tips)}
    return snapshot_of(*versions, **names)
