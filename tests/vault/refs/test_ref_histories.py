"""Whatever is done to refs in whatever order: the store says what a plain model says, and the audit stays whole."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from birdbone.vault import (
    RefConflictError,
    UnknownNameError,
    move_ref,
    open_vault,
    read_head,
    read_ref,
    read_reflog,
    refs,
    resolve,
    set_head,
)
from birdbone.vault.errors import BranchInUseError, TagExistsError
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import create_branch, create_tag, delete_branch, delete_tag, rename_branch, switch

from ..shapes import plant

LINE = [(), (0,), (1,), (1,)]
branches = st.sampled_from(["main", "topic", "release/1"])
places = st.integers(0, len(LINE) - 1)


class RefHistory(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.vault = open_vault(Path(self.folder.name) / "store")
        self.ids = plant(self.vault, LINE)
        self.refs: dict[str, str] = {}
        self.head = "refs/heads/main"
        self.head_log: list[str | None] = [None]
        self.moves = dict.fromkeys(["refs/heads/main", "refs/heads/topic", "refs/heads/release/1", "refs/tags/v1"], 0)

    def teardown(self):
        self.folder.cleanup()

    def put(self, full, version):
        if self.refs.get(full) != version:
            self.moves[full] += 1
            self.refs = {ref: held for ref, held in self.refs.items() if ref != full} | (
                {full: version} if version else {}
            )
            if full == self.head:
                self.head_log.append(version)

    def point(self, head):
        if head != self.head:
            self.head = head
            self.head_log.append(self.refs.get(head, head if head.startswith("b3:") else None))

    @rule(name=branches, place=places)
    def move(self, name, place):
        move_ref(self.vault, name, self.ids[place])
        self.put(f"refs/heads/{name}", self.ids[place])

    @rule(name=branches, place=places, believed=places)
    def compare_and_move(self, name, place, believed):
        full = f"refs/heads/{name}"
        if self.refs.get(full) == self.ids[believed]:
            move_ref(self.vault, name, self.ids[place], expected=self.ids[believed])
            self.put(full, self.ids[place])
        else:
            with pytest.raises(RefConflictError):
                move_ref(self.vault, name, self.ids[place], expected=self.ids[believed])

    @rule(name=branches, place=places)
    def make(self, name, place):
        full = f"refs/heads/{name}"
        if full in self.refs:
            with pytest.raises(RefConflictError):
                create_branch(self.vault, name, at=self.ids[place])
        else:
            create_branch(self.vault, name, at=self.ids[place])
            self.put(full, self.ids[place])

    @rule(name=branches)
    def delete(self, name):
        full = f"refs/heads/{name}"
        if full not in self.refs or full == self.head:
            with pytest.raises(UnknownNameError if full not in self.refs else BranchInUseError):
                delete_branch(self.vault, name, force=True)
        else:
            assert delete_branch(self.vault, name, force=True) == self.refs[full]
            self.put(full, None)

    @rule(old=branches, new=branches)
    def rename(self, old, new):
        source, target = f"refs/heads/{old}", f"refs/heads/{new}"
        if source not in self.refs:
            with pytest.raises(UnknownNameError):
                rename_branch(self.vault, old, new)
        elif source != target and target not in self.refs:
            rename_branch(self.vault, old, new)
            self.put(target, self.refs[source])
            if self.head == source:
                self.point(target)
            self.put(source, None)

    @rule(place=places, force=st.booleans())
    def tag(self, place, force):
        held = self.refs.get("refs/tags/v1")
        if held in (None, self.ids[place]) or force:
            create_tag(self.vault, "v1", at=self.ids[place], force=force)
            self.put("refs/tags/v1", self.ids[place])
        else:
            with pytest.raises(TagExistsError):
                create_tag(self.vault, "v1", at=self.ids[place])

    @precondition(lambda self: "refs/tags/v1" in self.refs)
    @rule()
    def untag(self):
        delete_tag(self.vault, "v1")
        self.put("refs/tags/v1", None)

    @rule(name=branches)
    def switch_to(self, name):
        set_head(self.vault, name)
        self.point(f"refs/heads/{name}")

    @rule(place=places)
    def detach(self, place):
        switch(self.vault, self.ids[place], detach=True)
        self.point(self.ids[place])

    @precondition(lambda self: self.head.startswith("b3:"))
    @rule(place=places)
    def move_detached(self, place):
        move_ref(self.vault, "HEAD", self.ids[place])
        self.point(self.ids[place])

    @invariant()
    def the_store_says_what_the_model_says(self):
        assert refs(self.vault) == self.refs
        assert read_head(self.vault) == ("HEAD" if self.head.startswith("b3:") else self.head)
        assert read_ref(self.vault, "HEAD") == self.head_log[-1]

    @invariant()
    def every_move_is_in_its_log(self):
        for full, number in self.moves.items():
            moves = read_reflog(self.vault, full)
            assert len(moves) == number
            assert [move.old for move in moves] == [None, *(move.new for move in moves[:-1])][: len(moves)]
            assert not moves or moves[-1].new == self.refs.get(full)
        assert [move.new for move in read_reflog(self.vault, "HEAD")] == self.head_log[1:]
        for back, version in enumerate(reversed(self.head_log)):
            if version:
                assert resolve(self.vault, f"HEAD@{{{back}}}") == version

    @invariant()
    def the_audit_is_whole(self):
        report = verify_audit(self.vault)
        assert (report.faults, report.cut_off, report.num_beyond_tip, report.torn) == ((), (), 0, "")


TestRefHistory = RefHistory.TestCase
TestRefHistory.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
