"""Blobs on their way between a store and a remote.

An entry travels as it lies, with what it is a change of, so a version costs on the way what it costs at home. Forms of
one blob may differ on the two sides; so that no chain ever leads in a circle or grows too long, an entry of depth d
travels only to where the blob below it lies less than d deep, or with it. Where the other side holds that blob in a
form on which the entry cannot be read (another width), the blob travels whole. Each entry is read and checked against
its digest first: before it leaves, and, when it comes, before it is kept.

Packs are cut at `BATCH_BYTES`, so that what is broken off costs at most that much the second time.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from birdbone.vault.errors import CorruptObjectError, MissingObjectError, RemoteDamagedError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.remotes.catalogue import Catalogue, Holdings, RemotePacks, fits
from birdbone.vault.store.blobs import is_sound, read_chunks
from birdbone.vault.store.entries import copy_entry, write_whole
from birdbone.vault.store.packs import EntryKind, Packs, PackWriter, Place

BATCH_BYTES = 64 << 20
_COPY_BYTES = 8 << 20
_MAX_RUN_BYTES = 16 << 20
_MAX_GAP_BYTES = 64 << 10  # two entries that lie this near are read at once: a request costs more than these bytes

Report = Callable[[int, int], None]
"""Is told how many bytes are done and how many there are to do, as far as is known yet."""


@dataclass(slots=True)
class Progress:
    """Bytes done of bytes to do, told to whoever listens."""

    report: Report | None
    done: int = 0
    total: int = 0

    def expect(self, size_bytes: int) -> None:
        """There is so much more to do."""
        self.total += size_bytes
        self.add(0)

    def add(self, size_bytes: int) -> None:
        """So much more is done."""
        self.done += size_bytes
        if self.report is not None:
            self.report(self.done, self.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan:
    """What is to travel: entries as they lie, what they are changes of first, and blobs that travel whole."""

    as_they_lie: tuple[Place, ...] = ()
    whole: tuple[Place, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them."""
        return (*self.whole, *self.as_they_lie)

    @property
    def size_bytes(self) -> int:
        """What their entries take where they come from."""
        return sum(place.stored_bytes for place in self.places)


def plan_transfer(wanted: Iterable[str], *, source: Holdings, target: Holdings, is_again: bool = False) -> TransferPlan:
    """Return what must travel so that `target` can read all of `wanted`.

    Args:
        is_again: what travelled as it lies did not help, because somebody else brought other forms: send it whole.

    Raises:
        MissingObjectError: `source` lacks one of them, or what it is a change of.
    """
    taken: dict[str, Place] = {}
    whole: dict[str, Place] = {}
    waiting = [digest for digest in wanted if not target.is_readable(digest)]
    while waiting:
        digest = waiting.pop()
        if digest in taken or digest in whole:
            continue
        if not source.forms(digest):
            raise MissingObjectError(f"The blob {digest} is not where it was to come from.", digest=digest)
        place = source.forms(digest)[0]
        under = target.forms(place.below) if place.below else ()
        if place.below and (is_again or not all(fits(place, form) for form in under)):
            whole[digest] = place
            continue
        taken[digest] = place
        is_low = bool(under) and all(form.depth < place.depth for form in under)
        if place.below and not (is_low and target.is_readable(place.below)):
            waiting.append(place.below)
    order = sorted(
        taken.values(), key=lambda place: (place.kind is EntryKind.CHUNKS, place.depth, place.pack, place.offset)
    )
    return TransferPlan(as_they_lie=tuple(order), whole=tuple(whole.values()))


def with_chunks(wanted: Iterable[str], *, packs: Packs, holdings: Holdings) -> list[str]:
    """Return the blobs and the chunks of those that are files in chunks, by what `packs` say of them."""
    found: dict[str, None] = {}
    for digest in wanted:
        for place in holdings.forms(digest)[:1]:
            if place.kind is EntryKind.CHUNKS:
                found.update((chunk, None) for chunk, _ in read_chunks(packs, place))
        found[digest] = None
    return list(found)


@dataclass(frozen=True)
class Outbox(Vault):
    """A store whose finished packs lie in a folder of their own: those that are to be sent away."""

    sending: Path = Path()

    @cached_property
    def packs(self) -> Path:
        """Folder of the packs that were finished."""
        return self.sending


def send_blobs(
    vault: Vault, plan: TransferPlan, send: Callable[[str, Path], None], *, progress: Progress
) -> tuple[int, int]:
    """Return how many blobs and bytes were given to `send`, as packs by name and file, each of which then goes.

    Raises:
        CorruptObjectError, MissingObjectError: an entry is damaged here; it was not sent, nor what comes after it.
    """
    sent = 0
    with Packs(vault) as packs, tempfile.TemporaryDirectory(dir=vault.staging, prefix="outbox-") as sending:
        outbox = Outbox(vault.folder, sending=Path(sending))
        for batch in _batches(plan.places):
            writer = PackWriter(outbox)
            try:
                with explain_write_errors(outbox.staging):
                    for place in batch:
                        _pack_one(packs, writer, packs.find(place.digest), is_whole=place in plan.whole)
                    name = writer.finish()
                if name is not None:
                    sent += (outbox.packs / name).stat().st_size
                    send(name, outbox.packs / name)
                    (outbox.packs / name).unlink(missing_ok=True)
            finally:
                writer.abort()
            progress.add(sum(place.stored_bytes for place in batch))
    return len(plan.places), sent


