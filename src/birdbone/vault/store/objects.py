"""Objects by their digest: what is there, and its bytes, checked each time they are read.

Records (manifests, versions) are files of their own, written here; blobs lie in packs, written by `batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from birdbone.core.digest import digest_bytes
from birdbone.core.files import write_atomically
from birdbone.vault.errors import CorruptObjectError, MissingObjectError, UnknownNameError
from birdbone.vault.folder import ObjectKind, Vault, explain_write_errors, make_young, sync_folder
from birdbone.vault.names import is_digest
from birdbone.vault.store.blobs import read_blocks, read_chunks
from birdbone.vault.store.packs import EntryKind, Packs, all_places, find, find_known, forms_of, refresh_index


def put_record(vault: Vault, kind: ObjectKind, content: bytes) -> str:
    """Store a small record durably and return its digest; nothing is written if it is there."""
    digest = digest_bytes(content)
    target = path_of(vault, kind, digest)
    if not (target.is_file() and target.stat().st_size == len(content) and make_young(target)):
        with explain_write_errors(target):
            with write_atomically(target) as stream:
                stream.write(content)
            sync_folder(target.parent.parent)
    return digest


def read_object(vault: Vault, kind: ObjectKind, digest: str) -> bytes:
    """Return the bytes of an object, checked.

    Raises:
        MissingObjectError: it is not there.
        CorruptObjectError: its bytes do not match its digest.
    """
    content = b"".join(_pieces(vault, kind, digest))
    if digest_bytes(content) != digest:
        raise _corrupt(kind, digest)
    return content


def copy_blob(packs: Packs, digest: str, write: Callable[[memoryview], object]) -> None:
    """Give the bytes of a blob to `write` piece by piece and check them; on an error the caller drops what it wrote.

    Raises:
        MissingObjectError: it is not there.
        CorruptObjectError: its bytes do not match its digest.
    """
    check = blake3()
    for piece in read_blocks(packs, digest):
        check.update(piece)
        write(piece)
    if f"b3:{check.hexdigest()}" != digest:
        raise _corrupt("blobs", digest)


def is_intact(vault: Vault, kind: ObjectKind, digest: str) -> bool:
    """Return whether the bytes of an object can be read and match its digest.

    Raises:
        MissingObjectError: it, or a blob that it is a change of, is not there.
    """
    check = blake3()
    try:
        for piece in _pieces(vault, kind, digest):
            check.update(piece)
    except CorruptObjectError:
        return False
    return f"b3:{check.hexdigest()}" == digest


def has_object(vault: Vault, kind: ObjectKind, digest: str) -> bool:
    """Return whether the store has an object of this kind and digest."""
    if kind == "blobs":
        return find(vault, digest, refresh=True) is not None
    return path_of(vault, kind, digest).is_file()


def missing_blobs(vault: Vault, sizes: Mapping[str, int]) -> list[str]:
    """Return those of the blobs, given with their sizes, that the store lacks or holds with another size."""
    refresh_index(vault)
    places = {digest: find_known(vault, digest) for digest in sizes}
    return [digest for digest, place in places.items() if place is None or place.size_bytes != sizes[digest]]


def needed_blobs(packs: Packs, digests: Iterable[str]) -> set[str]:
    """Return the blobs and all that they are read by: chunks, and the chains of what they are changes of.

    Raises:
        MissingObjectError: one of them is not there.
    """
    needed: set[str] = set()
    waiting = list(digests)
    while waiting:
        digest = waiting.pop()
        if digest not in needed:
            needed.add(digest)
            forms = forms_of(packs.vault, digest) or (packs.find(digest),)
            waiting += [place.below for place in forms if place.below]
            if forms[0].kind is EntryKind.CHUNKS:
                waiting += [chunk for chunk, _ in read_chunks(packs, packs.find(digest))]
    return needed


def list_objects(vault: Vault, kind: ObjectKind, *, prefix: str = "") -> Iterator[str]:
    """Yield the digests of all objects of a kind whose hex digits begin with `prefix`, in order."""
    if kind == "blobs":
        found = {place.digest for place in all_places(vault)}
        yield from sorted(digest for digest in found if digest.startswith(f"b3:{prefix}"))
        return
    for folder in sorted((vault.objects / kind).glob(f"{prefix[:2]}*")):
        for path in sorted(folder.glob("*")):
            digest = f"b3:{folder.name}{path.name}"
            if is_digest(digest) and digest.startswith(f"b3:{prefix}"):
                yield digest


def path_of(vault: Vault, kind: ObjectKind, digest: str) -> Path:
    """Return where a record lies or would lie.

    Raises:
        UnknownNameError: `digest` is not a digest.
    """
    if not is_digest(digest):
        raise UnknownNameError(f"{digest!r} is not a digest.", name=digest)
    return vault.objects / kind / digest[3:5] / digest[5:]


def _pieces(vault: Vault, kind: ObjectKind, digest: str) -> Iterator[memoryview]:
    if kind == "blobs":
        with Packs(vault) as packs:
            yield from read_blocks(packs, digest)
        return
    try:
        yield memoryview(path_of(vault, kind, digest).read_bytes())
    except FileNotFoundError as error:
        raise MissingObjectError(f"The store has no object {digest} in {kind}.", digest=digest) from error


def _corrupt(kind: ObjectKind, digest: str) -> CorruptObjectError:
    return CorruptObjectError(f"Object {digest} in {kind} is damaged: its bytes have another digest.", digest=digest)
