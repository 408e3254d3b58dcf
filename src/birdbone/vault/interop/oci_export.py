"""Writes a version as an OCI image layout: one raw layer a file, so that a layer's digest is the file's SHA-256.

The same version gives the same bytes: no clock, no place, no name that was asked by, keys sorted.
Source: OCI image-spec 1.1 and the CNCF ModelPack model-spec, v1 types (`application/vnd.cncf.model.*`, raw layers,
`org.cncf.model.filepath`). Differs: `org.cncf.model.file.metadata+json` is left out, since owners, modes and times of
files are no content of a version.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from birdbone.vault.artefacts import checkout
from birdbone.vault.errors import NotLoadableError
from birdbone.vault.folder import Vault
from birdbone.vault.interop.oci_layout import (
    ARTIFACT_TYPE,
    CONFIG_TYPE,
    FILEPATH,
    INDEX_TYPE,
    KIND,
    MANIFEST_TYPE,
    REVISION,
    TITLE,
    blob_path,
)
from birdbone.vault.interop.source import hash_file
from birdbone.vault.interop.staging import staged_folder
from birdbone.vault.records import Version
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve

_MODEL_TYPE = "application/vnd.cncf.model"
_WEIGHT_FORMATS = {
    ".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".pt": "pytorch", ".pth": "pytorch",
    ".bin": "pytorch",
}  # fmt: skip
_DOC_NAMES = ("readme", "license", "licence", "notice", "copying", "changelog")
_DOC_ENDINGS = (".md", ".rst", ".pdf")
_CODE_ENDINGS = (".py", ".sh", ".ipynb")


@dataclass(frozen=True, slots=True, kw_only=True)
class OciExport:
    """What was written: where, and the digest of its manifest, by which a registry will know it."""

    folder: Path
    digest: str
    num_layers: int
    size_bytes: int
    """Size of all layers."""


def export_oci(vault: Vault, name: str, destination: Path) -> OciExport:
    """Return the OCI image layout that `destination` now is: oci-layout, index.json and blobs.

    Each file is checked against its BLAKE3 as it leaves the store, and its SHA-256 is taken of the bytes as they lie in
    the layout.

    Args:
        name: a ref or a version (see `resolve`); an artefact alone has no author, time and message.
        destination: missing, or an empty folder.

    Raises:
        UnknownNameError: no version is called so.
        NotLoadableError: the version has no file; a manifest without layers is not portable.
        DestinationNotEmptyError: something is there.
        CorruptObjectError, MissingObjectError: the store is damaged; nothing was written to `destination`.
    """
    version_id = resolve(vault, name)
    version = read_version(vault, version_id)
    kind = read_manifest(vault, version.artefact).kind
    with staged_folder(destination) as folder:
        layers = _write_layers(vault, version, kind=kind, folder=folder)
        if not layers:
            raise NotLoadableError(f"{name} has no file.", hint="An image needs one layer at least.", name=name)
        config = _write_blob(folder, _config(version, version_id, layers=layers))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": CONFIG_TYPE, **config},
            "layers": layers,
            "annotations": _annotations(version, version_id, kind=kind),
        }
        described = _write_blob(folder, manifest)
        entry = {"mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE, **described}
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
        (folder / "index.json").write_bytes(_json(index))
        (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return OciExport(
        folder=destination,
        digest=described["digest"],
        num_layers=len(layers),
        size_bytes=sum(layer["size"] for layer in layers),
    )


def _write_layers(vault: Vault, version: Version, *, kind: str, folder: Path) -> list[dict[str, Any]]:
    """Check the files out beside the blobs and move each to the name that its bytes give it: no second copy."""
    blob_path(folder, "").mkdir(parents=True)
    files = checkout(vault, version.artefact, folder / "files")
    layers = []
    for path, place in sorted(_all_files(files).items()):
        sha256, size_bytes = hash_file(place, "sha256"), place.stat().st_size
        place.replace(blob_path(folder, sha256))
        layers.append(
            {
                "mediaType": f"{_MODEL_TYPE}.{_media(path, kind=kind)}.v1.raw",
                "digest": f"sha256:{sha256}",
                "size": size_bytes,
                "annotations": {TITLE: path, FILEPATH: path},
            }
        )
    shutil.rmtree(files)
    return layers


def _all_files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _media(path: str, *, kind: str) -> str:
    """Return the middle of a ModelPack media type: what a file is for. What is nothing else configures the weights."""
    name = PurePosixPath(path)
    if kind == "dataset":
        return "dataset"
    if name.suffix in _WEIGHT_FORMATS:
        return "weight"
    if name.suffix in _DOC_ENDINGS or name.stem.lower() in _DOC_NAMES:
        return "doc"
    return "code" if name.suffix in _CODE_ENDINGS else "weight.config"


def _config(version: Version, version_id: str, *, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ModelPack's configuration. What the version does not say (family, precision, licence) is left out."""
    suffixes = {PurePosixPath(layer["annotations"][TITLE]).suffix for layer in layers}
    formats = {_WEIGHT_FORMATS[suffix] for suffix in suffixes if suffix in _WEIGHT_FORMATS}
    return {
        "descriptor": {
            "createdAt": _time(version),
            "authors": [version.author],
            "description": version.message,
            "revision": version_id,
        },
        "config": {"format": formats.pop()} if len(formats) == 1 else {},
        "modelfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }


def _annotations(version: Version, version_id: str, *, kind: str) -> dict[str, str]:
    annotations = {
        "org.opencontainers.image.created": _time(version),
        "org.opencontainers.image.authors": version.author,
        "org.opencontainers.image.description": version.message,
        REVISION: version_id,
        "birdbone.vault.artefact": version.artefact,
        KIND: kind,
    }
    if version.measurements:
        annotations["birdbone.vault.measurements"] = _json(list(version.measurements)).decode()
    return annotations


def _time(version: Version) -> str:
    return version.time.isoformat().replace("+00:00", "Z")


def _write_blob(folder: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    raw = _json(value)
    sha256 = hashlib.sha256(raw).hexdigest()
    blob_path(folder, sha256).write_bytes(raw)
    return {"digest": f"sha256:{sha256}", "size": len(raw)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
