"""Packs made anew: without what nothing needs, without what is damaged, and smaller where nobody reads in a hurry.

A new pack is durable before an old one is taken away, so a crash leaves a blob twice at worst. Entries are copied as
they are, unread; one that is compressed anew is checked against its digest first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from birdbone.vault.blobs import open_blob
from birdbone.vault.codec.frames import encode_whole
from birdbone.vault.codec.planes import shrinks
from birdbone.vault.folder import Vault, explain_write_errors, sync_folder
from birdbone.vault.packs import EntryKind, Packs, PackWriter, Place, all_places, find

_COPY_BYTES = 8 << 20
_RAW_SHARE = 0.95  # an entry this near to the size of its blob is raw
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


def plan_repack(packs: Packs, names: Collection[str], *, needed: Collection[str], hot: Collection[str]) -> RepackPlan:
    """Return what is to be done with the packs `names` so that what is `needed` stays, and only `hot` stays raw."""
    places = [place for place in all_places(packs.vault) if place.pack in names]
    dropped = [place for place in places if place.digest not in needed or _is_second(packs.vault, place)]
    cold = [place for place in places if place.digest in needed and place.digest not in hot and _is_cold(packs, place)]
    small = [name for name in names if (packs.vault.packs / name).stat().st_size < _SMALL_PACK_BYTES]
    crowd = small if len(small) > _MANY_PACKS else []
    return RepackPlan(
        packs=tuple(sorted({place.pack for place in (*dropped, *cold)} | set(crowd))),
        dead=tuple(sorted({place.digest for place in dropped if place.digest not in needed})),
        dropped_bytes=sum(place.stored_bytes for place in dropped),
        cold=frozenset(place.digest for place in cold),
    )


def repack(packs: Packs, plan: RepackPlan, *, needed: Collection[str]) -> int:
    """Carry a plan out and return how many bytes the store became smaller by."""
    before = sum((packs.vault.packs / name).stat().st_size for name in plan.packs)
    made = _write_anew(
        packs,
        plan.packs,
        keep=lambda place: place.digest in needed and not _is_second(packs.vault, place),
        cold=plan.cold,
    )
    _unlink(packs.vault, (name for name in plan.packs if name != made))
    return before - ((packs.vault.packs / made).stat().st_size if made else 0)


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
                if not (place.digest in cold and _write_cold(packs, writer, place)):
                    _copy(packs, writer, place)
            return writer.finish()
    finally:
        writer.abort()


def _copy(packs: Packs, writer: PackWriter, place: Place) -> None:
    writer.begin()
    for offset in range(0, place.stored_bytes, _COPY_BYTES):
        writer.write(packs.read(place, offset, min(_COPY_BYTES, place.stored_bytes - offset)))
    writer.end(
        place.digest,
        size_bytes=place.size_bytes,
        kind=place.kind,
        width=place.width,
        depth=place.depth,
        below=place.below,
    )


def _write_cold(packs: Packs, writer: PackWriter, place: Place) -> bool:
    """Write a blob in its smallest form of its own; False, and nothing written, if its bytes are damaged."""
    reader = open_blob(packs, place.digest, place=place)
    check, sizes = blake3(), []
    writer.begin()
    for index in range(reader.num_blocks):
        block = reader.block(index)
        check.update(block.data.cast("B"))
        frame = encode_whole(block, is_cold=True)
        writer.write(frame)
        sizes.append(len(frame))
    if f"b3:{check.hexdigest()}" != place.digest:
        return False
    writer.write(np.array([*sizes, 0], "<u4").tobytes())
    writer.end(place.digest, size_bytes=place.size_bytes, kind=EntryKind.FRAMES, width=place.width)
    return True


def _is_second(vault: Vault, place: Place) -> bool:
    """Return whether another form of the blob stands before this one."""
    best = find(vault, place.digest)
    return best is not None and (best.pack, best.offset) != (place.pack, place.offset)


def _is_cold(packs: Packs, place: Place) -> bool:
    """Return whether a blob lies raw and would shrink."""
    is_raw = place.kind is EntryKind.FRAMES and place.below is None
    if not is_raw or place.stored_bytes < _RAW_SHARE * place.size_bytes or not place.size_bytes:
        return False
    reader = open_blob(packs, place.digest, place=place)
    return shrinks(reader.block(reader.num_blocks // 2), to=_RAW_SHARE)


def _unlink(vault: Vault, names: Iterable[str]) -> None:
    with explain_write_errors(vault.packs):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (vault.packs / name).unlink()
        sync_folder(vault.packs)
