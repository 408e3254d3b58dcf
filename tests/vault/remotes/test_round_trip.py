"""What goes to a remote comes back as it was, and only what is missing travels."""

import numpy as np
import pytest

from birdbone.core.digest import digest_bytes
from birdbone.vault import (
    BadNameError,
    DestinationNotEmptyError,
    RefConflictError,
    UnknownNameError,
    checkout,
    collect_garbage,
    commit,
    delete_ref,
    log,
    move_ref,
    open_vault,
    read_head,
    read_manifest,
    read_ref,
    read_reflog,
    read_version,
    refs,
    resolve,
    verify,
)
from birdbone.vault.errors import (
    AccessDeniedError,
    DivergedError,
    NotABranchError,
    RemoteDamagedError,
    RemoteError,
    TagExistsError,
    UnknownRemoteError,
    UnsafeRemoteError,
    UnsupportedFormatError,
)
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import create_branch, create_tag, switch
from birdbone.vault.refs.permissions import grant, protect, set_default_level
from birdbone.vault.refs.refs import tracking_refs
from birdbone.vault.remotes import add_remote, clone, fetch, fetch_objects, list_remotes, pull, push, remove_remote
from birdbone.vault.remotes.remote import open_remote
from birdbone.vault.roots import root_versions
from birdbone.vault.store.objects import read_object
from birdbone.vault.store.packs import all_places

from ..checkpoints import content_of
from .stores import Counting, Failing, all_that_refs_give, commit_wave, make_waves, memory_url, weights


def pack_bytes(vault):
    return sum(path.stat().st_size for path in vault.packs.glob("*.pack"))


def test_push_and_clone_are_an_identity_on_refs_logs_and_bytes(vault, tmp_path, url):
    make_waves(vault, tmp_path)
    create_branch(vault, "side/one", at="main~2")
    create_tag(vault, "v1", at="main~1")
    told = []
    report = push(vault, url, ["main", "side/one", "v1"], progress=lambda done, total: told.append((done, total)))
    assert {change.ref: change.new for change in report.changes} == refs(vault)
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)
    copy = clone(url, tmp_path / "copy")
    assert read_head(copy) == "refs/heads/main"
    assert tracking_refs(copy) == {
        "refs/remotes/origin/main": resolve(vault, "main"),
        "refs/remotes/origin/side/one": resolve(vault, "side/one"),
    }
    for name in ("main", "v1", "origin/side/one"):
        assert log(copy, name) == log(vault, name.removeprefix("origin/"))
    create_branch(copy, "side/one", at="origin/side/one")
    assert refs(copy) == refs(vault)
    assert all_that_refs_give(copy, tmp_path / "out") == all_that_refs_give(vault, tmp_path / "expected")
    assert verify(copy).is_sound
    assert verify_audit(copy).is_whole


def test_changes_travel_as_changes(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=5)
    push(vault, url)
    copy = clone(url, tmp_path / "copy")
    assert max(place.depth for place in all_places(copy)) == 5
    assert pack_bytes(copy) <= pack_bytes(vault)


def test_a_folder_that_was_pushed_to_is_a_store_like_any_other(vault, tmp_path):
    make_waves(vault, tmp_path)
    push(vault, str(tmp_path / "far"))
    far = open_vault(tmp_path / "far")
    assert refs(far) == refs(vault)
    assert verify(far).is_sound
    assert verify_audit(far).is_whole
    assert [move.reason for move in read_reflog(far, "main")] == ["push"]
    collect_garbage(far, dry_run=False, grace_seconds=0)
    assert content_of(checkout(far, "main", tmp_path / "out")) == content_of(tmp_path / "wave-4")


def test_a_second_push_sends_nothing_and_a_wave_more_sends_a_wave(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=2)
    first = push(vault, url)
    far = []

    def counting(transport):
        far.append(Counting(transport))
        return far[-1]

    again = push(vault, url, wrap=counting)
    assert (again.changes, again.num_blobs, again.num_records, again.size_bytes) == ((), 0, 0, 0)
    assert far[-1].written == []
    pruned = np.where(np.abs(weights()) < 0.4, np.float32(0), weights())
    commit_wave(vault, tmp_path / "next", pruned, base="main")
    third = push(vault, url)
    assert (third.num_blobs, third.num_records) == (1, 2)
    assert third.size_bytes < 0.1 * first.size_bytes


def test_a_branch_at_an_old_version_costs_a_ref_alone(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=2)
    push(vault, url)
    create_branch(vault, "old", at="main~1")
    report = push(vault, url, ["old"])
    assert (len(report.changes), report.size_bytes) == (1, 0)


