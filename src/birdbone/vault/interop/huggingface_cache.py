"""Reads a model from the cache of the Hugging Face hub, without the hub.

```text
models--org--name/
├── blobs/<etag>               a file; the etag is its SHA-256 (large files) or git's SHA-1 of it (small ones)
├── refs/main                  the commit that a branch stood at
└── snapshots/<commit>/…       links into blobs/
```

In a cache with a shared store a blob is itself a link, to elsewhere in the cache. A file that is being fetched ends in
`.incomplete`; a link appears only when its blob is whole.
Source: huggingface_hub 2.4, `file_download` and `_shared_blobs`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from birdbone.vault.errors import BadSourceError, IncompleteSourceError
from birdbone.vault.interop.source import HashName, Reading, SourceFile, walk_files

_REPO_FOLDER = re.compile(r"(models|datasets|spaces)--(.+)")
_HEX = re.compile(r"[0-9a-f]+")
_ALGORITHMS: Mapping[int, HashName] = {40: "sha1-git", 64: "sha256"}  # by the number of hex digits
_INDEX_ENDING = ".safetensors.index.json"


def is_huggingface_cache(source: Path) -> bool:
    """Return whether `source` is a repository in a hub cache, one snapshot of it, or a file or folder in a snapshot."""
    return _repo_folder(source) is not None


def read_huggingface_cache(source: Path) -> Reading:
    """Return the files of `source` in a snapshot; a repository stands for the snapshot that `refs/main` names.

    Raises:
        IncompleteSourceError: it is partly downloaded: no snapshot or an empty one, a dangling link, an `.incomplete`
            blob, a shard that the index names but the snapshot lacks.
        BadSourceError: a link leads out of the cache.
    """
    folder = _repo_folder(source)
    assert folder is not None, "the caller asked is_huggingface_cache"
    kind, repo = _name(folder)
    part = _main_snapshot(folder, repo=repo) if source == folder else source
    revision = part.relative_to(folder / "snapshots").parts[0]
    command = f"hf download {repo}{' --repo-type dataset' if kind == 'dataset' else ''} --revision {revision}"
    _check_nothing_pending(folder, command=command)
    found = list(walk_files(part)) if part.is_dir() else [(part.name, part)]
    if not found:
        raise IncompleteSourceError(f"The snapshot of {repo} is empty.", hint=f"Run `{command}`.", repo=repo)
    files = tuple(_read_file(folder, path, place, command=command) for path, place in found)
    _check_shards(files, command=command)
    return Reading(
        source="huggingface",
        files=files,
        hint=f"Delete that blob from the cache, then run `{command}`.",
        kind=kind,
        repo=repo,
        revision=revision,
    )


def _repo_folder(source: Path) -> Path | None:
    """Return the folder of the repository that `source` is, or lies in a snapshot of."""
    if _REPO_FOLDER.fullmatch(source.name) and (source / "snapshots").is_dir():
        return source
    for snapshots in source.parents:
        if snapshots.name == "snapshots" and _REPO_FOLDER.fullmatch(snapshots.parent.name):
            return snapshots.parent
    return None


def _name(folder: Path) -> tuple[str, str]:
    """Return the kind of artefact that a repository is, and its name on the hub."""
    match = _REPO_FOLDER.fullmatch(folder.name)
    assert match is not None
    return "dataset" if match[1] == "datasets" else "model", match[2].replace("--", "/")


def _main_snapshot(folder: Path, *, repo: str) -> Path:
    snapshots = sorted(path for path in (folder / "snapshots").iterdir() if path.is_dir())
    ref = folder / "refs" / "main"
    if ref.is_file():
        revision = ref.read_text(encoding="utf-8", errors="replace").strip()
        found = [snapshot for snapshot in snapshots if snapshot.name == revision]
    else:
        found = snapshots
    if not found:
        raise IncompleteSourceError(
            f"The cache of {repo} has no snapshot of main.", hint=f"Run `hf download {repo}`.", repo=repo
        )
    if len(found) > 1:
        raise BadSourceError(
            f"The cache of {repo} has {len(found)} snapshots and no refs/main.",
            hint=f"Name one of them: {', '.join(f'snapshots/{path.name}' for path in found[:5])}.",
            repo=repo,
        )
    return found[0]


def _check_nothing_pending(folder: Path, *, command: str) -> None:
    """A part that another process left behind does not count once the blob is whole."""
    blobs = folder / "blobs"
    for part in sorted(blobs.glob("*.incomplete")):
        if not (blobs / part.name.partition(".")[0]).exists():
            raise IncompleteSourceError(
                f"{part.name} in {folder.name} is only partly downloaded.",
                hint=f"Run `{command}`; if that file is of another revision that nobody needs, delete it.",
                path=str(part),
            )


def _read_file(folder: Path, path: str, place: Path, *, command: str) -> SourceFile:
    if not place.is_symlink():  # a cache on a file system without links; the hub keeps no digest of it there
        return SourceFile(path=path, lies_at=place)
    blob = Path(os.path.normpath(place.parent / place.readlink()))
    if blob.parent.resolve() != (folder / "blobs").resolve():
        raise BadSourceError(f"{path} is a link to {blob}, which is not in the blobs of {folder.name}.", path=path)
    if not blob.is_file():
        raise IncompleteSourceError(f"The blob of {path} is missing.", hint=f"Run `{command}`.", path=path)
    if not blob.resolve().is_relative_to(folder.parent.resolve()):
        raise BadSourceError(f"The blob of {path} is a link to {blob.resolve()}, out of the cache.", path=path)
    algorithm = _ALGORITHMS.get(len(blob.name)) if _HEX.fullmatch(blob.name) else None
    return SourceFile(path=path, lies_at=blob, algorithm=algorithm, digest=blob.name if algorithm else None)


def _check_shards(files: tuple[SourceFile, ...], *, command: str) -> None:
    paths = {file.path for file in files}
    for file in files:
        if file.path.endswith(_INDEX_ENDING):
            folder = file.path.rpartition("/")[0]
            shards = {f"{folder}/{name}" if folder else name for name in _shards(file)}
            if missing := sorted(shards - paths):
                raise IncompleteSourceError(
                    f"{len(missing)} of {len(shards)} shards that {file.path} names are missing, first {missing[0]}.",
                    hint=f"Run `{command}`.",
                    missing=missing,
                )


def _shards(index: SourceFile) -> set[str]:
    try:
        return {str(name) for name in json.loads(index.lies_at.read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadSourceError(f"{index.path} is no index of shards.", path=index.path) from error
