"""The two records of the vault, as JSON: the manifest of an artefact and the version that commits it.

A manifest says only what the artefact *is*, so its digest is equal whenever the content is equal, whoever stored it and
when. A version says who kept it, when, why, on top of what and with which measurements.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue, field_validator

from birdbone.core.digest import digest_json
from birdbone.core.schema import Strict
from birdbone.vault.errors import BadNameError, BadRecordError
from birdbone.vault.names import Digest, Kind, Sha256, check_relative_path


class TensorEntry(Strict):
    """One tensor of a file: what it is called and the digest of its bytes."""

    name: str
    """Name in the file."""
    dtype: str
    """Dtype as safetensors writes it: `F32`, `BF16`, `F8_E4M3`."""
    shape: tuple[int, ...]
    """Shape; empty for a scalar."""
    size_bytes: int = Field(ge=0)
    """Size of its bytes."""
    digest: Digest
    """BLAKE3 of its bytes, and the name of its blob."""
    sha256: Sha256
    """SHA-256 of its bytes."""


class TensorFile(Strict):
    """A `.safetensors` file, kept as its header and one blob a tensor."""

    layout: Literal["safetensors"] = "safetensors"
    """How the file is kept."""
    path: str
    """Path in the artefact, with `/`."""
    size_bytes: int = Field(ge=0)
    """Size of the whole file."""
    header: Digest
    """Blob of the header with its length field, as it stood: order and padding are part of the bytes."""
    metadata: dict[str, str]
    """The `__metadata__` of the header."""
    tensors: tuple[TensorEntry, ...]
    """The tensors in the order of their bytes."""

    _path_is_safe = field_validator("path")(check_relative_path)


class PlainFile(Strict):
    """Any other file, kept as one blob."""

    layout: Literal["file"] = "file"
    """How the file is kept."""
    path: str
    """Path in the artefact, with `/`."""
    size_bytes: int = Field(ge=0)
    """Size of the file."""
    digest: Digest
    """BLAKE3 of its bytes, and the name of its blob."""
    sha256: Sha256
    """SHA-256 of its bytes."""

    _path_is_safe = field_validator("path")(check_relative_path)


class Manifest(Strict):
    """The content of an artefact: its kind and its files, by path. Its digest names the artefact."""

    format: Literal["birdbone.artefact/1"] = "birdbone.artefact/1"
    """Generation of this record."""
    kind: Kind
    """What the artefact is: `model`, `mask`, `adapter`, `dataset`, `report`."""
    files: tuple[Annotated[TensorFile | PlainFile, Field(discriminator="layout")], ...]
    """Its files, ordered by path."""

    @field_validator("files")
    @classmethod
    def _paths_differ(cls, files: tuple[TensorFile | PlainFile, ...]) -> tuple[TensorFile | PlainFile, ...]:
        paths = [file.path for file in files]
        if paths != sorted(set(paths)):
            raise BadNameError("The paths of a manifest are not unique and in order.")
        folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
        if clash := folders.intersection(paths):
            raise BadNameError(f"{min(clash)!r} would be a file and a folder of the artefact.", path=min(clash))
        return files

    @property
    def size_bytes(self) -> int:
        """Size of all files as they are checked out."""
        return sum(file.size_bytes for file in self.files)

    def tensors(self) -> dict[str, TensorEntry]:
        """Return the tensors by name; a name that several files use stands as `path::name`."""
        return {key: entry for key, (_, entry) in self.located_tensors().items()}

    def located_tensors(self) -> dict[str, tuple[str, TensorEntry]]:
        """Return what `tensors` does, each with the path of its file."""
        entries = [(file.path, entry) for file in self.files if file.layout == "safetensors" for entry in file.tensors]
        uses = Counter(entry.name for _, entry in entries)
        return {
            entry.name if uses[entry.name] == 1 else f"{path}::{entry.name}": (path, entry) for path, entry in entries
        }

    def blobs(self) -> dict[str, int]:
        """Return the digest and size in bytes of every blob that a checkout needs."""
        sizes: dict[str, int] = {}
        for file in self.files:
            if file.layout == "file":
                sizes[file.digest] = file.size_bytes
                continue
            sizes[file.header] = file.size_bytes - sum(entry.size_bytes for entry in file.tensors)
            sizes.update((entry.digest, entry.size_bytes) for entry in file.tensors)
        return sizes


class Lineage(Strict):
    """Where a version came from."""

    run_id: str = ""
    """The run that made it."""
    step: str = ""
    """The step of that run."""
    datasets: tuple[str, ...] = ()
    """Digests of the datasets that it was made from or judged on."""


class Version(Strict):
    """A commit: an artefact, what it came after, who kept it and why. Its digest is its id."""

    format: Literal["birdbone.version/1"] = "birdbone.version/1"
    """Generation of this record."""
    artefact: Digest
    """The artefact that it keeps."""
    parents: tuple[Digest, ...]
    """The versions that it follows; none for the first, two for a merge."""
    author: str
    """Who committed."""
    time: AwareDatetime
    """When, in UTC."""
    message: str
    """Why."""
    measurements: tuple[dict[str, JsonValue], ...] = ()
    """Figures taken on this artefact, each with its evidence (`birdbone.core.Measurement` as JSON)."""
    lineage: Lineage = Lineage()
    """The run, step and datasets behind it."""

    @field_validator("time")
    @classmethod
    def _in_utc(cls, time: dt.datetime) -> dt.datetime:
        return time.astimezone(dt.UTC)

    @property
    def id(self) -> str:
        """The version's name: the digest of everything above."""
        return digest_json(self.model_dump(mode="json"))


def canonical_json(record: Strict) -> bytes:
    """Return the one form of a record whose BLAKE3 is `digest_json` of it: sorted keys, no spaces, UTF-8.

    Raises:
        BadRecordError: a number is not finite, or a text has no UTF-8 form.
    """
    value = record.model_dump(mode="json")
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise BadRecordError(f"The record cannot be written as JSON: {error}") from error