def test_pull_follows_the_remote_and_brings_only_what_is_missing(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=2)
    push(vault, url)
    copy = clone(url, tmp_path / "copy")
    assert pull(copy).fetched.size_bytes == 0
    values = np.where(np.abs(weights()) < 0.4, np.float32(0), weights())
    commit_wave(vault, tmp_path / "next", values, base="main")
    push(vault, url)
    report = pull(copy)
    assert (report.old, report.new) == (resolve(vault, "main~1"), resolve(vault, "main"))
    assert (report.fetched.num_blobs, report.fetched.num_records) == (1, 2)
    assert content_of(checkout(copy, "main", tmp_path / "out")) == content_of(tmp_path / "next")
    assert read_ref(copy, "refs/remotes/origin/main") == report.new
    assert [move.reason for move in read_reflog(copy, "main")][-1] == "pull: origin"


def test_who_is_behind_may_not_push_and_wins_after_following(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=1)
    push(vault, url)
    copy = clone(url, tmp_path / "copy")
    commit_wave(vault, tmp_path / "ours", weights(1), base="main")
    push(vault, url)
    commit_wave(copy, tmp_path / "theirs", weights(2), base="main")
    with pytest.raises(RefConflictError) as caught:
        push(copy, "origin")
    assert "Pull first" in caught.value.hint
    with pytest.raises(DivergedError) as diverged:
        pull(copy)
    assert (diverged.value.fields["ahead"], diverged.value.fields["behind"]) == (1, 1)
    artefact = read_version(copy, "main").artefact
    commit(copy, artefact, ref="main", message="merge", parents=["main", "origin/main"])
    push(copy, "origin")
    assert pull_again(vault, url) == resolve(copy, "main")


def pull_again(vault, url):
    add_remote(vault, "origin", url)
    return pull(vault).new


def test_force_moves_the_named_ref_and_no_other(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=2)
    create_branch(vault, "side")
    push(vault, url, ["main", "side"])
    for name in ("main", "side"):
        move_ref(vault, name, resolve(vault, "main~1") if name == "main" else resolve(vault, "side~2"))
    with pytest.raises(RefConflictError):
        push(vault, url, ["main", "side"], force=["main"])
    push(vault, url, ["main"], force=["main"])
    push(vault, url, ["side"], force=True)
    assert open_remote(vault, url).table.read().refs == refs(vault)


def test_a_tag_on_the_remote_is_moved_by_force_only_and_one_here_never(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=1)
    create_tag(vault, "v1", at="main~1")
    push(vault, url, ["main", "v1"])
    copy = clone(url, tmp_path / "copy")
    create_tag(vault, "v1", at="main", force=True)
    with pytest.raises(TagExistsError):
        push(vault, url, ["v1"])
    push(vault, url, ["v1"], force=["v1"])
    assert fetch(copy).kept_tags == ("refs/tags/v1",)
    assert read_ref(copy, "refs/tags/v1") == resolve(vault, "v1~1")


def test_protection_holds_on_a_folder_for_a_push_too(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=2)
    push(vault, str(tmp_path / "far"))
    protect(open_vault(tmp_path / "far"), "main")

    grant(open_vault(tmp_path / "far"), "refs/*", "Root", "admin")
    set_default_level(open_vault(tmp_path / "far"), "write", author="Root")
    move_ref(vault, "main", resolve(vault, "main~1"))
    with pytest.raises(AccessDeniedError, match="needs admin"):
        push(vault, str(tmp_path / "far"), force=True, author="Ada")
    push(vault, str(tmp_path / "far"), force=True, author="Root")


def test_fetch_forgets_branches_that_are_gone_only_when_told(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=1)
    create_branch(vault, "side")
    add_remote(vault, "far", str(tmp_path / "far"))
    push(vault, "far", ["main", "side"])

    delete_ref(open_vault(tmp_path / "far"), "side")
    fetch(vault, "far")
    assert "refs/remotes/far/side" in tracking_refs(vault)
    fetch(vault, "far", prune=True)
    assert tracking_refs(vault) == {"refs/remotes/far/main": resolve(vault, "main")}
    assert verify_audit(vault).is_whole
    remove_remote(vault, "far")
    assert (tracking_refs(vault), list_remotes(vault)) == ({}, {})
    assert verify_audit(vault).is_whole


def test_what_was_fetched_is_a_root(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=1)
    push(vault, url)
    other = open_vault(tmp_path / "other")
    add_remote(other, "far", url)
    fetch(other, "far")
    assert refs(other) == {}
    assert root_versions(other) == {resolve(vault, "main")}


def test_objects_are_fetched_by_their_digests(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=3)
    push(vault, url)
    other = open_vault(tmp_path / "other")

    blob = read_manifest(vault, "main").tensors()["weights"].digest
    wanted = [resolve(vault, "main"), read_version(vault, "main").artefact, blob]
    assert fetch_objects(other, url, wanted) == wanted
    assert read_object(other, "blobs", blob) == read_object(vault, "blobs", blob)
    assert fetch_objects(other, url, wanted) == []


