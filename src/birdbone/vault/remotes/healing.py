"""Healing: damaged or missing objects come back from any remote that holds them intact.

A healed blob is stored as a form of its own, never as a change of another, since what it would be a change of may be a
change of it. Only what is damaged itself comes anew: what lies on a blob that was healed is read again first, and is
mostly sound then. The packs with the damaged entries are made anew without them; `set-aside/` keeps the old ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from birdbone.vault.artefacts import checkout
from birdbone.vault.errors import (
    CorruptObjectError,
    MissingObjectError,
    NotHealedError,
    RemoteDamagedError,
    RemoteError,
    VaultError,
)
from birdbone.vault.folder import RECORD_KINDS, ObjectKind, Vault, hold_lock
from birdbone.vault.loading import load_manifest, load_version
from birdbone.vault.names import is_digest
from birdbone.vault.refs.lookup import read_manifest
from birdbone.vault.remotes.catalogue import Catalogue
from birdbone.vault.remotes.fetching import fetch_record, store_record
from birdbone.vault.remotes.remote import Remote, open_remote
from birdbone.vault.remotes.settings import list_remotes
from birdbone.vault.remotes.transfer import store_whole
from birdbone.vault.remotes.transport import Wrap, unsealed
from birdbone.vault.roots import root_versions
from birdbone.vault.store.blobs import is_sound, read_chunks
from birdbone.vault.store.objects import has_object, is_intact
from birdbone.vault.store.packs import EntryKind, Packs, Place, all_places, broken_packs, forget_index
from birdbone.vault.store.repack import drop_entries
from birdbone.vault.upkeep import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class HealReport:
    """What was healed, what no remote has intact, and which remotes failed, with why.

    `healed` gives by digest the remote that it came from; nothing where another form in the store was found intact.
    """

    healed: dict[str, str]
    not_healed: tuple[str, ...]
    failed_remotes: dict[str, str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to heal."""
        return not self.not_healed


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedCheckout:
    """A checkout, and what had to be healed for it, by digest, from which remote."""

    path: Path
    healed: dict[str, str]


def heal(
    vault: Vault,
    digests: Iterable[str] | None = None,
    *,
    remotes: Sequence[str] | None = None,
    wrap: Wrap = unsealed,
) -> HealReport:
    """Return what was healed, after each damaged or missing object was fetched from a remote, checked and stored.

    Args:
        digests: versions, manifests and blobs; those of them that are intact cost a look. None means the whole store:
            all that `verify` finds damaged, and all that the roots of the store reach and that is missing.
        remotes: names or URLs, asked in this order; None means all that the store knows.

    Raises:
        UnknownRemoteError: a remote in `remotes` is not known.
        DiskFullError, ReadOnlyVaultError: the store cannot take them.
    """
    names = list(list_remotes(vault)) if remotes is None else list(remotes)
    healer = _Healer(vault=vault, names=names, wrap=wrap)
    forget_index(vault)
    if digests is None:
        healer.heal_all()
    else:
        healer.heal_these(list(dict.fromkeys(digests)))
    return healer.report()


def checkout_healing(
    vault: Vault, name: str, destination: Path, *, remotes: Sequence[str] | None = None, wrap: Wrap = unsealed
) -> HealedCheckout:
    """Return what `checkout` gives, and what was healed for it: what is damaged or missing comes from the remotes.

    Nothing is used unchecked: a file appears only when each of its objects was found good in this store.

    Raises:
        NotHealedError: no remote holds an object intact; nothing was written to `destination`.
        DestinationNotEmptyError, UnknownNameError: as `checkout`.
    """
    healed: dict[str, str] = {}
    while True:
        try:
            return HealedCheckout(path=checkout(vault, name, destination), healed=healed)
        except (CorruptObjectError, MissingObjectError) as error:
            wanted = _needed_for(vault, name, error)
            report = heal(vault, wanted, remotes=remotes, wrap=wrap)
            if report.not_healed or not report.healed:
                left = report.not_healed or tuple(wanted)
                raise NotHealedError(
                    f"{error.message} No remote holds {left[0] if left else 'it'} intact.",
                    digests=list(left),
                    failed_remotes=report.failed_remotes,
                ) from error
            healed |= report.healed


