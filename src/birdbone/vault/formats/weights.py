"""Digests of a file of weights, metadata and weights apart, and the manifest in which a repository keeps them.

Two files with the same digest of weights hold the same tensors (name, dtype, shape and bytes), in whatever order and
whatever their metadata says. A `.pt` is read as the archive that it is: its pickle is hashed, never unpickled, and
counts as metadata; the storages beside it are the tensors.
"""

from __future__ import annotations

import datetime as dt
import json
import lzma
import mmap
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from blake3 import blake3

from birdbone.core import digest_bytes, digest_json, write_json
from birdbone.vault.errors import BadWeightFileError
from birdbone.vault.formats.gguf import read_gguf_layout
from birdbone.vault.formats.safetensors import read_layout

_CHUNK_BYTES = 8 << 20
_LFS_POINTER = b"version https://git-lfs"

WeightFormat = Literal["safetensors", "gguf", "pt"]
FORMATS: dict[str, WeightFormat] = {
    ".safetensors": "safetensors", ".gguf": "gguf", ".pt": "pt", ".pth": "pt", ".bin": "pt",
}  # fmt: skip
"""The format that each ending stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDigests:
    """What was found in one file. `tensors` has the digest of each tensor by name; it covers dtype, shape and bytes."""

    format: WeightFormat
    size_bytes: int
    metadata: str
    weights: str
    tensors: Mapping[str, str]
    seconds: float
    """How long the hashing took, by the wall clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightChange:
    """How one file differs from what the manifest knew of it."""

    path: str
    is_new: bool
    is_metadata_changed: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def is_change(self) -> bool:
        """Whether anything differs."""
        return self.is_new or self.is_metadata_changed or bool(self.added or self.removed or self.changed)

    def in_words(self) -> str:
        """Return it in one line."""
        if not self.is_change:
            return f"{self.path}: as it was"
        if self.is_new:
            return f"{self.path}: new, {len(self.added)} tensor{'' if len(self.added) == 1 else 's'}"
        parts = [f"{len(names)} {verb}" for verb, names in self._by_verb() if names]
        tensors = f"tensors: {', '.join(parts)}" if parts else "no tensor changed"
        return f"{self.path}: {tensors}{'; metadata changed' if self.is_metadata_changed else ''}"

    def _by_verb(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return ("changed", self.changed), ("added", self.added), ("removed", self.removed)


def hash_weights(path: Path) -> WeightDigests:
    """Return the digests of a `.safetensors`, `.gguf`, `.pt`, `.pth` or `.bin` file, read once from end to end.

    Raises:
        BadWeightFileError: another ending, a Git LFS pointer instead of the file, cut short or corrupt.
        BadSafetensorsError: the header of a `.safetensors` is wrong.
    """
    started_at = time.perf_counter()
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise BadWeightFileError(f"{path.name}: expected one of {', '.join(FORMATS)}.", path=str(path))
    with path.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise BadWeightFileError(
                f"{path.name} is a Git LFS pointer, not the file.", hint="Run `git lfs pull` first.", path=str(path)
            )
    metadata, tensors = _READERS[kind](path)
    return WeightDigests(
        format=kind,
        size_bytes=path.stat().st_size,
        metadata=metadata,
        weights=digest_json(sorted(tensors.items())),
        tensors=dict(sorted(tensors.items())),
        seconds=time.perf_counter() - started_at,
    )


def update_manifest(
    manifest: Path, paths: Iterable[Path], *, is_check: bool = False
) -> tuple[dict[str, WeightDigests], list[WeightChange]]:
    """Hash files, tell how each differs from what the manifest knew, and write the manifest if any does.

    Args:
        manifest: made if it is missing; files are named in it by their path from its folder.
        paths: the files.
        is_check: only tell; the manifest is not written.

    Raises:
        BadWeightFileError: a file or the manifest itself cannot be read; nothing was written.
    """
    known = _read_manifest(manifest)
    found = {_name_in(manifest, path): hash_weights(path) for path in paths}
    changes = [_compare(name, known.get(name), digests) for name, digests in found.items()]
    changed = [change.path for change in changes if change.is_change]
    if changed and not is_check:
        hashed_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        files = known | {name: asdict(found[name]) | {"hashed_at": hashed_at} for name in changed}
        write_json(manifest, {"format": 1, "files": dict(sorted(files.items()))})
    return found, changes


def _hash_safetensors(path: Path) -> tuple[str, dict[str, str]]:
    with path.open("rb") as stream:
        layout = read_layout(stream, size_bytes=path.stat().st_size, name=path.name)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            tensors = {}
            for span in layout.tensors:
                begin, end = layout.header_bytes + span.begin, layout.header_bytes + span.end
                tensors[span.name] = _tensor_digest(span.dtype, span.shape, data[begin:end])
    return digest_json(layout.metadata), tensors


def _hash_gguf(path: Path) -> tuple[str, dict[str, str]]:
    if path.stat().st_size == 0:
        raise BadWeightFileError(f"{path.name} is empty.", path=path.name)
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        layout = read_gguf_layout(data, name=path.name)
        metadata = digest_bytes(data[layout.keys[0] : layout.keys[1]])
        tensors = {
            span.name: _tensor_digest(str(span.type_id), span.shape, data[span.begin : span.end])
            for span in layout.tensors
        }
    return metadata, tensors


def _hash_pt(path: Path) -> tuple[str, dict[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise zipfile.BadZipFile("a name stands in it twice")
            top = _top_folder(names)
            digests = {name: _member_digest(archive, name) for name in names}
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError, ValueError) as error:
        raise BadWeightFileError(
            f"{path.name} is no sound archive of torch.save: {error}",
            hint="Files of torch before 1.6 are bare pickles: save them again, best as .safetensors.",
            path=path.name,
        ) from error
    inside = {name.removeprefix(top): digest for name, digest in digests.items()}
    tensors = {name.removeprefix("data/"): digest for name, digest in inside.items() if name.startswith("data/")}
    others = sorted((name, digest) for name, digest in inside.items() if not name.startswith("data/"))
    return digest_json(others), tensors


def _top_folder(names: Sequence[str]) -> str:
    """Return the folder that holds every member, with its slash; without it two members might have one name."""
    top = f"{names[0].partition('/')[0]}/" if names else "/"
    if f"{top}data.pkl" not in names or not all(name.startswith(top) for name in names):
        raise zipfile.BadZipFile("expected one folder with data.pkl in it that holds all members")
    return top


_READERS: dict[WeightFormat, Callable[[Path], tuple[str, dict[str, str]]]] = {
    "safetensors": _hash_safetensors,
    "gguf": _hash_gguf,
    "pt": _hash_pt,
}


def _tensor_digest(dtype: str, shape: tuple[int, ...], data: memoryview) -> str:
    hasher = blake3(json.dumps([dtype, shape]).encode())
    hasher.update(data)
    data.release()
    return f"b3:{hasher.hexdigest()}"


def _member_digest(archive: zipfile.ZipFile, name: str) -> str:
    """Return the digest of a member's bytes; reading it to its end checks its CRC."""
    hasher = blake3()
    with archive.open(name) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return f"b3:{hasher.hexdigest()}"


def _read_manifest(manifest: Path) -> dict[str, dict[str, Any]]:
    try:
        raw = json.loads(manifest.read_text(encoding="utf-8"))
        if raw["format"] != 1:
            raise ValueError(f"format {raw['format']} is not 1")
        files: dict[str, dict[str, Any]] = raw["files"]
        for entry in files.values():
            str(entry["metadata"]), dict(entry["tensors"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadWeightFileError(
            f"{manifest.name} is no manifest of weights: {error!r}.",
            hint="Take it from the last commit, or remove it and hash all files anew.",
            path=str(manifest),
        ) from error
    return files


def _name_in(manifest: Path, path: Path) -> str:
    folder, target = manifest.resolve().parent, path.resolve()
    return target.relative_to(folder).as_posix() if target.is_relative_to(folder) else target.as_posix()


def _compare(name: str, before: Mapping[str, Any] | None, after: WeightDigests) -> WeightChange:
    old: Mapping[str, str] = {} if before is None else before["tensors"]
    new = after.tensors
    return WeightChange(
        path=name,
        is_new=before is None,
        is_metadata_changed=before is not None and before["metadata"] != after.metadata,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(key for key in new.keys() & old.keys() if new[key] != old[key])),
    )
