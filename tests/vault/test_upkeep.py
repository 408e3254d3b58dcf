"""Garbage is what nothing needs; what a ref, its history or a recent undo needs is never garbage."""

import os

import pytest

from birdbone.vault import (
    CorruptObjectError,
    checkout,
    collect_garbage,
    commit,
    delete_ref,
    log,
    move_ref,
    put_folder,
    verify,
)

from .checkpoints import content_of, float32, object_files, write_model


@pytest.fixture
def put(vault, tmp_path):
    def put_values(*values: float) -> str:
        name = "-".join(map(str, values))
        return put_folder(vault, write_model(tmp_path / name, same=float32(7.0), a=float32(*values)), kind="model")

    return put_values


def test_what_refs_and_their_history_reach_survives(vault, put, tmp_path):
    for value in (1.0, 2.0, 3.0):
        commit(vault, put(value), ref="main", message=str(value))
    before = object_files(vault)
    assert collect_garbage(vault, dry_run=False, grace_seconds=-1).num_objects == 0
    assert object_files(vault) == before
    for version in log(vault, "main"):
        checkout(vault, version.id, tmp_path / "out" / version.id)
    assert verify(vault).is_sound


def test_what_was_put_and_never_committed_is_taken_away_but_not_what_is_shared(vault, put, tmp_path):
    commit(vault, put(1.0), ref="main", message="kept")
    kept = object_files(vault)
    put(2.0)
    rehearsal = collect_garbage(vault, dry_run=True, grace_seconds=-1)
    assert len(object_files(vault)) == len(kept) + 2  # a pack with one tensor, and the manifest
    taken = collect_garbage(vault, dry_run=False, grace_seconds=-1)
    assert object_files(vault) == kept
    assert (taken.num_objects, taken.digests) == (2, rehearsal.digests)
    assert taken.size_bytes > rehearsal.size_bytes  # with the index of the pack that went
    assert content_of(checkout(vault, "main", tmp_path / "out")) == content_of(tmp_path / "1.0")


def test_what_was_put_just_now_is_left_for_its_commit(vault, put):
    artefact = put(1.0)
    assert collect_garbage(vault, dry_run=False).num_objects == 0
    commit(vault, artefact, ref="main", message="in time")


def test_content_that_is_put_again_becomes_young_again(vault, put):
    artefact = put(1.0)
    for path in object_files(vault):
        os.utime(path, (0, 0))
    put(1.0)
    collect_garbage(vault, dry_run=False, grace_seconds=60)
    commit(vault, artefact, ref="main", message="in time")


def test_an_undone_version_is_kept_for_a_while_and_then_taken_away(vault, put):
    good = commit(vault, put(1.0), ref="main", message="good")
    bad = commit(vault, put(2.0), ref="main", message="bad")
    move_ref(vault, "main", good.id, reason="undo")
    assert collect_garbage(vault, dry_run=False, grace_seconds=-1).num_objects == 0
    taken = collect_garbage(vault, dry_run=False, grace_seconds=-1, keep_undone_days=0)
    assert {bad.id, bad.artefact} <= set(taken.digests)
    assert [version.id for version in log(vault, "main")] == [good.id]
    assert verify(vault).is_sound


def test_a_deleted_branch_is_kept_for_a_while_too(vault, put):
    made = commit(vault, put(1.0), ref="gone", message="first")
    delete_ref(vault, "gone")
    assert collect_garbage(vault, dry_run=True, grace_seconds=-1).num_objects == 0
    assert made.id in collect_garbage(vault, dry_run=True, grace_seconds=-1, keep_undone_days=0).digests


def test_nothing_is_removed_from_a_damaged_store(vault, put):
    version = commit(vault, put(1.0), ref="main", message="first")
    put(2.0)
    path = vault.objects / "artefacts" / version.artefact[3:5] / version.artefact[5:]
    path.write_bytes(b"{}")
    before = object_files(vault)
    with pytest.raises(CorruptObjectError):
        collect_garbage(vault, dry_run=False, grace_seconds=-1)
    assert object_files(vault) == before


def test_what_a_crash_left_half_written_is_swept_away(vault, put):
    version = commit(vault, put(1.0), ref="main", message="first")
    leftovers = [
        vault.staging / "tmpabc",
        vault.refs / "heads" / ".main.abc",
        (vault.objects / "versions" / version.id[3:5]) / ".x.abc",
    ]
    for path in leftovers:
        path.write_bytes(b"half")
    collect_garbage(vault, dry_run=False, grace_seconds=60)
    assert all(path.exists() for path in leftovers)
    collect_garbage(vault, dry_run=False, grace_seconds=-1)
    assert not any(path.exists() for path in leftovers)
    assert verify(vault).is_sound


def test_verify_counts_what_it_read_and_says_what_a_ref_lacks(vault, put):
    commit(vault, put(1.0), ref="main", message="first")
    report = verify(vault)
    assert report.is_sound
    assert report.num_objects == 6  # version, manifest, configuration, header and two tensors
    assert 0 < report.size_bytes < sum(path.stat().st_size for path in object_files(vault))
    next(vault.packs.iterdir()).unlink()
    report = verify(vault)
    assert not report.is_sound
    assert len(report.faults) == 4
    assert report.faults[0].startswith("refs/heads/main: ")