@pytest.mark.parametrize("room", [0, 200, 3_000, 40_000, 100_000, 400_000, 700_000])
def test_a_remote_that_stops_half_way_loses_nothing_and_the_next_push_finishes(vault, tmp_path, url, room):
    make_waves(vault, tmp_path, num_waves=1)
    push(vault, url)
    tip = resolve(vault, "main")
    commit_wave(vault, tmp_path / "next", weights(1), base="main")
    commit_wave(vault, tmp_path / "after", weights(2), base="main", more=("F32", (100_000,), bytes(400_000)))
    left = [room]
    try:
        push(vault, url, wrap=lambda inner: Failing(inner, left))
        is_done = True
    except RemoteError:
        is_done = False
    assert open_remote(vault, url).table.read().refs["refs/heads/main"] == (resolve(vault, "main") if is_done else tip)
    push(vault, url)
    copy = clone(url, tmp_path / "copy")
    assert verify(copy).is_sound
    assert content_of(checkout(copy, "main", tmp_path / "out")) == content_of(tmp_path / "after")


def test_a_push_that_a_person_stops_leaves_the_remote_in_order(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=1)
    push(vault, url, ["main"])
    commit_wave(vault, tmp_path / "next", weights(1), base="main")

    class Stopped(Counting):
        def write(self, path, content):
            if "versions/" in path:
                raise KeyboardInterrupt
            super().write(path, content)

    with pytest.raises(KeyboardInterrupt):
        push(vault, url, wrap=Stopped)
    assert open_remote(vault, url).table.read().refs == {"refs/heads/main": resolve(vault, "main~1")}
    assert list(vault.staging.iterdir()) == []
    assert push(vault, url).num_records == 1


def test_a_branch_may_become_a_folder_of_branches(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    create_branch(vault, "wave")
    push(vault, str(tmp_path / "far"), ["main", "wave"])
    copy = clone(str(tmp_path / "far"), tmp_path / "copy")
    far = open_vault(tmp_path / "far")
    delete_ref(far, "wave")
    create_branch(far, "wave/one")
    with pytest.raises(BadNameError, match="folder of the other"):
        fetch(copy)
    fetch(copy, prune=True)
    assert sorted(tracking_refs(copy)) == ["refs/remotes/origin/main", "refs/remotes/origin/wave/one"]


def test_a_clone_that_broke_off_goes_on_when_it_is_made_again(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=3)
    push(vault, url)
    room = 1_000
    while True:
        left = [room]
        try:
            copy = clone(url, tmp_path / "copy", wrap=lambda inner, left=left: Failing(inner, left))
            break
        except RemoteError:
            room *= 4
    assert room > 1_000
    assert log(copy) == log(vault)
    assert verify(copy).is_sound
    with pytest.raises(DestinationNotEmptyError):
        clone(url, tmp_path / "copy")


def test_what_is_not_there_or_is_something_else_is_said(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    with pytest.raises(UnknownRemoteError, match="No remote is called"):
        fetch(vault, "nobody")
    for place in (str(tmp_path / "nowhere"), memory_url()):
        with pytest.raises(UnknownRemoteError, match="no store"):
            clone(place, tmp_path / "copy")
        assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UnknownNameError):
        push(vault, str(tmp_path / "far"), ["nobody"])
    switch(vault, "main", detach=True)
    with pytest.raises(NotABranchError):
        push(vault, str(tmp_path / "far"))
    assert not (tmp_path / "far").exists()
    switch(vault, "main")
    url = memory_url()
    push(vault, url)
    open_remote(vault, url).transport.write("objects/format.json", b'{"format": "birdbone.vault/9"}')
    with pytest.raises(UnsupportedFormatError):
        push(vault, url)


def test_a_store_that_ignores_conditions_is_refused_before_a_ref_moves(vault, tmp_path):
    class Careless(Counting):
        def create(self, path, content):
            self.inner.write(path, content)
            return True

    make_waves(vault, tmp_path, num_waves=0)
    url = memory_url()
    with pytest.raises(UnsafeRemoteError):
        push(vault, url, wrap=Careless)
    assert open_remote(vault, url).table.read().refs == {}


def test_a_state_of_refs_that_leads_out_of_the_store_is_refused(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    url = memory_url()
    push(vault, url)
    transport = open_remote(vault, url).transport
    (path,) = transport.sizes("refs/journal")
    line, *_ = transport.read(path).replace(b"refs/heads/main", b"refs/heads/../../x").split(b"\n")
    transport.write(path, line + b"\n" + digest_bytes(line).encode() + b"\n")
    add_remote(vault, "far", url)
    with pytest.raises(RemoteDamagedError):
        fetch(vault, "far")
