"""Versions and manifests by their digest: read, checked, parsed. Names are resolved in `lookup`."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from birdbone.core.schema import Strict
from birdbone.vault.errors import UnsupportedFormatError
from birdbone.vault.folder import Vault
from birdbone.vault.records import Manifest, Version
from birdbone.vault.store.objects import read_object

_Record = TypeVar("_Record", bound=Strict)


def load_version(vault: Vault, version: str, *, name: str | None = None) -> Version:
    """Return the version with this id; `name` is what the caller was asked for, and stands in an error.

    Raises:
        MissingObjectError: the store has no such version.
        CorruptObjectError: its bytes do not match its id.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    return _parse(Version, read_object(vault, "versions", version), name=name or version)


def load_manifest(vault: Vault, artefact: str, *, name: str | None = None) -> Manifest:
    """Return the manifest with this digest. Raises what `load_version` does."""
    return _parse(Manifest, read_object(vault, "artefacts", artefact), name=name or artefact)


def _parse(record: type[_Record], content: bytes, *, name: str) -> _Record:
    try:
        return record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnsupportedFormatError(f"The {record.__name__.lower()} of {name}: {where}: {first['msg']}.") from error
