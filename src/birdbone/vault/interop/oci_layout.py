"""Reads an OCI image layout that holds one model, each digest checked.

Source: OCI image-spec 1.1 (image-layout, image-index, manifest, descriptor) and the CNCF ModelPack model-spec, v1
types, for media types and the annotation of a file's path. Differs: only raw layers are read, one file each; a layer
that is an archive is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from birdbone.vault.errors import BadSourceError, IncompleteSourceError, SourceMismatchError
from birdbone.vault.interop.source import Reading, SourceFile, safe_path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
TITLE = "org.opencontainers.image.title"
FILEPATH = "org.cncf.model.filepath"
REVISION = "org.opencontainers.image.revision"
KIND = "birdbone.vault.kind"

_MAX_RECORD_BYTES = 4 << 20  # what registries take at least for a manifest, by the distribution-spec
_ARCHIVE_ENDINGS = (".tar", "+gzip", "+zstd")
_HINT = "Copy or pull the layout again; its blobs are not what its manifest says."

_Record = TypeVar("_Record", bound=BaseModel)


class _Lenient(BaseModel):
    """A record of others: keys that we do not know are theirs to keep."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Descriptor(_Lenient):
    """What a blob is, how large it is, and the digest that names it."""

    mediaType: str
    """Media type."""
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    """`sha256:` and 64 hex digits; other hash functions are not read."""
    size: int = Field(ge=0)
    """Size in bytes."""
    annotations: Mapping[str, str] = {}
    """What its author says of it."""

    @property
    def sha256(self) -> str:
        """The digest in hex."""
        return self.digest.removeprefix("sha256:")


class ImageManifest(_Lenient):
    """A configuration and layers."""

    schemaVersion: Literal[2]
    """Generation."""
    artifactType: str = ""
    """What the whole is."""
    config: Descriptor
    """The configuration."""
    layers: tuple[Descriptor, ...]
    """The files."""
    annotations: Mapping[str, str] = {}
    """What its author says of it."""


class _Index(_Lenient):
    schemaVersion: Literal[2]
    manifests: tuple[Descriptor, ...]


class _LayoutFile(_Lenient):
    imageLayoutVersion: Literal["1.0.0"]


class _ModelFiles(_Lenient):
    diff_ids: tuple[str, ...]


class _ModelConfig(_Lenient):
    modelfs: _ModelFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class OciLayout:
    """A layout whose small records were checked: the manifest, its digest `sha256:<hex>`, and where blobs lie."""

    folder: Path
    digest: str
    manifest: ImageManifest

    @property
    def size_bytes(self) -> int:
        """Size of all layers."""
        return sum(layer.size for layer in self.manifest.layers)


def is_oci_layout(source: Path) -> bool:
    """Return whether `source` is an OCI image layout, or one that lost a part: it is not to pass for a plain folder."""
    has_index = (source / "index.json").is_file() and (source / "blobs" / "sha256").is_dir()
    return has_index or (source / "oci-layout").is_file()


def read_oci_layout(folder: Path) -> OciLayout:
    """Return the one manifest of a layout, after index, manifest and configuration were found true.

    Raises:
        IncompleteSourceError: `oci-layout`, `index.json` or a blob is missing.
        SourceMismatchError: a record does not match its digest or size.
        BadSourceError: a record is malformed, or the layout has not exactly one manifest.
    """
    _parse(_LayoutFile, _read(folder / "oci-layout"), name="oci-layout")
    index = _parse(_Index, _read(folder / "index.json"), name="index.json")
    if len(index.manifests) != 1 or index.manifests[0].mediaType != MANIFEST_TYPE:
        types = ", ".join(entry.mediaType for entry in index.manifests) or "nothing"
        raise BadSourceError(
            f"index.json of {folder.name} names {types}; one image manifest was expected.",
            hint="Copy the one image that you want into a layout of its own.",
        )
    described = index.manifests[0]
    manifest = _parse(ImageManifest, _read_record(folder, described), name="the manifest")
    _check_config(_read_record(folder, manifest.config), manifest)
    return OciLayout(folder=folder, digest=described.digest, manifest=manifest)


def read_oci(source: Path) -> Reading:
    """Return the files of a layout; their digests are still to be checked. Raises what `read_oci_layout` does."""
    layout = read_oci_layout(source)
    annotations = layout.manifest.annotations
    return Reading(
        source="oci",
        files=tuple(_layer_file(source, layer) for layer in layout.manifest.layers),
        hint=_HINT,
        kind=annotations.get(KIND, "model"),
        revision=annotations.get(REVISION, layout.digest),
    )


def blob_path(folder: Path, sha256: str) -> Path:
    """Return where a blob of a layout lies."""
    return folder / "blobs" / "sha256" / sha256


def _layer_file(folder: Path, layer: Descriptor) -> SourceFile:
    title = layer.annotations.get(FILEPATH, layer.annotations.get(TITLE))
    if layer.mediaType.endswith(_ARCHIVE_ENDINGS) or title is None:
        raise BadSourceError(
            f"A layer of type {layer.mediaType} {'has no title' if title is None else 'is an archive'}; "
            "one raw file a layer, named by its title, was expected.",
            hint="Unpack the image with the tool that made it, and import the folder.",
            digest=layer.digest,
        )
    return SourceFile(
        path=safe_path(title, named_by="a layer"),
        lies_at=blob_path(folder, layer.sha256),
        algorithm="sha256",
        digest=layer.sha256,
        size_bytes=layer.size,
    )


def _check_config(raw: bytes, manifest: ImageManifest) -> None:
    if manifest.config.mediaType != CONFIG_TYPE:
        return  # of another kind of artifact; the digest was checked, the rest is not ours to judge
    found = _parse(_ModelConfig, raw, name="the configuration").modelfs.diff_ids
    if found != tuple(layer.digest for layer in manifest.layers):
        raise BadSourceError("The configuration's diff_ids are not the digests of the manifest's layers.")


def _read_record(folder: Path, described: Descriptor) -> bytes:
    path = blob_path(folder, described.sha256)
    raw = _read(path)
    if len(raw) != described.size or hashlib.sha256(raw).hexdigest() != described.sha256:
        raise SourceMismatchError(
            f"The blob {described.digest} of {folder.name} has other bytes than its digest says.",
            hint=_HINT,
            path=str(path),
        )
    return raw


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise IncompleteSourceError(
            f"The layout lacks {path.name}.", hint="Copy or pull the whole layout again.", path=str(path)
        )
    if path.stat().st_size > _MAX_RECORD_BYTES:
        raise BadSourceError(f"{path.name} is larger than {_MAX_RECORD_BYTES} bytes; it is no record.", path=str(path))
    return path.read_bytes()


def _parse(record: type[_Record], raw: bytes, *, name: str) -> _Record:
    try:
        return record.model_validate(json.loads(raw))
    except (ValidationError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if not isinstance(error, ValidationError) else _first_fault(error)
        raise BadSourceError(f"In the OCI layout, {name} is not understood: {first}") from error


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
