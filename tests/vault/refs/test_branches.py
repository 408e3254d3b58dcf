"""Branches, tags, `HEAD` and names of versions mean what they mean in git."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import (
    BadNameError,
    CorruptObjectError,
    MissingObjectError,
    RefConflictError,
    UnknownNameError,
    commit,
    log,
    move_ref,
    open_vault,
    put_folder,
    read_head,
    read_ref,
    read_reflog,
    refs,
    resolve,
    set_head,
)
from birdbone.vault.errors import BranchInUseError, NotABranchError, TagExistsError, UnmergedBranchError
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import (
    Branch,
    Head,
    Tag,
    create_branch,
    create_tag,
    delete_branch,
    delete_tag,
    describe_head,
    list_branches,
    list_tags,
    rename_branch,
    switch,
)
from birdbone.vault.roots import root_versions

from ..checkpoints import float32, write_model
from ..shapes import NOTHING, plant


@pytest.fixture
def ids(vault):
    planted = plant(vault, [(), (0,), (1,), (0,)])
    move_ref(vault, "main", planted[0])
    move_ref(vault, "main", planted[2])
    return planted


@pytest.fixture
def artefact(vault, tmp_path):
    return put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")


def test_a_branch_is_made_at_head_or_where_it_is_told_and_listed(vault, ids):
    assert create_branch(vault, "here") == Branch(name="here", version=ids[2], is_current=False)
    create_branch(vault, "topic/there", at="main~2")
    assert list_branches(vault) == [
        Branch(name="here", version=ids[2], is_current=False),
        Branch(name="main", version=ids[2], is_current=True),
        Branch(name="topic/there", version=ids[0], is_current=False),
    ]


def test_a_branch_that_is_there_is_moved_only_by_force_and_never_under_head(vault, ids):
    create_branch(vault, "topic", at=ids[0])
    with pytest.raises(RefConflictError):
        create_branch(vault, "topic", at=ids[1])
    create_branch(vault, "topic", at=ids[1], force=True)
    with pytest.raises(BranchInUseError):
        create_branch(vault, "main", at=ids[1], force=True)
    assert refs(vault) == {"refs/heads/main": ids[2], "refs/heads/topic": ids[1]}


def test_a_renamed_branch_takes_head_along_and_its_old_name_is_free(vault, ids):
    rename_branch(vault, "main", "trunk")
    assert describe_head(vault) == Head(branch="trunk", version=ids[2])
    assert refs(vault) == {"refs/heads/trunk": ids[2]}
    create_branch(vault, "main")
    with pytest.raises(UnknownNameError):
        rename_branch(vault, "nobody", "somebody")
    rename_branch(vault, "main", "main")
    assert verify_audit(vault).is_whole


def test_a_rename_onto_another_branch_is_refused_unless_forced(vault, ids):
    create_branch(vault, "old", at=ids[3])
    with pytest.raises(RefConflictError):
        rename_branch(vault, "old", "main")
    switch(vault, "old")
    rename_branch(vault, "old", "main", force=True)
    assert refs(vault) == {"refs/heads/main": ids[3]}
    assert read_head(vault) == "refs/heads/main"


def test_a_branch_is_deleted_if_its_versions_stay_reached_or_by_force(vault, ids):
    create_branch(vault, "merged", at=ids[1])
    create_branch(vault, "alone", at=ids[3])
    assert delete_branch(vault, "merged") == ids[1]
    with pytest.raises(UnmergedBranchError):
        delete_branch(vault, "alone")
    create_tag(vault, "kept", at="alone")
    assert delete_branch(vault, "alone") == ids[3]
    create_branch(vault, "alone", at=ids[3])
    delete_tag(vault, "kept")
    assert delete_branch(vault, "alone", force=True) == ids[3]
    with pytest.raises(BranchInUseError):
        delete_branch(vault, "main", force=True)
    with pytest.raises(UnknownNameError):
        delete_branch(vault, "nobody")


def test_a_tag_is_never_moved_unless_that_is_forced(vault, ids):
    assert create_tag(vault, "v1", at="main~1") == Tag(name="v1", version=ids[1])
    assert create_tag(vault, "refs/tags/v1", at=ids[1]) == Tag(name="v1", version=ids[1])
    for act in (lambda: create_tag(vault, "v1"), lambda: move_ref(vault, "refs/tags/v1", ids[2])):
        with pytest.raises(TagExistsError):
            act()
    assert list_tags(vault) == [Tag(name="v1", version=ids[1])]
    create_tag(vault, "v1", at="main", force=True)
    assert read_ref(vault, "refs/tags/v1") == ids[2]
    assert delete_tag(vault, "v1") == ids[2]
    with pytest.raises(UnknownNameError):
        delete_tag(vault, "v1")


def test_a_commit_does_not_move_a_tag(vault, artefact):
    commit(vault, artefact, ref="refs/tags/v1", message="made with the tag")
    with pytest.raises(TagExistsError):
        commit(vault, artefact, ref="refs/tags/v1", message="again")


def test_switch_moves_head_and_a_commit_follows_it(vault, artefact):
    first = commit(vault, artefact, ref="HEAD", message="first")
    assert switch(vault, "topic", create=True) == Head(branch="topic", version=first.id)
    second = commit(vault, artefact, ref="HEAD", message="second")
    assert switch(vault, "main") == Head(branch="main", version=first.id)
    assert refs(vault) == {"refs/heads/main": first.id, "refs/heads/topic": second.id}
    assert switch(vault, "-").branch == "topic"
    assert switch(vault, "-").branch == "main"
    with pytest.raises(RefConflictError):
        switch(vault, "topic", create=True)


def test_a_store_without_versions_can_switch_to_a_branch_that_the_first_commit_makes(vault, artefact):
    assert switch(vault, "trunk", create=True) == Head(branch="trunk", version=None)
    with pytest.raises(UnknownNameError):
        switch(vault, "main")
    commit(vault, artefact, ref="HEAD", message="first")
    assert [branch.name for branch in list_branches(vault)] == ["trunk"]


def test_a_detached_head_stands_for_a_version_and_commits_go_on_from_it(vault, ids, artefact):
    assert switch(vault, "main~1", detach=True) == Head(branch=None, version=ids[1])
    assert read_head(vault) == "HEAD"
    made = commit(vault, artefact, ref="HEAD", message="loose")
    assert made.parents == (ids[1],)
    assert describe_head(vault) == Head(branch=None, version=made.id)
    assert refs(vault) == {"refs/heads/main": ids[2]}
    assert made.id in root_versions(vault)
    assert [resolve(vault, name) for name in ("HEAD", "@", "HEAD~1", "HEAD@{1}", "@{1}")] == [
        made.id,
        made.id,
        ids[1],
        ids[1],
        ids[1],
    ]
    assert create_branch(vault, "found") == Branch(name="found", version=made.id, is_current=False)
    assert switch(vault, "-") == Head(branch="main", version=ids[2])
    assert verify_audit(vault).is_whole


def test_a_tag_or_version_is_no_branch_to_switch_to(vault, ids):
    create_tag(vault, "v1")
    for name in ("v1", ids[0][3:12], "main~1"):
        with pytest.raises((NotABranchError, BadNameError)):
            switch(vault, name)
    with pytest.raises(UnknownNameError):
        switch(vault, "nobody")
    with pytest.raises(UnknownNameError):
        switch(vault, "-")
    for act in (create_branch, delete_branch):
        with pytest.raises(NotABranchError):
            act(vault, "refs/tags/v1")
    with pytest.raises(MissingObjectError):
        set_head(vault, NOTHING)
    assert read_head(vault) == "refs/heads/main"


@pytest.mark.parametrize("name", ["..", "a\0b", ".hidden", "-x", "a..b", "a~1", "HEAD", "", "x.lock"])
def test_an_unsafe_name_makes_nothing(vault, ids, name):
    for act in (create_branch, create_tag):
        with pytest.raises(BadNameError):
            act(vault, name)
    with pytest.raises(BadNameError):
        switch(vault, name, create=True)
    with pytest.raises(BadNameError):
        rename_branch(vault, "main", name)
    assert refs(vault) == {"refs/heads/main": ids[2]}


def test_the_log_of_a_ref_answers_where_it_was(vault, ids):
    move_ref(vault, "main", ids[1], reason="undo")
    assert [resolve(vault, f"main@{{{back}}}") for back in range(3)] == [ids[1], ids[2], ids[0]]
    for name in ("main@{3}", "main@{4}", "nobody@{1}", "v1@{0}", "@{-1}", "main@{-1}", "a..b@{1}"):
        with pytest.raises(UnknownNameError):
            resolve(vault, name)
    create_tag(vault, "main", at=ids[3])
    assert resolve(vault, "main@{0}") == ids[3]
    assert resolve(vault, "refs/heads/main@{1}~1") == ids[1]


def test_a_deleted_branch_can_be_found_by_its_log(vault, ids):
    create_branch(vault, "topic", at=ids[3])
    delete_branch(vault, "topic", force=True)
    with pytest.raises(UnknownNameError):
        resolve(vault, "topic")
    assert create_branch(vault, "topic", at="topic@{1}").version == ids[3]


def test_the_log_of_head_has_switches_and_the_moves_of_its_branch(vault, ids):
    create_branch(vault, "topic", at=ids[3])
    switch(vault, "topic")
    move_ref(vault, "main", ids[1], reason="not under HEAD")
    move_ref(vault, "topic", ids[0], reason="under HEAD")
    switch(vault, "main")
    moves = [(move.old, move.new) for move in read_reflog(vault, "HEAD")]
    assert moves == [(None, ids[0]), (ids[0], ids[2]), (ids[2], ids[3]), (ids[3], ids[0]), (ids[0], ids[1])]
    assert [resolve(vault, f"HEAD@{{{back}}}") for back in range(5)] == [ids[1], ids[0], ids[3], ids[2], ids[0]]
    assert resolve(vault, "@{-1}") == ids[0]
    assert resolve(vault, "@{-2}") == ids[1]


@pytest.mark.parametrize("name", ["main~3", "main^2", "main^^^^", "main~999999999", "main~1000000000", "main^{}", "~1"])
def test_a_step_that_leads_nowhere_is_said(vault, ids, name):
    for find in (resolve, log):
        with pytest.raises(UnknownNameError):
            find(vault, name)


def test_a_range_without_a_side_means_head(vault, ids):
    create_branch(vault, "side", at=ids[3])
    assert log(vault, "side..") == log(vault, "side..main")
    assert log(vault, "..side") == log(vault, "main..side")
    assert [version.id for version in log(vault, "side..", limit=1)] == [ids[2]]
    for name in ("nobody..main", "main..nobody", "main....side", "main..side..main", "..", "..."):
        with pytest.raises(UnknownNameError):
            log(vault, name)


@settings(deadline=None)
@given(st.text("main@{}~^.-0129/bc:", max_size=14) | st.text(max_size=14))
def test_any_text_is_a_version_or_unknown(tmp_path_factory, text):
    vault = open_vault(tmp_path_factory.getbasetemp() / "any text" / "store")
    if not refs(vault):
        for version in plant(vault, [(), (0,), (0, 1)]):
            move_ref(vault, "main", version)
    known = set(read_log_of(vault))
    with contextlib.suppress(UnknownNameError):
        assert resolve(vault, text) in known
    with contextlib.suppress(UnknownNameError):
        assert known.issuperset(version.id for version in log(vault, text))


def read_log_of(vault) -> list[str]:
    return [version.id for version in log(vault, "refs/heads/main")]


@pytest.mark.parametrize("content", [b"", b"\0\0", b"ref: refs/heads/../x", b"ref: refs/tags/..", b"b3:00"])
def test_a_damaged_head_is_said_and_not_followed(vault, ids, content):
    (vault.refs / "HEAD").write_bytes(content)
    if not content:
        (vault.refs / "HEAD").unlink()
    for act in (lambda: read_head(vault), lambda: resolve(vault, "HEAD"), lambda: move_ref(vault, "HEAD", ids[0])):
        with pytest.raises(CorruptObjectError, match="HEAD"):
            act()
    switch(vault, "main")
    assert resolve(vault, "HEAD") == ids[2]
