"""Which version last changed each tensor and file of a version, as `git blame` does for lines.

A name is followed to the first parent that holds the same content under it; the version where no parent does is the one
that changed it. So a merge that took a tensor as one side had it passes on to that side, and a merge that made new
values of both is itself the answer. Content is compared by digest, so nothing but manifests is read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import walk_versions
from birdbone.vault.loading import load_manifest, load_version
from birdbone.vault.records import Manifest, PlainFile, TensorFile, Version
from birdbone.vault.refs.lookup import resolve

Part = tuple[Literal["tensor", "file"], str]
"""A tensor by its name, or a file by its path."""

_MANIFESTS_HELD = 64  # a version and its parents are looked at together; histories branch far less than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A tensor (by name) or file (by path), and the version in which it became what it is."""

    kind: Literal["tensor", "file"]
    name: str
    version: Version


def annotate(vault: Vault, name: str = "HEAD") -> list[Annotation]:
    """Return the version that last changed each tensor, then each file, of the version that `name` means, by name.

    A file of tensors counts as changed when any of its tensors, its header or its metadata did.

    Raises:
        UnknownNameError: no version is called so.
        CorruptObjectError, MissingObjectError: a version or manifest before it is damaged or gone.
    """

    @functools.lru_cache(maxsize=_MANIFESTS_HELD)
    def contents(version: str) -> Mapping[Part, Hashable]:
        return _contents(load_manifest(vault, load_version(vault, version).artefact))

    start = resolve(vault, name)
    waiting = {start: set(contents(start))}
    answers: dict[Part, Version] = {}
    for version in walk_versions(vault, [start]):
        parts = waiting.pop(version.id, set())
        answers.update(dict.fromkeys(_pass_on(version, parts, contents=contents, waiting=waiting), version))
        if not waiting:
            break
    ordered = sorted(answers, key=lambda part: (part[0] == "file", part[1]))
    return [Annotation(kind=part[0], name=part[1], version=answers[part]) for part in ordered]


def _pass_on(
    version: Version,
    parts: Iterable[Part],
    *,
    contents: Callable[[str], Mapping[Part, Hashable]],
    waiting: dict[str, set[Part]],
) -> set[Part]:
    """Return the parts that `version` changed, after the others were put with the parent that they came from."""
    left = set(parts)
    for parent in version.parents if left else ():
        own, theirs = contents(version.id), contents(parent)
        same = {part for part in left if theirs.get(part) == own[part]}
        if same:
            waiting.setdefault(parent, set()).update(same)
        left -= same
    return left


def _contents(manifest: Manifest) -> dict[Part, Hashable]:
    tensors: dict[Part, Hashable] = {
        ("tensor", name): (entry.dtype, entry.shape, entry.digest) for name, entry in manifest.tensors().items()
    }
    return tensors | {("file", file.path): _content_of(file) for file in manifest.files}


def _content_of(file: TensorFile | PlainFile) -> Hashable:
    return file.digest if file.layout == "file" else (file.header, *(entry.digest for entry in file.tensors))
