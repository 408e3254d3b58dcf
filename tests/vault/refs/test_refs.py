"""A ref moves only from where the mover believes it to be, and every move is written down."""

import json

import pytest

from birdbone.vault import (
    BadNameError,
    CorruptObjectError,
    MissingObjectError,
    ReadOnlyVaultError,
    RefConflictError,
    UnknownNameError,
    UnsupportedFormatError,
    VaultBusyError,
    commit,
    delete_ref,
    move_ref,
    open_vault,
    put_folder,
    read_head,
    read_ref,
    read_reflog,
    refs,
    resolve,
    set_head,
    verify,
)
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock

from ..checkpoints import float32, write_model

NOBODY = "b3:" + "0" * 64


@pytest.fixture
def versions(vault, tmp_path):
    artefact = put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")
    return [commit(vault, artefact, ref="main", message=str(number)).id for number in range(3)]


def test_a_ref_moves_back_and_forth_and_the_log_says_so(vault, versions):
    move_ref(vault, "main", versions[0], expected=versions[2], reason="undo: perplexity rose", author="judge")
    assert resolve(vault, "main") == versions[0]
    last = read_reflog(vault, "main")[-1]
    assert (last.old, last.new, last.reason, last.author) == (
        versions[2],
        versions[0],
        "undo: perplexity rose",
        "judge",
    )


def test_each_entry_of_the_log_begins_where_the_one_before_it_ended(vault, versions):
    move_ref(vault, "main", versions[1])
    moves = read_reflog(vault, "main")
    assert [move.old for move in moves] == [None, *(move.new for move in moves[:-1])]


@pytest.mark.parametrize("expected", [None, NOBODY])
def test_a_move_from_elsewhere_is_refused_and_changes_nothing(vault, versions, expected):
    with pytest.raises(RefConflictError) as caught:
        move_ref(vault, "main", versions[0], expected=expected)
    assert caught.value.fields["found"] == versions[2]
    assert resolve(vault, "main") == versions[2]
    assert len(read_reflog(vault)) == 3


def test_a_ref_cannot_point_at_what_is_not_there(vault, versions):
    with pytest.raises(MissingObjectError):
        move_ref(vault, "main", NOBODY)


def test_a_tag_is_made_once(vault, versions):
    move_ref(vault, "refs/tags/v1", versions[1], expected=None)
    with pytest.raises(RefConflictError):
        move_ref(vault, "refs/tags/v1", versions[2], expected=None)
    assert refs(vault) == {"refs/heads/main": versions[2], "refs/tags/v1": versions[1]}


def test_a_deleted_ref_is_gone_and_its_name_is_free_for_a_folder(vault, versions):
    move_ref(vault, "a/b", versions[0])
    delete_ref(vault, "a/b", expected=versions[0])
    assert read_ref(vault, "a/b") is None
    move_ref(vault, "a", versions[0])
    assert read_reflog(vault, "a/b")[-1].new is None


def test_deleting_what_is_not_there_or_has_moved_is_refused(vault, versions):
    with pytest.raises(UnknownNameError):
        delete_ref(vault, "nobody")
    with pytest.raises(RefConflictError):
        delete_ref(vault, "main", expected=versions[0])
    assert resolve(vault, "main") == versions[2]


@pytest.mark.parametrize("name", ["main/child", "main/a/b"])
def test_a_ref_cannot_be_a_folder_of_another(vault, versions, name):
    with pytest.raises(BadNameError, match="beside"):
        move_ref(vault, name, versions[0])


def test_head_stands_for_a_branch(vault, versions):
    assert read_head(vault) == "refs/heads/main"
    assert resolve(vault, "HEAD") == versions[2]
    set_head(vault, "other")
    assert read_ref(vault, "HEAD") is None
    with pytest.raises(UnknownNameError):
        resolve(vault, "HEAD")
    move_ref(vault, "HEAD", versions[0])
    assert refs(vault)["refs/heads/other"] == versions[0]


def test_a_damaged_ref_is_said_and_not_followed(vault, versions):
    (vault.refs / "heads" / "main").write_bytes(b"\0" * 20)
    with pytest.raises(CorruptObjectError, match="refs/heads/main"):
        resolve(vault, "main")
    assert not verify(vault).is_sound


def test_a_line_that_a_crash_tore_does_not_spoil_the_log(vault, versions):
    with vault.reflog.open("ab") as stream:
        stream.write(b'{"at": "2026-01-')
    move_ref(vault, "main", versions[0])
    assert [move.new for move in read_reflog(vault)] == [*versions, versions[0]]


def test_the_leftover_of_a_crash_beside_a_ref_is_no_ref(vault, versions):
    (vault.refs / "heads" / ".main.x1y2").write_text("half")
    assert set(refs(vault)) == {"refs/heads/main"}


def test_a_lock_that_another_holds_is_waited_for_and_then_said(vault, versions):
    impatient = Vault(vault.folder, lock_timeout_seconds=0.05)
    with hold_lock(vault), pytest.raises(VaultBusyError):
        move_ref(impatient, "main", versions[0])
    move_ref(impatient, "main", versions[0])


def test_a_store_opened_again_is_the_same_store(vault, versions):
    assert refs(open_vault(vault.folder)) == {"refs/heads/main": versions[2]}


@pytest.mark.parametrize("content", [b'{"format": "birdbone.vault/9"}', b"{", b"[]"])
def test_a_store_of_another_generation_is_left_alone(vault, content):
    (vault.objects / "format.json").write_bytes(content)
    with pytest.raises(UnsupportedFormatError):
        open_vault(vault.folder)


def test_a_store_that_cannot_be_written_is_said_in_one_error(tmp_path):
    with pytest.raises(ReadOnlyVaultError) as caught, explain_write_errors(tmp_path):
        raise PermissionError(13, "Permission denied")
    assert json.dumps(caught.value.to_dict())
