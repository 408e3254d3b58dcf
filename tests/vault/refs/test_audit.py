"""Every move is in the audit, and nothing can be changed, taken out or moved in it unseen."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import BadNameError, CorruptObjectError, delete_ref, move_ref, open_vault, read_reflog, set_head
from birdbone.vault.journal import append_line, canonical_line, parse_line, read_journal
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.audit_log import audit_tip, read_entries
from birdbone.vault.refs.notes import add_note, remove_note
from birdbone.vault.refs.permissions import protect

from ..shapes import NOTHING, plant


@pytest.fixture
def versions(vault):
    return plant(vault, [(), (0,), (1,)])


@pytest.fixture
def busy(vault, versions):
    """A store in which everything that is audited has happened."""
    for version in versions:
        move_ref(vault, "main", version, author="Ada")
    move_ref(vault, "main", versions[0], reason="undo", author="Béa \ud800")
    move_ref(vault, "gone", versions[1])
    delete_ref(vault, "gone")
    set_head(vault, "other")
    set_head(vault, versions[2])
    protect(vault, "release/*")
    add_note(vault, "main", "kept")
    remove_note(vault, add_note(vault, "main", "wrong").id)
    return vault


def lines_of(vault):
    return vault.reflog.read_bytes().splitlines(keepends=True)


def test_a_fresh_store_and_a_busy_one_are_whole(vault, versions, busy):
    report = verify_audit(busy)
    assert report.faults == ()
    assert (report.num_lines, report.torn, report.num_beyond_tip, report.cut_off) == (12, "", 0, ())
    assert verify_audit(open_vault(vault.folder.parent / "fresh")).is_whole


def test_each_act_has_its_line(busy, versions):
    acts = [(entry.ref, entry.reason) for entry in read_entries(busy)]
    assert acts[3:9] == [
        ("refs/heads/main", "undo"),
        ("refs/heads/gone", "move"),
        ("refs/heads/gone", "delete"),
        ("HEAD", "switch: to other"),
        ("HEAD", f"switch: to {versions[2]}"),
        ("refs/settings", "protect refs/heads/release/*"),
    ]
    assert {ref for ref, _ in acts[9:]} == {f"refs/notes/{versions[0][3:]}"}
    assert read_entries(busy)[8].detail["protected"] == ["refs/heads/release/*"]


def test_a_line_that_is_changed_removed_repeated_or_put_elsewhere_is_found(busy):
    whole = lines_of(busy)
    for place in range(len(whole)):
        changed = json.loads(whole[place]) | {"author": "Eve"}
        others = whole[:place], whole[place + 1 :]
        forged = [
            [*others[0], canonical_line(changed) + b"\n", *others[1]],
            [*others[0], b" " + whole[place], *others[1]],
            [*others[0], b"\n", *others[1]],
            [*others[0], *others[1]],
            [*others[0], whole[place], whole[place], *others[1]],
        ]
        for lines in forged:
            busy.reflog.write_bytes(b"".join(lines))
            report = verify_audit(busy)
            assert not report.is_whole
            assert report.first_broken_line in (place + 1, place + 2, None)
            if lines is not forged[3] and lines is not forged[4]:
                assert report.first_broken_line == place + 1
    busy.reflog.write_bytes(b"".join(whole))
    assert verify_audit(busy).is_whole


@settings(max_examples=30, deadline=None)
@given(seed=st.integers())
def test_no_reordering_goes_unseen(tmp_path_factory, seed):
    vault = open_vault(tmp_path_factory.getbasetemp() / "reordered" / "store")
    if not vault.reflog.exists():
        for version in plant(vault, [(), (0,), (1,), (2,), (3,)]):
            move_ref(vault, "main", version)
    whole = lines_of(vault)
    mixed = random.Random(seed).sample(whole, len(whole))
    vault.reflog.write_bytes(b"".join(mixed))
    first = next((place for place, line in enumerate(whole, start=1) if mixed[place - 1] != line), None)
    assert verify_audit(vault).first_broken_line == first
    vault.reflog.write_bytes(b"".join(whole))


def test_the_first_broken_line_is_named_and_the_lines_after_it_are_still_checked(busy):
    lines = lines_of(busy)
    for place in (4, 7):
        lines[place] = canonical_line(json.loads(lines[place]) | {"reason": "nothing"}) + b"\n"
    busy.reflog.write_bytes(b"".join(lines))
    assert [fault.line for fault in verify_audit(busy).faults] == [5, 8]


def test_lines_cut_off_the_end_are_found_even_after_the_next_move(busy, versions):
    whole = lines_of(busy)
    for kept in (0, 3, len(whole) - 1):
        busy.reflog.write_bytes(b"".join(whole[:kept]))
        assert not verify_audit(busy).is_whole
    move_ref(busy, "another", versions[0])
    report = verify_audit(busy)
    assert report.first_broken_line == len(whole)
    move_ref(busy, "another", versions[1])
    assert verify_audit(busy).first_broken_line == len(whole)


def test_a_log_that_is_gone_with_its_tip_is_missed(busy):
    busy.reflog.unlink()
    (busy.refs / "reflog-tip.json").unlink()
    messages = " ".join(fault.message for fault in verify_audit(busy).faults)
    assert "refs/heads/main holds" in messages
    assert "HEAD holds" in messages
    assert "refs/settings holds" in messages
    assert "knows nothing" in messages


def test_a_witness_kept_elsewhere_shows_a_store_that_was_rewritten_whole(vault, versions):
    move_ref(vault, "main", versions[0])
    move_ref(vault, "main", versions[1])
    witness = audit_tip(vault)
    move_ref(vault, "main", versions[2])
    assert verify_audit(vault, witness=witness).is_whole
    forged = open_vault(vault.folder.parent / "forged")
    plant(forged, [(), (0,), (1,)])
    for version in versions:
        move_ref(forged, "main", version)
    assert verify_audit(forged).is_whole
    assert verify_audit(forged, witness=witness).first_broken_line == 2


def test_a_ref_head_or_setting_that_was_written_past_the_log_is_found(busy, versions):
    for path, content in (
        (busy.refs / "heads" / "main", versions[1]),
        (busy.refs / "heads" / "unheard", versions[1]),
        (busy.refs / "HEAD", "ref: refs/heads/unheard"),
        (busy.refs / "settings.json", '{"protected": ["other"]}'),
        (busy.refs / "settings.json", "{"),
    ):
        before = path.read_bytes() if path.exists() else None
        path.write_text(content)
        assert not verify_audit(busy).is_whole
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    assert verify_audit(busy).is_whole


def test_a_torn_last_line_is_said_tolerated_and_taken_away_by_the_next_move(busy, versions):
    whole = busy.reflog.read_bytes()
    for cut in (b"{", b'{"at":"2026-01-01', b"\0\0\0"):
        busy.reflog.write_bytes(whole + cut)
        report = verify_audit(busy)
        assert report.is_whole
        assert report.torn == cut.decode()
        assert len(read_entries(busy)) == 12
    move_ref(busy, "main", versions[1])
    assert busy.reflog.read_bytes().startswith(whole)
    assert verify_audit(busy).torn == ""
    assert verify_audit(busy).num_lines == 13


@pytest.mark.parametrize("ends", [b"\n", b""])
def test_a_line_whose_move_a_crash_cut_off_is_said_and_the_log_goes_on(vault, versions, ends):
    move_ref(vault, "main", versions[0])
    tip = (vault.refs / "reflog-tip.json").read_bytes()
    move_ref(vault, "main", versions[1])
    (vault.refs / "reflog-tip.json").write_bytes(tip)
    (vault.refs / "heads" / "main").write_text(f"{versions[0]}\n")
    vault.reflog.write_bytes(vault.reflog.read_bytes().removesuffix(b"\n") + ends)
    report = verify_audit(vault)
    assert report.is_whole
    assert (report.num_beyond_tip, report.cut_off) == (1, ("refs/heads/main",))
    assert [move.new for move in read_reflog(vault, "main")] == [versions[0]]
    move_ref(vault, "main", versions[2])
    assert verify_audit(vault) == verify_audit(open_vault(vault.folder))
    assert (verify_audit(vault).is_whole, verify_audit(vault).num_lines, verify_audit(vault).cut_off) == (True, 3, ())
    assert [move.new for move in read_reflog(vault, "main")] == [versions[0], versions[2]]


def test_a_crash_before_the_first_tip_loses_nothing(vault, versions):
    move_ref(vault, "main", versions[0])
    (vault.refs / "reflog-tip.json").unlink()
    assert verify_audit(vault).is_whole
    move_ref(vault, "main", versions[1])
    assert verify_audit(vault).is_whole


def test_a_tip_that_is_damaged_or_gone_is_said(busy, versions):
    path = busy.refs / "reflog-tip.json"
    path.write_text("{}")
    assert not verify_audit(busy).is_whole
    with pytest.raises(CorruptObjectError, match="reflog-tip"):
        move_ref(busy, "main", versions[1])
    path.unlink()
    assert "tip" in verify_audit(busy).faults[0].message
    move_ref(busy, "main", versions[1])
    assert verify_audit(busy).is_whole


def test_a_refused_move_leaves_no_line(vault, versions):
    with pytest.raises(BadNameError):
        move_ref(vault, "a..b", versions[0])
    move_ref(vault, "main", versions[0])
    with pytest.raises(BadNameError):
        move_ref(vault, "main/child", versions[0])
    move_ref(vault, "main", versions[0])
    assert len(read_entries(vault)) == 1


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.booleans())), st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, values, data):
    path = tmp_path_factory.getbasetemp() / "journal.jsonl"
    path.unlink(missing_ok=True)
    lines = [canonical_line(value) for value in values]
    content = b"".join(line + b"\n" for line in lines)
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    journal = read_journal(path)
    num_whole = sum(1 for end in range(len(lines)) if len(b"\n".join(lines[: end + 1])) <= cut)
    assert journal.lines == tuple(lines[:num_whole])
    size_bytes = append_line(path, canonical_line({"last": 1}), torn=journal.torn)
    assert read_journal(path).lines == (*lines[:num_whole], b'{"last":1}')
    assert size_bytes == path.stat().st_size
    assert [parse_line(line) for line in lines] == values


def test_what_is_no_object_is_no_line():
    for line in (b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000):
        assert parse_line(line) is None
    assert NOTHING not in canonical_line({}).decode()
