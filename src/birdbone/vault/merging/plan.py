"""What a merge has to do, found from the manifests of two versions and of their common ancestors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from birdbone.vault.ancestry import lowest_common_ancestors
from birdbone.vault.errors import UnmergeableError, UnrelatedHistoriesError
from birdbone.vault.folder import Vault
from birdbone.vault.merging.changes import Change, compare
from birdbone.vault.merging.json_keys import compare_keys, parse_object
from birdbone.vault.records import Manifest, PlainFile, TensorEntry
from birdbone.vault.refs.lookup import read_manifest, resolve
from birdbone.vault.store.objects import read_object

TensorChange = Change[TensorEntry | None]
FileChange = Change[PlainFile | None]
MetadataChange = Change[Mapping[str, str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedFile:
    """A JSON file that both sides changed, key by key; its conflicts are its keys."""

    path: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    keys: tuple[Change[Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """Every tensor, plain file and metadata of two versions, and where each was changed. Nothing was written."""

    ours: str
    theirs: str
    bases: tuple[str, ...]
    """The common ancestors: one as a rule, several after a criss-cross merge."""
    kind: str
    """Kind of the artefacts."""
    tensors: tuple[TensorChange, ...]
    files: tuple[FileChange, ...]
    """Plain files but those in `keyed`."""
    keyed: tuple[KeyedFile, ...] = ()
    metadata: tuple[MetadataChange, ...] = ()
    """Of the safetensors files that both sides have, named `path::__metadata__`."""

    @property
    def changes(self) -> tuple[Change[Any], ...]:
        """Everything, by name within its sort."""
        keys = (change for file in self.keyed for change in file.keys)
        return (*self.tensors, *self.files, *keys, *self.metadata)

    @property
    def conflicts(self) -> tuple[Change[Any], ...]:
        """What only a named strategy can settle."""
        return tuple(change for change in self.changes if change.is_conflict)


def plan_merge(vault: Vault, ours: str, theirs: str, base: str | None = None) -> MergePlan:
    """Return what merging `theirs` into `ours` has to do; only manifests and JSON files are read, and nothing written.

    A tensor is the same where its bytes, dtype and shape are, whichever file it lies in. A JSON file that both sides
    changed is taken key by key, unless it cannot be written back as it was read.

    Args:
        ours: a ref or version; with `base`, an artefact will do too.
        theirs: likewise.
        base: the version or artefact to take as the common ancestor; None means the lowest ones.

    Raises:
        UnknownNameError: nothing is called so.
        UnrelatedHistoriesError: the two have no common ancestor and no `base` was given.
        UnmergeableError: the artefacts are not of one kind.
    """
    bases = (base,) if base is not None else _common_ancestors(vault, ours, theirs)
    sides = _Sides(
        vault=vault,
        bases=tuple(read_manifest(vault, name) for name in bases),
        ours=read_manifest(vault, ours),
        theirs=read_manifest(vault, theirs),
    )
    sides.check_kind()
    files, keyed = _compare_files(sides)
    return MergePlan(
        ours=ours,
        theirs=theirs,
        bases=bases,
        kind=sides.ours.kind,
        tensors=_compare_tensors(sides),
        files=files,
        keyed=keyed,
        metadata=_compare_metadata(sides),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    vault: Vault
    bases: tuple[Manifest, ...]
    ours: Manifest
    theirs: Manifest

    def check_kind(self) -> None:
        if self.ours.kind != self.theirs.kind:
            raise UnmergeableError(
                f"Ours is a {self.ours.kind} and theirs a {self.theirs.kind}; artefacts of one kind can be merged."
            )

    def rows(self, parts: Callable[[Manifest], Mapping[str, Any]]) -> list[tuple[str, list[Any], Any, Any]]:
        """Return name, bases, ours and theirs of each part of the manifests, in the order of the names."""
        bases, ours, theirs = [parts(base) for base in self.bases], parts(self.ours), parts(self.theirs)
        names = sorted(ours.keys() | theirs.keys() | {name for base in bases for name in base})
        return [(name, [base.get(name) for base in bases], ours.get(name), theirs.get(name)) for name in names]


def _common_ancestors(vault: Vault, ours: str, theirs: str) -> tuple[str, ...]:
    bases = tuple(sorted(lowest_common_ancestors(vault, resolve(vault, ours), resolve(vault, theirs))))
    if not bases:
        raise UnrelatedHistoriesError(f"{ours} and {theirs} have no common ancestor.", ours=ours, theirs=theirs)
    return bases


def _compare_tensors(sides: _Sides) -> tuple[TensorChange, ...]:
    return tuple(
        compare(name, "tensor", bases, ours, theirs, mark=_tensor_mark, explain=_explain_tensor)
        for name, bases, ours, theirs in sides.rows(Manifest.tensors)
    )


def _tensor_mark(entry: TensorEntry | None) -> tuple[Any, ...] | None:
    return None if entry is None else (entry.digest, entry.dtype, entry.shape)


def _explain_tensor(_base: TensorEntry | None, ours: TensorEntry | None, theirs: TensorEntry | None) -> str:
    if ours is None or theirs is None or (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape):
        return ""
    return f"ours is {ours.dtype} {list(ours.shape)}, theirs {theirs.dtype} {list(theirs.shape)}"


def _compare_files(sides: _Sides) -> tuple[tuple[FileChange, ...], tuple[KeyedFile, ...]]:
    files: list[FileChange] = []
    keyed: list[KeyedFile] = []
    for name, bases, ours, theirs in sides.rows(_plain_files):
        change = compare(name, "file", bases, ours, theirs, mark=_file_mark)
        by_key = _by_key(sides.vault, change) if change.is_conflict else None
        if by_key is None:
            files.append(change)
        else:
            keyed.append(by_key)
    return tuple(files), tuple(keyed)


def _plain_files(manifest: Manifest) -> dict[str, PlainFile]:
    return {file.path: file for file in manifest.files if file.layout == "file"}


def _file_mark(file: PlainFile | None) -> str | None:
    return None if file is None else file.digest


def _by_key(vault: Vault, change: FileChange) -> KeyedFile | None:
    sides = (change.ours, change.theirs, *change.bases)
    if not change.name.endswith(".json") or change.ours is None or change.theirs is None:
        return None
    objects = [{} if file is None else parse_object(read_object(vault, "blobs", file.digest)) for file in sides]
    values = [value for value in objects if value is not None]
    if len(values) != len(objects):
        return None
    ours, theirs, *bases = values
    return KeyedFile(
        path=change.name, ours=ours, theirs=theirs, keys=tuple(compare_keys(change.name, bases, ours, theirs))
    )


def _compare_metadata(sides: _Sides) -> tuple[MetadataChange, ...]:
    return tuple(
        compare(f"{path}::__metadata__", "metadata", bases, ours, theirs, mark=_metadata_mark)
        for path, bases, ours, theirs in sides.rows(_metadata)
        if ours is not None and theirs is not None
    )


def _metadata(manifest: Manifest) -> dict[str, Mapping[str, str]]:
    return {file.path: file.metadata for file in manifest.files if file.layout == "safetensors"}


def _metadata_mark(metadata: Mapping[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    return None if metadata is None else tuple(sorted(metadata.items()))
