"""The record that `export_folder` leaves beside a model: which version it is, and the digests of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from birdbone.core.schema import Strict
from birdbone.vault.names import Digest, Kind, Sha256

EXPORT_RECORD = "birdbone.json"


class ExportedFile(Strict):
    """One file as it was written."""

    path: str
    """Path in the folder."""
    stored_as: str
    """Path in the artefact; it differs where the reader expects another name."""
    size_bytes: int = Field(ge=0)
    """Size."""
    sha256: Sha256
    """SHA-256 of its bytes, read back from the folder."""
    blake3: Digest
    """BLAKE3 of the same bytes."""


class ExportRecord(Strict):
    """What was exported. It knows no time and place of the export, so the same version gives the same bytes."""

    format: Literal["birdbone.export/1"] = "birdbone.export/1"
    """Generation of this record."""
    version: Digest | None
    """The version; None if an artefact was named that no version was asked for."""
    artefact: Digest
    """The artefact."""
    kind: Kind
    """Kind of the artefact."""
    author: str | None = None
    """Author of the version."""
    time: AwareDatetime | None = None
    """Time of the version."""
    message: str | None = None
    """Message of the version."""
    files: tuple[ExportedFile, ...]
    """The files in the order of their paths, this record left out."""


def read_export_record(folder: Path) -> ExportRecord | None:
    """Return the record in a folder; None if there is none, or another program's file of that name."""
    path = folder / EXPORT_RECORD
    try:
        return ExportRecord.model_validate_json(path.read_bytes()) if path.is_file() else None
    except ValidationError:
        return None
