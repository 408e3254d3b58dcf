"""What differs between two artefacts by name, from their manifests alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from birdbone.vault.records import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class NameDiff:
    """Names that were added, removed, changed or left the same, each in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """What differs by name: tensors (bytes, dtype or shape), other files, and the metadata of safetensors files."""

    tensors: NameDiff
    files: NameDiff
    metadata: NameDiff


def diff_manifests(before: Manifest, after: Manifest) -> ManifestDiff:
    """Return which tensors, files and metadata differ, by name; no object is read, so it takes milliseconds."""
    return ManifestDiff(
        tensors=_diff_names(_tensor_marks(before), _tensor_marks(after)),
        files=_diff_names(_file_marks(before), _file_marks(after)),
        metadata=_diff_names(_metadata_marks(before), _metadata_marks(after)),
    )


def _diff_names(before: dict[str, Any], after: dict[str, Any]) -> NameDiff:
    shared = sorted(before.keys() & after.keys())
    return NameDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(name for name in shared if before[name] != after[name]),
        same=tuple(name for name in shared if before[name] == after[name]),
    )


def _tensor_marks(manifest: Manifest) -> dict[str, tuple[Any, ...]]:
    return {name: (entry.digest, entry.dtype, entry.shape) for name, entry in manifest.tensors().items()}


def _file_marks(manifest: Manifest) -> dict[str, str]:
    return {file.path: file.digest for file in manifest.files if file.layout == "file"}


def _metadata_marks(manifest: Manifest) -> dict[str, str]:
    files = (file for file in manifest.files if file.layout == "safetensors")
    return {f"{file.path}::{key}": value for file in files for key, value in file.metadata.items()}