def receive_blobs(vault: Vault, catalogue: Catalogue, plan: TransferPlan, *, progress: Progress) -> int:
    """Return how many bytes were fetched, after the blobs of a plan were checked and stored durably.

    What is damaged on the remote is left there; all else is kept before that is said.

    Raises:
        RemoteDamagedError: it names the first that is damaged.
    """
    damaged: list[str] = []
    for batch in _batches(plan.as_they_lie):
        damaged += _receive_batch(vault, catalogue.packs, batch, progress=progress)
    for place in plan.whole:
        if not store_whole(vault, catalogue.packs, place):
            damaged.append(place.digest)
        progress.add(place.stored_bytes)
    if damaged:
        raise RemoteDamagedError(
            f"{len(damaged)} of the blobs on the remote are damaged, {damaged[0]} among them; they were not kept.",
            digest=damaged[0],
            digests=damaged,
        )
    return plan.size_bytes


def store_whole(vault: Vault, packs: Packs, place: Place, *, width: int | None = None) -> bool:
    """Store a blob that `packs` hold as a form of its own; False, and nothing stored, if its bytes are damaged."""
    writer = PackWriter(vault)
    try:
        with explain_write_errors(vault.packs):
            is_sound = write_whole(packs, writer, place, width=width)
            writer.finish()
        return is_sound
    finally:
        writer.abort()


def _pack_one(packs: Packs, writer: PackWriter, place: Place, *, is_whole: bool) -> None:
    is_written = False
    if is_whole:
        is_written = write_whole(packs, writer, place)
    elif is_sound(packs, place):
        copy_entry(packs, writer, place)
        is_written = True
    if not is_written:
        raise CorruptObjectError(
            f"Object {place.digest} in blobs is damaged; it was not sent.",
            hint="Heal it from a remote that has it, or put the same content again.",
            digest=place.digest,
        )


@dataclass(slots=True)
class Spool(Packs):
    """Entries that came but are not kept yet, in one file, before the packs of the store."""

    path: Path = field(kw_only=True)
    arrived: dict[str, Place] = field(default_factory=dict)

    def find(self, digest: str) -> Place:
        """Return where a blob lies: among what came and was found good, else in the store."""
        return self.arrived.get(digest) or Packs.find(self, digest)

    def read(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes of an entry."""
        if place.pack != self.path.name:
            return Packs.read(self, place, offset, size)
        if offset < 0 or offset + size > place.stored_bytes:
            raise CorruptObjectError(f"Object {place.digest} came damaged.", digest=place.digest)
        with self.path.open("rb") as stream:
            stream.seek(place.offset + offset)
            return stream.read(size)


def _receive_batch(vault: Vault, remote: RemotePacks, batch: Sequence[Place], *, progress: Progress) -> list[str]:
    """Fetch a batch, keep what is good in one pack, and return what is damaged on the remote."""
    writer, damaged = PackWriter(vault), []
    path = vault.staging / f"fetch-{secrets.token_hex(8)}"
    spool = Spool(vault, path=path)
    with explain_write_errors(vault.staging), spool:
        try:
            staged = _download(remote, batch, path, progress=progress)
            for place in batch:
                came = staged.get(place.digest)
                if came is not None and is_sound(spool, came):
                    spool.arrived[place.digest] = came
                    copy_entry(spool, writer, came)
                elif not write_whole(remote, writer, place):  # damaged may be what it lies on here, not what came
                    damaged.append(place.digest)
            writer.finish()
        finally:
            writer.abort()
            path.unlink(missing_ok=True)
    return damaged


def _download(remote: RemotePacks, batch: Sequence[Place], path: Path, *, progress: Progress) -> dict[str, Place]:
    """Fetch entries into one file and return where they lie in it; one that the remote cannot give whole is left out.

    Entries that lie near each other in a pack are fetched by one read.
    """
    staged: dict[str, Place] = {}
    with path.open("xb") as stream:
        for run in _runs(batch):
            first, start = run[0], stream.tell()
            size = run[-1].offset + run[-1].stored_bytes - first.offset
            with contextlib.suppress(CorruptObjectError):
                for offset in range(0, size, _COPY_BYTES):
                    part = min(_COPY_BYTES, size - offset)
                    stream.write(remote.read_range(first.pack, first.offset + offset, part))
                for place in run:
                    offset = start + place.offset - first.offset
                    staged[place.digest] = replace(place, pack=path.name, offset=offset)
            progress.add(sum(place.stored_bytes for place in run))
    return staged


def _runs(batch: Sequence[Place]) -> Iterator[list[Place]]:
    run: list[Place] = []
    for place in sorted(batch, key=lambda place: (place.pack, place.offset)):
        if run and not (
            place.pack == run[-1].pack
            and 0 <= place.offset - run[-1].offset - run[-1].stored_bytes <= _MAX_GAP_BYTES
            and place.offset + place.stored_bytes - run[0].offset <= _MAX_RUN_BYTES
        ):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _batches(places: Sequence[Place]) -> Iterator[list[Place]]:
    batch: list[Place] = []
    size_bytes = 0
    for place in places:
        if batch and size_bytes + place.stored_bytes > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(place)
        size_bytes += place.stored_bytes
    if batch:
        yield batch
