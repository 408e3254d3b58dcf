"""What the vault holds, for people: versions with the names that point at them, and one of them in detail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from birdbone.cli import words
from birdbone.cli.output import new_table
from birdbone.core import Measurement
from birdbone.vault import (
    Manifest,
    UnknownNameError,
    Vault,
    Version,
    log,
    read_manifest,
    read_version,
    refs,
    resolve,
    resolve_artefact,
)

_SHORT = 15  # `b3:` and twelve hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """One version with the refs that point at it, and its artefact's manifest."""

    version: Version
    refs: tuple[str, ...]
    manifest: Manifest

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "version": self.version.id,
            "refs": list(self.refs),
            "artefact": self.version.artefact,
            "kind": self.manifest.kind,
            "size_bytes": self.manifest.size_bytes,
            "message": self.version.message,
            "time": self.version.time.isoformat(),
            "run": self.version.lineage.run_id,
            "step": self.version.lineage.step,
        }


def list_versions(vault: Vault) -> list[Shelved]:
    """Return every version that a ref reaches, newest first."""
    pointing: dict[str, list[str]] = {}
    for ref, version_id in refs(vault).items():
        pointing.setdefault(version_id, []).append(short_ref(ref))
    found = {version.id: version for head in pointing for version in log(vault, head)}
    newest_first = sorted(found.values(), key=lambda version: version.time, reverse=True)
    return [_shelved(vault, version, tuple(pointing.get(version.id, ()))) for version in newest_first]


def versions_table(shelf: list[Shelved]) -> Table:
    """Return the versions as a table."""
    rows = [
        (
            entry.version.id[:_SHORT],
            ", ".join(entry.refs),
            entry.manifest.kind,
            words.size(entry.manifest.size_bytes),
            words.moment(entry.version.time),
            entry.version.message,
        )
        for entry in shelf
    ]
    return new_table(("version", "refs", "kind", "size", "when", "message"), rows)


def describe(vault: Vault, name: str) -> dict[str, Any]:
    """Return what a ref, version or artefact is: its manifest in short, and as a version its figures and lineage.

    Raises:
        UnknownNameError, AmbiguousNameError: nothing, or several things, are called so.
    """
    artefact = resolve_artefact(vault, name)
    version = _version_of(vault, name)
    return {
        "name": name,
        "artefact": artefact,
        **_content(read_manifest(vault, artefact)),
        "version": None if version is None else _plain_version(version),
    }


def description(data: dict[str, Any]) -> RenderableType:
    """Return what `describe` found as it is shown in a terminal."""
    lines = [
        ("artefact", data["artefact"]),
        ("kind", data["kind"]),
        ("size", words.size(data["size_bytes"])),
        ("files", ", ".join(f"{file['path']} ({words.size(file['size_bytes'])})" for file in data["files"])),
        ("tensors", f"{data['num_tensors']}, {', '.join(f'{n} {dtype}' for dtype, n in data['dtypes'].items())}"),
        ("weights", f"{data['num_weights']:,}"),
    ]
    lines = [line for line in lines if data["num_tensors"] or line[0] not in ("tensors", "weights")]
    version = data["version"]
    if version is None:
        return _facts(lines)
    lines += [(key, str(version[key])) for key in ("id", "message", "author", "time", "run", "step") if version[key]]
    lines += [("parent", parent) for parent in version["parents"]]
    return Group(_facts(lines), _figures(version["measurements"]))


def short_ref(ref: str) -> str:
    """Return a ref without the folders that all refs stand in."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/")


def _shelved(vault: Vault, version: Version, names: tuple[str, ...]) -> Shelved:
    return Shelved(version=version, refs=names, manifest=read_manifest(vault, version.artefact))


def _version_of(vault: Vault, name: str) -> Version | None:
    try:
        return read_version(vault, resolve(vault, name))
    except UnknownNameError:
        return None  # it names an artefact


def _content(manifest: Manifest) -> dict[str, Any]:
    tensors = manifest.tensors()
    return {
        "kind": manifest.kind,
        "size_bytes": manifest.size_bytes,
        "files": [{"path": file.path, "size_bytes": file.size_bytes} for file in manifest.files],
        "num_tensors": len(tensors),
        "dtypes": dict(Counter(entry.dtype for entry in tensors.values())),
        "num_weights": sum(prod(entry.shape) for entry in tensors.values()),
    }


def _plain_version(version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "message": version.message,
        "author": version.author,
        "time": version.time.isoformat(),
        "parents": list(version.parents),
        "run": version.lineage.run_id,
        "step": version.lineage.step,
        "datasets": list(version.lineage.datasets),
        "measurements": [dict(row) for row in version.measurements],
    }


def _facts(lines: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in lines:
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _figures(rows: list[dict[str, Any]]) -> Table:
    figures = [Measurement.model_validate(row) for row in rows]
    cells = [(row.name, words.figure(row), words.evidence(row)) for row in figures]
    return new_table(("figure", "value", "how it was obtained"), cells or [("", words.NOT_MEASURED, "")])
