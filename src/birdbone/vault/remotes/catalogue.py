"""Which blobs a store or a remote holds, and in which forms; and reading them from a remote by ranges.

A pack never changes under its name, so the end of each of a remote's packs is kept in `remotes/<digits>/`, as a pack
without its entries, and checked like any other index each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from birdbone.core.digest import digest_bytes
from birdbone.core.files import write_atomically
from birdbone.vault.errors import CorruptObjectError, MissingObjectError, RemoteDamagedError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.remotes.transport import Transport
from birdbone.vault.store.blobs import MAX_DEPTH
from birdbone.vault.store.packs import EntryKind, Packs, Place, all_places, read_index

PACKS = "objects/packs"
_HEAD_BYTES = 8
_WIDTHS = (1, 2, 4, 8)
_END_BYTES = 64 << 10  # an index of some 700 blobs; a longer one is read on
_MAX_END_BYTES = 256 << 20


class Holdings:
    """The forms of every blob that can be read with the least work: those that a reader may choose."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._forms: dict[str, tuple[Place, ...]] = {}
        for place in places:
            known = self._forms.get(place.digest, ())
            if not known or place.depth < known[0].depth:
                self._forms[place.digest] = (place,)
            elif place.depth == known[0].depth:
                self._forms[place.digest] = (*known, place)
        self._readable: dict[str, bool] = {}

    def forms(self, digest: str) -> tuple[Place, ...]:
        """Return the forms of a blob that a reader may choose; none if the blob is not held."""
        return self._forms.get(digest, ())

    def is_readable(self, digest: str) -> bool:
        """Return whether the blob is there with all that each of its forms is a change of; no byte of them is read."""
        if digest not in self._readable:
            self._readable[digest] = False  # what leads to itself cannot be read
            forms = self.forms(digest)
            self._readable[digest] = bool(forms) and all(self._has_below(form) for form in forms)
        return self._readable[digest]

    def _has_below(self, form: Place) -> bool:
        if form.below is None:
            return True
        below = self.forms(form.below)
        is_fit = bool(below) and all(fits(form, under) and under.depth < form.depth for under in below)
        return is_fit and form.depth <= MAX_DEPTH and self.is_readable(form.below)


def fits(form: Place, below: Place) -> bool:
    """Return whether a form that is a change of a blob can be read on this form of that blob."""
    return (below.kind, below.width, below.size_bytes) == (EntryKind.FRAMES, form.width, form.size_bytes)


def local_holdings(vault: Vault) -> Holdings:
    """Return what a store holds."""
    return Holdings(all_places(vault))


@dataclass(slots=True)
class RemotePacks(Packs):
    """The packs of a remote; blobs are read from them as from a store, by ranges. Nothing is checked here."""

    transport: Transport = field(kw_only=True)
    places: Mapping[str, Place] = field(kw_only=True)

    def find(self, digest: str) -> Place:
        """Return where the remote holds a blob.

        Raises:
            MissingObjectError: it does not.
        """
        if digest not in self.places:
            raise MissingObjectError(f"The remote has no object {digest} in blobs.", digest=digest)
        return self.places[digest]

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes of an entry.

        Raises:
            CorruptObjectError: the pack is cut short, or gone.
        """
        if offset < 0 or offset + size > place.stored_bytes:
            raise CorruptObjectError(f"Object {place.digest} on the remote is damaged.", digest=place.digest)
        return self.read_range(place.pack, place.offset + offset, size)

    def read_range(self, pack: str, start: int, size: int) -> bytes:
        """Return bytes of a pack. Raises what `read` does."""
        found = b""
        with contextlib.suppress(FileNotFoundError):
            found = self.transport.read(f"{PACKS}/{pack}", start, size)
        if len(found) != size:
            raise CorruptObjectError(f"Pack {pack} of the remote is cut short or gone.", pack=pack)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a remote's packs hold, and which of them have an index that is damaged."""

    packs: RemotePacks
    holdings: Holdings
    broken: tuple[str, ...]


def read_catalogue(vault: Vault, transport: Transport, url: str) -> Catalogue:
    """Return what the packs of a remote hold.

    A pack whose index is damaged counts for nothing: what it holds is sent there again, and taken from elsewhere.
    """
    folder = index_folder(vault, url)
    there = {name.rpartition("/")[2]: size for name, size in transport.sizes(PACKS).items() if name.endswith(".pack")}
    with explain_write_errors(folder), contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name not in there and not path.name.startswith("."):
                path.unlink()
    found: list[Place] = []
    broken: list[str] = []
    for name, size in sorted(there.items()):
        places = _places_of(folder / name, transport, size)
        whole = None if places is None else [place for place in places if place.offset + place.stored_bytes <= size]
        if places is None or whole is None or len(whole) < len(places):
            broken.append(name)
        else:
            found += whole
    holdings = Holdings(found)
    best = {place.digest: holdings.forms(place.digest)[0] for place in found}
    packs = RemotePacks(vault, transport=transport, places=best)
    return Catalogue(packs=packs, holdings=holdings, broken=tuple(broken))


def index_folder(vault: Vault, url: str) -> Path:
    """Return the folder in which the indexes of a remote's packs are kept; it can be removed at any time."""
    return vault.folder / "remotes" / digest_bytes(url.encode())[3:19]


def _places_of(kept: Path, transport: Transport, size: int) -> Sequence[Place] | None:
    """Return the entries of a remote's pack, from what is kept of it or from its end; None if its index is damaged."""
    with contextlib.suppress(FileNotFoundError):
        places, is_sound = _read_index(kept)
        if is_sound:
            return places
    end = _END_BYTES
    while size > _HEAD_BYTES:
        start = max(_HEAD_BYTES, size - end)
        try:
            head = transport.read(f"{PACKS}/{kept.name}", 0, _HEAD_BYTES)
            tail = transport.read(f"{PACKS}/{kept.name}", start, size - start)
        except FileNotFoundError:
            return None  # collected as garbage beside us
        with explain_write_errors(kept), write_atomically(kept) as stream:
            stream.write(head + tail)
        places, is_sound = _read_index(kept)
        if is_sound:
            return places
        if places or end >= min(size, _MAX_END_BYTES):  # the index was long enough, and its digest is another
            kept.unlink()
            return None
        end *= 16
    return None


def _read_index(path: Path) -> tuple[Sequence[Place], bool]:
    """Read an index that a stranger may have written: one that names itself rightly may still make no sense."""
    try:
        places, is_sound = read_index(path)
    except ValueError:  # a kind that does not exist
        return (), False
    return places, is_sound and all(place.width in _WIDTHS for place in places)


def check_has(catalogue: Catalogue, digest: str) -> Place:
    """Return where the remote holds a blob.

    Raises:
        RemoteDamagedError: it should, and does not.
    """
    try:
        return catalogue.packs.find(digest)
    except MissingObjectError as error:
        why = f"; the index of its pack {catalogue.broken[0]} is damaged" if catalogue.broken else ""
        raise RemoteDamagedError(f"The remote lacks the blob {digest}{why}.", digest=digest) from error
