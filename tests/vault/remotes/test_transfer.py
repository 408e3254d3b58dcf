"""Blobs of two stores that keep the same bytes in different forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.vault import MissingObjectError, checkout, commit, log, open_vault, put_folder, resolve, verify
from birdbone.vault.remotes import add_remote, clone, fetch, push
from birdbone.vault.remotes import transfer as transfer_module
from birdbone.vault.remotes.catalogue import Holdings
from birdbone.vault.remotes.transfer import plan_transfer
from birdbone.vault.store.packs import EntryKind, Place, all_places

from ..checkpoints import content_of, write_model
from .stores import commit_wave, weights

DIGESTS = [f"b3:{number:064x}" for number in range(1, 5)]


def entry(digest, *, below: Place | None = None, width=4, pack="p") -> Place:
    return Place(
        digest=digest,
        pack=pack,
        offset=0,
        stored_bytes=1,
        size_bytes=8,
        kind=EntryKind.FRAMES,
        width=width,
        depth=below.depth + 1 if below else 0,
        below=below.digest if below else None,
        check=bytes(16),
    )


@st.composite
def stores(draw):
    """Any store that could be: each blob whole, or a change of one that lies less deep, in one of two widths."""
    places: list[Place] = []
    for digest in draw(st.permutations(DIGESTS))[: draw(st.integers(0, 4))]:
        width = draw(st.sampled_from([4, 4, 2]))
        below = draw(st.sampled_from([*(place for place in places if place.width == width), None]))
        places.append(entry(digest, below=below, width=width))
    return places


def whole(place: Place) -> Place:
    return entry(place.digest, width=place.width, pack="q")


def test_an_entry_travels_with_what_it_lies_on_where_that_lies_deeper():
    base = entry(DIGESTS[0])
    change, deep = entry(DIGESTS[1], below=base), entry(DIGESTS[0], below=entry(DIGESTS[2]))
    plan = plan_transfer([DIGESTS[1]], source=Holdings([base, change]), target=Holdings([entry(DIGESTS[2]), deep]))
    assert plan.as_they_lie == (base, change)
    plan = plan_transfer([DIGESTS[1]], source=Holdings([base, change]), target=Holdings([base]))
    assert plan.as_they_lie == (change,)


def test_a_blob_travels_whole_where_what_it_lies_on_has_another_width():
    base = entry(DIGESTS[0])
    change = entry(DIGESTS[1], below=base)
    target = Holdings([entry(DIGESTS[0], width=2)])
    plan = plan_transfer([DIGESTS[1]], source=Holdings([base, change]), target=target)
    assert (plan.as_they_lie, plan.whole) == ((), (change,))


@given(stores(), stores(), stores(), st.data())
def test_what_somebody_else_brings_meanwhile_is_overcome_by_whole_forms(ours, theirs, meanwhile, data):
    source, target = Holdings(ours), Holdings(theirs)
    wanted = data.draw(st.lists(st.sampled_from([place.digest for place in ours]), unique=True)) if ours else []
    plan = plan_transfer(wanted, source=source, target=target)
    there = [*theirs, *meanwhile, *plan.as_they_lie, *(whole(place) for place in plan.whole)]
    again = plan_transfer(wanted, source=source, target=Holdings(there), is_again=True)
    after = Holdings([*there, *(whole(place) for place in again.places)])
    assert all(after.is_readable(digest) for digest in wanted)


@given(stores(), stores(), st.data())
def test_whatever_both_sides_hold_what_is_wanted_can_be_read_after_a_transfer(ours, theirs, data):
    source, target = Holdings(ours), Holdings(theirs)
    assert all(source.is_readable(place.digest) for place in ours)
    wanted = data.draw(st.lists(st.sampled_from([place.digest for place in ours]), unique=True)) if ours else []
    plan = plan_transfer(wanted, source=source, target=target)
    after = Holdings([*theirs, *plan.as_they_lie, *(whole(place) for place in plan.whole)])
    assert all(after.is_readable(digest) for digest in wanted)
    assert all(after.is_readable(place.digest) for place in theirs)
    assert plan_transfer(wanted, source=source, target=after).places == ()
    seen = set()
    for place in plan.as_they_lie:  # what an entry is a change of is there before it
        assert (
            place.below is None
            or place.below in seen
            or target.forms(place.below)
            or place.below in {each.digest for each in plan.whole}
        )
        seen.add(place.digest)


def test_what_the_source_lacks_is_said():
    with pytest.raises(MissingObjectError):
        plan_transfer([DIGESTS[0]], source=Holdings([]), target=Holdings([]))


def test_equal_bytes_of_two_widths_meet_and_both_histories_can_be_read(vault, tmp_path):
    """Zeros of 32 and of 16 bits are the same blob: each side has changes of it that the other's form cannot carry."""
    zeros, sparse = np.zeros((64, 512), "<u2"), np.zeros((64, 512), "<u2")
    sparse[::9, ::7] = 0x3F80
    far = open_vault(tmp_path / "far")
    for store, dtype, branch in ((vault, "BF16", "main"), (far, "F32", "other")):
        shape = (64, 512) if dtype == "BF16" else (64, 256)
        base = None
        for wave, values in enumerate((zeros, sparse)):
            folder = write_model(tmp_path / f"{dtype}-{wave}", config=branch, weights=(dtype, shape, values.tobytes()))
            base = put_folder(store, folder, kind="model", base=base)
            commit(store, base, ref=branch, message=f"{dtype} {wave}")
    push(vault, str(far.folder))
    assert verify(far).is_sound
    add_remote(vault, "far", str(far.folder))
    fetch(vault, "far")
    assert verify(vault).is_sound
    for store, name in ((vault, "main"), (vault, "far/other"), (far, "main"), (far, "other")):
        out = tmp_path / f"out-{store.folder.name}-{name.replace('/', '-')}"
        dtype = "BF16" if name == "main" else "F32"
        assert content_of(checkout(store, name, out)) == content_of(tmp_path / f"{dtype}-1")


def test_two_stores_that_keep_each_others_bases_the_other_way_round_end_in_no_circle(vault, tmp_path):
    dense = weights()
    pruned = np.where(np.abs(dense) < 0.3, np.float32(0), dense)
    far = open_vault(tmp_path / "far")
    for store, order in ((vault, (dense, pruned)), (far, (pruned, dense))):
        base = None
        for wave, values in enumerate(order):
            base = commit_wave(
                store, tmp_path / f"{store.folder.name}-{wave}", values, ref=store.folder.name, base=base
            ).artefact
    push(vault, str(far.folder), ["store"])
    add_remote(vault, "far", str(far.folder))
    fetch(vault, "far")
    for store in (vault, far):
        assert verify(store).is_sound
    assert log(vault, "far/far") == log(far, "far")


def test_a_push_is_cut_into_packs_that_are_not_sent_twice(vault, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_module, "BATCH_BYTES", 100_000)
    commit_wave(vault, tmp_path / "one", weights())
    push(vault, str(tmp_path / "far"))
    far = open_vault(tmp_path / "far")
    assert len(list(far.packs.glob("*.pack"))) >= 3
    assert {place.digest for place in all_places(far)} == {place.digest for place in all_places(vault)}
    copy = clone(str(tmp_path / "far"), tmp_path / "copy")
    assert resolve(copy, "main") == resolve(vault, "main")
    assert verify(copy).is_sound