def _needed_for(vault: Vault, name: str, error: VaultError) -> list[str]:
    """Return what a checkout needs: the blobs of its manifest or, where that cannot be read, what the error names.

    An error may name a blob that never was, out of an index that is damaged; so the manifest comes first.
    """
    try:
        return list(read_manifest(vault, name).blobs())
    except VaultError:
        digest = error.fields.get("digest")
        return [digest] if isinstance(digest, str) and is_digest(digest) else []


@dataclass(slots=True, kw_only=True)
class _Healer:
    """One act of healing: what came from where, and what could not come."""

    vault: Vault
    names: Sequence[str]
    wrap: Wrap
    healed: dict[str, str] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    _opened: dict[str, tuple[Remote, Catalogue]] = field(default_factory=dict)
    _known: dict[str, list[Place]] | None = None  # until a pack is made anew

    def report(self) -> HealReport:
        """Return what was done."""
        lost = tuple(digest for digest in self.lost if digest not in self.healed)
        return HealReport(healed=dict(self.healed), not_healed=lost, failed_remotes=dict(self.failed))

    def heal_all(self) -> None:
        """Heal what `verify` finds, and what the roots reach and is missing."""
        corrupt = [digest for digest in verify(self.vault).corrupt if is_digest(digest)]
        for digest in corrupt:
            for kind in RECORD_KINDS:
                if has_object(self.vault, kind, digest):
                    self._heal_record(kind, digest)
        needed = self._walk_roots()
        held = self._forms()
        there = [digest for digest in corrupt if digest in held]
        self._heal_blobs([*needed, *there], needed=set(needed), damaged=set(corrupt))

    def heal_these(self, digests: Sequence[str]) -> None:
        """Heal the objects of these digests, whatever they are."""
        blobs = []
        held = self._forms()
        for digest in digests:
            kind = next((kind for kind in RECORD_KINDS if has_object(self.vault, kind, digest)), None)
            if kind is not None:
                if not is_intact(self.vault, kind, digest):
                    self._heal_record(kind, digest)
            elif digest in held or not self._heal_record(None, digest):
                blobs.append(digest)
        self._heal_blobs(blobs, needed=set(blobs), damaged=None)

    def _walk_roots(self) -> list[str]:
        """Return the blobs that the roots need; versions and manifests on the way are healed where they must."""
        waiting, seen, blobs = sorted(root_versions(self.vault)), set(), {}
        while waiting:
            version = waiting.pop()
            if version in seen:
                continue
            seen.add(version)
            if not self._ensure_record("versions", version):
                continue
            record = load_version(self.vault, version)
            waiting += record.parents
            if record.artefact not in seen and self._ensure_record("artefacts", record.artefact):
                blobs.update(load_manifest(self.vault, record.artefact).blobs())
            seen.add(record.artefact)
        return list(blobs)

    def _ensure_record(self, kind: ObjectKind, digest: str) -> bool:
        is_held = has_object(self.vault, kind, digest) and is_intact(self.vault, kind, digest)
        return is_held or self._heal_record(kind, digest)

    def _heal_record(self, kind: ObjectKind | None, digest: str) -> bool:
        """Fetch a record from the first remote that has it intact; of any kind if none is given."""
        for name, remote, _ in self._remotes():
            try:
                found, content = fetch_record(remote, digest, (kind,) if kind else RECORD_KINDS)
            except (MissingObjectError, RemoteDamagedError):
                continue
            except RemoteError as error:
                self.failed[name] = error.message
                continue
            store_record(self.vault, found, content)
            self.healed[digest] = name
            return True
        if kind is not None:
            self.lost[digest] = None
        return False

    def _heal_blobs(self, digests: Sequence[str], *, needed: Collection[str], damaged: Collection[str] | None) -> None:
        """Heal blobs, and first what they are changes of and their chunks.

        Args:
            needed: those that something needs: of another, a damaged index may only say that it was there.
            damaged: the blobs of this store that are, if that is known; the others then need no reading.
        """
        for digest, width in self._in_order(digests):
            places = self._forms().get(digest, [])
            if places and damaged is not None and digest not in damaged:
                continue
            bad = [place for place in places if not self._is_sound(place)]
            if places and not bad:
                continue
            if len(bad) < len(places):
                self.healed[digest] = ""
            elif not self._fetch_whole(digest, width=width):
                if digest in needed or not {place.pack for place in bad} <= set(broken_packs(self.vault)):
                    self.lost[digest] = None
                continue
            self._drop(bad)
        self._drop_broken()
        for digest in list(self.healed):
            if has_object(self.vault, "blobs", digest) and not is_intact(self.vault, "blobs", digest):
                del self.healed[digest]
                self.lost[digest] = None

    def _forms(self) -> dict[str, list[Place]]:
        if self._known is None:
            self._known = {}
            for place in all_places(self.vault):
                self._known.setdefault(place.digest, []).append(place)
        return self._known

    def _drop(self, bad: Sequence[Place], *, also: Iterable[str] = ()) -> None:
        """Make the packs of damaged entries anew without them, so that nobody reads these in place of healed ones."""
        if bad or also:
            with hold_lock(self.vault), Packs(self.vault) as packs:
                drop_entries(packs, bad, also=also)
            forget_index(self.vault)
            self._known = None

    def _drop_broken(self) -> None:
        broken = broken_packs(self.vault)
        places = [place for place in all_places(self.vault) if place.pack in broken]
        self._drop([place for place in places if not self._is_sound(place)], also=broken)

    def _in_order(self, digests: Sequence[str]) -> list[tuple[str, int | None]]:
        """Return blobs, what they are read by first, each with the width that its readers need."""
        forms = self._forms()
        order: dict[str, tuple[bool, int]] = {}
        widths: dict[str, int] = {}
        waiting = list(digests)
        while waiting:
            digest = waiting.pop()
            if digest in order:
                continue
            places = forms.get(digest, [])
            is_chunked = any(place.kind is EntryKind.CHUNKS for place in places)
            order[digest] = (is_chunked, max((place.depth for place in places), default=-1))
            for place in places:
                widths.setdefault(digest, place.width)
                if place.below is not None:
                    widths[place.below] = place.width
                    waiting.append(place.below)
                if place.kind is EntryKind.CHUNKS:
                    waiting += self._chunks(place, held=forms)
        return [(digest, widths.get(digest)) for digest in sorted(order, key=lambda digest: (*order[digest], digest))]

    def _chunks(self, place: Place, *, held: Collection[str]) -> list[str]:
        """Return the chunks of a file; what a damaged list says of chunks that are nowhere is left out."""
        with Packs(self.vault) as packs, contextlib.suppress(CorruptObjectError):
            return [chunk for chunk, _ in read_chunks(packs, place) if chunk in held]
        return []

    def _is_sound(self, place: Place) -> bool:
        with Packs(self.vault) as packs:
            return is_sound(packs, place)

    def _fetch_whole(self, digest: str, *, width: int | None) -> bool:
        for name, _, catalogue in self._remotes():
            try:
                for place in catalogue.holdings.forms(digest):
                    if store_whole(self.vault, catalogue.packs, place, width=width):
                        self.healed[digest] = name
                        return True
            except RemoteError as error:
                self.failed[name] = error.message
        return False

    def _remotes(self) -> Iterator[tuple[str, Remote, Catalogue]]:
        """Yield the remotes that answer; one that fails is noted and asked no more."""
        for name in self.names:
            if name in self.failed:
                continue
            try:
                if name not in self._opened:
                    remote = open_remote(self.vault, name, wrap=self.wrap)
                    self._opened[name] = (remote, remote.catalogue())
            except VaultError as error:
                self.failed[name] = error.message
                continue
            yield name, *self._opened[name]
