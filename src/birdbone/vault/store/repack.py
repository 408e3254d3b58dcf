"""Packs made anew: without what nothing needs, without what is damaged, and smaller where nobody reads in a hurry.

A new pack is durable before an old one is taken away, so a crash leaves a blob twice at worst. Entries are copied as
they are, unread; one that is compressed anew is checked against its digest first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from birdbone.vault.folder import Vault, explain_write_errors, sync_folder
from birdbone.vault.store.blobs import open_blob
from birdbone.vault.store.codec.frames import BLOCK_BYTES
from birdbone.vault.store.codec.planes import shrinks
from birdbone.vault.store.entries import copy_entry, write_whole
from birdbone.vault.store.packs import EntryKind, Packs, PackWriter, Place, all_places, forms_of

_WORTH = 0.95  # a raw blob that shrinks to less than this is worth writing again
_GROUP_BYTES = 2 << 30  # of old packs are made anew at a time: as much room is needed before it is won
_MANY_PACKS = 64
_SMALL_PACK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RepackPlan:
    """Which packs are to be made anew, and what goes with them."""

    packs: tuple[str, ...]
    dead: tuple[str, ...]
    """Digests of blobs that nothing needs."""
    dropped_bytes: int
    """What their entries take, and entries that another form of the same blob stands before."""
    cold: frozenset[str]
    """Blobs that are raw, are not read in a hurry, and would shrink."""
    ages: Mapping[str, int]
    """When each pack was last put into or found useful, in nanoseconds: one that became young since stays."""


def plan_repack(packs: Packs, names: Collection[str], *, needed: Collection[str], hot: Collection[str]) -> RepackPlan:
    """Return what is to be done with the packs `names` so that what is `needed` stays, and only `hot` stays raw."""
    places = [place for place in all_places(packs.vault) if place.pack in names]
    dropped = [place for place in places if place.digest not in needed or _is_second(packs, place)]
    cold = [place for place in places if place.digest in needed and place.digest not in hot and _is_cold(packs, place)]
    small = [name for name in names if (packs.vault.packs / name).stat().st_size < _SMALL_PACK_BYTES]
    crowd = small if len(small) > _MANY_PACKS else []
    return RepackPlan(
        packs=tuple(sorted({place.pack for place in (*dropped, *cold)} | set(crowd))),
        dead=tuple(sorted({place.digest for place in dropped if place.digest not in needed})),
        dropped_bytes=sum(place.stored_bytes for place in dropped),
        cold=frozenset(place.digest for place in cold),
        ages={name: (packs.vault.packs / name).stat().st_mtime_ns for name in names},
    )


def repack(packs: Packs, plan: RepackPlan, *, needed: Collection[str]) -> int:
    """Carry a plan out and return how many bytes the store became smaller by."""
    alive = {place.pack for place in all_places(packs.vault) if place.digest in needed}
    freed = _unlink(packs.vault, [name for name in plan.packs if name not in alive], plan.ages)
    for group in _groups(packs.vault, [name for name in plan.packs if name in alive]):
        made = _write_anew(
            packs, group, keep=lambda place: place.digest in needed and not _is_second(packs, place), cold=plan.cold
        )
        freed += _unlink(packs.vault, [name for name in group if name != made], plan.ages)
        freed -= (packs.vault.packs / made).stat().st_size if made and made not in group else 0
    return freed


def _groups(vault: Vault, names: Iterable[str]) -> Iterator[list[str]]:
    """Yield the packs in groups that are not too large together, the smallest first."""
    group: list[str] = []
    total = 0
    for size, name in sorted(((vault.packs / name).stat().st_size, name) for name in names):
        if group and total + size > _GROUP_BYTES:
            yield group
            group, total = [], 0
        group.append(name)
        total += size
    if group:
        yield group


def drop_entries(packs: Packs, places: Iterable[Place], *, also: Iterable[str] = ()) -> None:
    """Make the packs of `places`, and those named `also`, anew without these entries; `set-aside/` keeps the old."""
    damaged = {(place.pack, place.offset) for place in places}
    for name in sorted({pack for pack, _ in damaged} | set(also)):
        made = _write_anew(packs, [name], keep=lambda place: (place.pack, place.offset) not in damaged, cold=())
        if made != name:
            _set_pack_aside(packs.vault, name)


def _set_pack_aside(vault: Vault, name: str) -> None:
    folder = vault.objects / "set-aside"
    with explain_write_errors(folder), contextlib.suppress(FileNotFoundError):
        folder.mkdir(exist_ok=True)
        os.replace(vault.packs / name, folder / name)
        sync_folder(vault.packs)


def _write_anew(
    packs: Packs, names: Iterable[str], *, keep: Callable[[Place], bool], cold: Collection[str]
) -> str | None:
    """Write one pack of all that is kept of several, and return its name."""
    chosen = set(names)
    writer = PackWriter(packs.vault)
    try:
        with explain_write_errors(packs.vault.packs):
            for place in all_places(packs.vault):
                if place.pack not in chosen or not keep(place) or writer.has(place.digest):
                    continue
                if not (place.digest in cold and write_whole(packs, writer, place, is_cold=True)):
                    copy_entry(packs, writer, place)
            return writer.finish()
    finally:
        writer.abort()


def _is_second(packs: Packs, place: Place) -> bool:
    """Return whether another form of the blob, whose bytes are whole, stands before this one."""
    forms = forms_of(packs.vault, place.digest)
    if len(forms) < 2:
        return False
    best = next((form for form in forms if packs.is_whole(form)), forms[0])
    return (best.pack, best.offset) != (place.pack, place.offset)


def _is_cold(packs: Packs, place: Place) -> bool:
    """Return whether a blob lies raw and would shrink."""
    num_blocks = -(-place.size_bytes // BLOCK_BYTES)
    raw_bytes = place.size_bytes + 5 * num_blocks + 4  # a byte of form and four of size a block, and no update
    if place.kind is not EntryKind.FRAMES or place.stored_bytes != raw_bytes or not num_blocks:
        return False
    reader = open_blob(packs, place.digest, place=place)
    return shrinks(reader.block(reader.num_blocks // 2), to=_WORTH)


def _unlink(vault: Vault, names: Iterable[str], ages: Mapping[str, int]) -> int:
    """Take packs away but for those that became young meanwhile, and return their bytes."""
    freed = 0
    with explain_write_errors(vault.packs):
        for name in names:
            path = vault.packs / name
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if found.st_mtime_ns == ages[name]:
                    path.unlink()
                    freed += found.st_size
        sync_folder(vault.packs)
    return freed
