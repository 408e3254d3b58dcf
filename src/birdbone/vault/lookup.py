"""From a name to what it names: versions, artefacts and their records, each checked against its digest."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from birdbone.core.schema import Strict
from birdbone.vault.errors import AmbiguousNameError, BadNameError, UnknownNameError, UnsupportedFormatError
from birdbone.vault.folder import ObjectKind, Vault
from birdbone.vault.names import BRANCHES, HEAD, TAGS, is_digest
from birdbone.vault.objects import has_object, list_objects, read_object
from birdbone.vault.records import Manifest, Version
from birdbone.vault.refs import read_ref

_Record = TypeVar("_Record", bound=Strict)
_MIN_PREFIX = 6
_HEX = frozenset("0123456789abcdef")


def resolve(vault: Vault, name: str) -> str:
    """Return the id of the version that `name` means.

    Args:
        name: `HEAD`, a tag, a branch (short or full), a version id, or six or more of its first hex digits. A tag wins
            over a branch of the same name, a ref over a digest.

    Raises:
        UnknownNameError: nothing is called so.
        AmbiguousNameError: several versions begin with these digits.
    """
    found = _find_ref(vault, name) or _find_object(vault, "versions", name)
    if found is None:
        raise UnknownNameError(f"No branch, tag or version is called {name!r}.", name=name)
    return found


def resolve_artefact(vault: Vault, name: str) -> str:
    """Return the digest of the artefact that `name` means: itself, or what the ref or version keeps.

    Raises:
        UnknownNameError, AmbiguousNameError: as `resolve` does.
    """
    version = _find_ref(vault, name) or _find_object(vault, "versions", name)
    if version is not None:
        return read_version(vault, version).artefact
    found = _find_object(vault, "artefacts", name)
    if found is None:
        raise UnknownNameError(f"No branch, tag, version or artefact is called {name!r}.", name=name)
    return found


def read_version(vault: Vault, name: str) -> Version:
    """Return the version that `name` means (see `resolve`), checked.

    Raises:
        CorruptObjectError: its bytes do not match its id.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    return _parse(Version, read_object(vault, "versions", name if is_digest(name) else resolve(vault, name)), name=name)


def read_manifest(vault: Vault, name: str) -> Manifest:
    """Return the manifest of the artefact that `name` means (see `resolve_artefact`), checked.

    Raises:
        CorruptObjectError: its bytes do not match its digest.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    return _parse(Manifest, read_object(vault, "artefacts", resolve_artefact(vault, name)), name=name)


def _find_ref(vault: Vault, name: str) -> str | None:
    candidates = (name,) if name == HEAD or name.startswith((BRANCHES, TAGS)) else (TAGS + name, BRANCHES + name)
    try:
        return next((version for ref in candidates if (version := read_ref(vault, ref))), None)
    except BadNameError:
        return None  # a digest, say: no ref can be called so


def _find_object(vault: Vault, kind: ObjectKind, name: str) -> str | None:
    if is_digest(name):
        return name if has_object(vault, kind, name) else None
    prefix = name.removeprefix("b3:")
    if len(prefix) < _MIN_PREFIX or not _HEX.issuperset(prefix):
        return None
    found = list(list_objects(vault, kind, prefix=prefix))
    if len(found) > 1:
        raise AmbiguousNameError(f"{len(found)} {kind} begin with {prefix!r}.", name=name, candidates=found[:8])
    return found[0] if found else None


def _parse(record: type[_Record], content: bytes, *, name: str) -> _Record:
    try:
        return record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnsupportedFormatError(f"The {record.__name__.lower()} of {name}: {where}: {first['msg']}.") from error
