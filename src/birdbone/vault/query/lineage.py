"""Lineage: what came from what, as a plain graph and as lines for a terminal.

```text
version ──follows──▶ version          version ──keeps──▶ artefact
version ──made_by──▶ step ──part_of──▶ run      (a version without a step: made_by ──▶ run)
version ──from──▶ dataset
```

A dataset that was itself kept in a version is one node, of the kind `dataset`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from birdbone.vault.errors import UnknownNameError
from birdbone.vault.names import BRANCHES, HEAD, TAGS, is_digest
from birdbone.vault.query.fields import ref_words
from birdbone.vault.query.lanes import Charset, LogLine, branch_order, draw_lanes, lay_out
from birdbone.vault.query.snapshot import Snapshot
from birdbone.vault.records import Version

NodeKind = Literal["version", "artefact", "step", "run", "dataset"]
EdgeKind = Literal["follows", "keeps", "made_by", "part_of", "from"]

_SHORT_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """One thing. `id` is its digest, the id of a run, or `<run>/<step>`; `label` is what a person is shown."""

    kind: NodeKind
    id: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """`source` came from, keeps or belongs to `target`; both are ids of nodes."""

    kind: EdgeKind
    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageGraph:
    """Every node once, versions first and newest first; every edge once."""

    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain data for JSON."""
        return dataclasses.asdict(self)


def build_lineage(snapshot: Snapshot) -> LineageGraph:
    """Return the graph of all versions of a snapshot. Nothing but the snapshot is read."""
    datasets = {digest for version in snapshot.versions.values() for digest in version.lineage.datasets}
    nodes: dict[str, LineageNode] = {
        id: LineageNode(kind="version", id=id, label=headline(version)) for id, version in snapshot.versions.items()
    }
    edges: dict[LineageEdge, None] = {}
    for id, version in snapshot.versions.items():
        for node in _things_of(version, datasets):
            nodes.setdefault(node.id, node)
        edges |= dict.fromkeys(_edges_of(id, version, snapshot))
    return LineageGraph(nodes=tuple(nodes.values()), edges=tuple(edges))


def draw_log(
    snapshot: Snapshot, *, names: Sequence[str] = (), limit: int | None = None, charset: Charset = "unicode"
) -> list[LogLine]:
    """Return the history as `git log --graph --oneline` shows it: a line for each version, and those that join lanes.

    Args:
        names: refs (short or full), `HEAD`, or ids of versions to begin from; none: every ref, and all else in scope.
        limit: at most so many versions; lines to older ones run out of the drawing at the bottom.

    Raises:
        UnknownNameError: the snapshot has nothing that is called so.
    """
    reached = snapshot.reached_from(_tip(name, snapshot) for name in names) if names else set(snapshot.versions)
    parents = {id: version.parents for id, version in snapshot.versions.items() if id in reached}
    order = branch_order(list(parents), parents)[:limit]
    lines = draw_lanes(lay_out(order, parents), charset=charset)
    return [_with_text(line, snapshot) if line.node else line for line in lines]


def headline(version: Version) -> str:
    """Return the first line of the message, without characters that would steer a terminal."""
    first = next(iter(version.message.splitlines()), "")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in first)


def short_digest(digest: str) -> str:
    """Return the first hex digits of a digest, enough to tell it from others; any other text as it is."""
    return digest.removeprefix("b3:")[:_SHORT_DIGITS] if is_digest(digest) else digest


def decoration(id: str, snapshot: Snapshot) -> list[str]:
    """Return the refs that point at a version as `git log` names them: `HEAD -> main`, `tags/v1`."""
    names = [ref_words(name) for name in snapshot.refs_of.get(id, ())]
    if HEAD not in names or snapshot.head_branch is None:
        return names
    head = ref_words(snapshot.head_branch)
    return [f"{HEAD} -> {head}", *(name for name in names if name not in (HEAD, head))]


def _tip(name: str, snapshot: Snapshot) -> str:
    for candidate in (name, TAGS + name, BRANCHES + name):
        if (found := snapshot.named.get(candidate)) is not None:
            return found
    found_ids = [id for id in snapshot.versions if name and id.removeprefix("b3:").startswith(name.removeprefix("b3:"))]
    if len(found_ids) != 1:
        raise UnknownNameError(f"{len(found_ids)} versions in scope are called {name!r}; one was expected.", name=name)
    return found_ids[0]


def _with_text(line: LogLine, snapshot: Snapshot) -> LogLine:
    assert line.node is not None
    names = decoration(line.node, snapshot)
    words = (short_digest(line.node), f"({', '.join(names)})" if names else "", headline(snapshot.versions[line.node]))
    return dataclasses.replace(line, text=" ".join(word for word in words if word))


def _things_of(version: Version, datasets: set[str]) -> Iterator[LineageNode]:
    for digest in version.lineage.datasets:
        yield LineageNode(kind="dataset", id=digest, label=short_digest(digest))
    kind: NodeKind = "dataset" if version.artefact in datasets else "artefact"
    yield LineageNode(kind=kind, id=version.artefact, label=short_digest(version.artefact))
    run, step = version.lineage.run_id, version.lineage.step
    if run and step:
        yield LineageNode(kind="step", id=f"{run}/{step}", label=step)
    if run:
        yield LineageNode(kind="run", id=run, label=run)


def _edges_of(id: str, version: Version, snapshot: Snapshot) -> Iterator[LineageEdge]:
    for parent in version.parents:
        if parent in snapshot.versions:
            yield LineageEdge(kind="follows", source=id, target=parent)
    yield LineageEdge(kind="keeps", source=id, target=version.artefact)
    run, step = version.lineage.run_id, version.lineage.step
    if run:
        yield LineageEdge(kind="made_by", source=id, target=f"{run}/{step}" if step else run)
    if run and step:
        yield LineageEdge(kind="part_of", source=f"{run}/{step}", target=run)
    for digest in version.lineage.datasets:
        yield LineageEdge(kind="from", source=id, target=digest)
