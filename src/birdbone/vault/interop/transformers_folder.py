"""Writes a model as a folder that `transformers` loads, or says what it lacks.

`AutoModel.from_pretrained` wants `config.json` with a `model_type`, and `model.safetensors`, or an index and the shards
that it names. Loading itself needs torch and is not tried here.
Source: transformers 5.20, `modeling_utils` and `configuration_utils`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from birdbone.core.digest import digest_file
from birdbone.core.files import write_json
from birdbone.vault.artefacts import checkout
from birdbone.vault.errors import NotLoadableError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.formats.safetensors import read_layout
from birdbone.vault.interop.export_record import EXPORT_RECORD, ExportedFile, ExportRecord
from birdbone.vault.interop.source import hash_file
from birdbone.vault.interop.staging import staged_folder
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve, resolve_artefact

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def export_folder(vault: Vault, name: str, destination: Path) -> ExportRecord:
    """Return what was written to `destination`, a folder that `transformers` loads; its `birdbone.json` says the same.

    The only `.safetensors` at the top is called `model.safetensors` there, whatever it was stored as.

    Args:
        name: a ref, a version or an artefact (see `resolve_artefact`).
        destination: missing, or an empty folder.

    Raises:
        NotLoadableError: configuration, weights, a shard or a tensor of the index is missing; its `missing` lists them.
        DestinationNotEmptyError: something is there.
        CorruptObjectError, MissingObjectError: the store is damaged. In all of them nothing was written.
    """
    artefact = resolve_artefact(vault, name)
    manifest = read_manifest(vault, artefact)
    names = _names(name, [file.path for file in manifest.files])
    with staged_folder(destination) as staged:
        folder = checkout(vault, artefact, staged)
        for stored_as, path in names.items():
            if stored_as != path:
                (folder / stored_as).rename(folder / path)
        _check_config(name, folder)
        _check_index(name, folder, present=set(names.values()))
        record = _record(vault, name, artefact=artefact, kind=manifest.kind, names=names, folder=folder)
        write_json(folder / EXPORT_RECORD, record.model_dump(mode="json"))
    return record


def _names(name: str, stored: list[str]) -> dict[str, str]:
    """Return under which name each stored path is written, after what is needed was found there."""
    if EXPORT_RECORD in stored:
        raise NotLoadableError(
            f"{name} has a {EXPORT_RECORD} of its own, and the export needs that name.",
            hint="Use `checkout`, or put the folder again without that file.",
        )
    weights = [path for path in stored if path.endswith(".safetensors") and "/" not in path]
    is_named = WEIGHTS in stored or INDEX in stored
    missing = [CONFIG] if CONFIG not in stored else []
    if not is_named and len(weights) != 1:
        missing.append(INDEX if weights else WEIGHTS)
    if missing:
        raise _not_loadable(name, missing, stored=stored)
    renamed = {} if is_named else {weights[0]: WEIGHTS}
    return {path: renamed.get(path, path) for path in stored}


def _not_loadable(name: str, missing: list[str], *, stored: list[str]) -> NotLoadableError:
    others = sorted(path for path in stored if PurePosixPath(path).suffix in (".gguf", ".bin", ".pt", ".pth"))
    has_instead = f" It has {others[0]}, which is no safetensors." if others else ""
    return NotLoadableError(
        f"transformers cannot load {name}: {', '.join(missing)} is missing.{has_instead}",
        missing=missing,
    )


def _check_config(name: str, folder: Path) -> None:
    config = _read_json(name, folder / CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise NotLoadableError(
            f"transformers cannot load {name}: {CONFIG} has no `model_type`.",
            hint="Save the configuration with `save_pretrained`; it writes the type.",
            missing=["model_type"],
        )


def _check_index(name: str, folder: Path, *, present: set[str]) -> None:
    """Check that each tensor is in the shard that the index gives for it; whole weights need no index."""
    if WEIGHTS in present:
        return
    by_shard = _tensors_by_shard(name, folder)
    missing = sorted(by_shard.keys() - present)
    if not missing:
        missing = [
            tensor for shard in sorted(by_shard) for tensor in sorted(by_shard[shard] - _tensors_in(folder / shard))
        ]
    if missing:
        raise NotLoadableError(
            f"transformers cannot load {name}: {INDEX} names {missing[0]}, which is missing.",
            hint="Put the folder with all shards, as `save_pretrained` wrote it.",
            missing=missing,
        )


def _tensors_by_shard(name: str, folder: Path) -> Mapping[str, set[str]]:
    shards: dict[str, set[str]] = {}
    weight_map = _read_json(name, folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise NotLoadableError(f"transformers cannot load {name}: {INDEX} has no `weight_map`.", missing=["weight_map"])
    for tensor, shard in weight_map.items():
        shards.setdefault(shard, set()).add(tensor)
    return shards


def _tensors_in(path: Path) -> set[str]:
    with path.open("rb") as stream:
        layout = read_layout(stream, size_bytes=path.stat().st_size, name=path.name)
    return {span.name for span in layout.tensors}


def _read_json(name: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise NotLoadableError(f"transformers cannot load {name}: {path.name} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise NotLoadableError(f"transformers cannot load {name}: {path.name} is no JSON object.")
    return value


def _record(
    vault: Vault, name: str, *, artefact: str, kind: str, names: Mapping[str, str], folder: Path
) -> ExportRecord:
    files = tuple(sorted(_exported(folder, names), key=lambda file: file.path))
    try:
        version_id = resolve(vault, name)
    except UnknownNameError:
        return ExportRecord(version=None, artefact=artefact, kind=kind, files=files)
    version = read_version(vault, version_id)
    return ExportRecord(
        version=version_id,
        artefact=artefact,
        kind=kind,
        author=version.author,
        time=version.time,
        message=version.message,
        files=files,
    )


def _exported(folder: Path, names: Mapping[str, str]) -> Iterator[ExportedFile]:
    for stored_as, path in names.items():
        place = folder / path
        yield ExportedFile(
            path=path,
            stored_as=stored_as,
            size_bytes=place.stat().st_size,
            sha256=hash_file(place, "sha256"),
            blake3=digest_file(place),
        )
