"""A decision is written down before anything is done, is made once, and a person's answer is kept with it."""

import datetime as dt
import json

import pytest

from birdbone.vault import checkout, log, move_ref, read_ref, read_version
from birdbone.vault.errors import BrokenDecisionLogError, DecisionError
from birdbone.vault.reverting import (
    AnswerEntry,
    DecisionEntry,
    OutcomeEntry,
    RevertRules,
    answer_decision,
    pending_decisions,
    read_decisions,
)
from birdbone.vault.reverting.decisions import append_entry, decision_log
from birdbone.vault.reverting.engine import Answer, decide, run_engine

from ..checkpoints import content_of
from .lines import grow

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
RULE = {"kind": "threshold", "name": "jump", "measurement": "perplexity", "limit": 0.03, "for_waves": 2}


def rules_of(**more) -> RevertRules:
    return RevertRules.model_validate({"format": "birdbone.revert-rules/1", "rules": [{**RULE, **more}]})


def kinds(vault) -> list[str]:
    return [entry.kind for entry in read_decisions(vault)]


def test_a_regression_is_undone_and_the_ref_is_byte_equal_to_the_last_good_version(vault, tmp_path):
    made = grow(vault, "main", [10, 10.1, 11, 11])
    result = run_engine(vault, "main", rules_of(), now=NOW)
    assert (result.state, result.version.parents, result.version.time) == ("reverted", (made[3].id,), NOW)
    now, then = (content_of(checkout(vault, name, tmp_path / str(name))) for name in ("main", made[1].id))
    assert now == then
    entries = read_decisions(vault)
    assert [type(entry) for entry in entries] == [DecisionEntry, OutcomeEntry]
    kept = entries[0].decision
    assert kept == result.decision
    assert kept.preview["equals"] == made[1].id
    assert [evidence.run_id for evidence in kept.judgement.findings[0].trial] == ["run-perplexity"] * 2
    assert entries[1].version == result.version.id
    assert "jump: perplexity is 11" in result.version.message


def test_a_quiet_history_is_noted_once_and_left_alone(vault):
    made = grow(vault, "main", [10, 10.1])
    for now in (NOW, LATER):
        assert run_engine(vault, "main", rules_of(), now=now).state == "kept"
    assert (kinds(vault), read_ref(vault, "main")) == (["decision"], made[1].id)
    assert decide(vault, "main", rules_of()).id == read_decisions(vault)[0].id


def test_after_a_revert_the_engine_is_content(vault):
    grow(vault, "main", [10, 11, 11])
    run_engine(vault, "main", rules_of(), now=NOW)
    tip = read_ref(vault, "main")
    assert run_engine(vault, "main", rules_of(), now=NOW).state == "kept"
    assert read_ref(vault, "main") == tip


def test_a_decision_waits_for_a_person_and_is_carried_out_once(vault):
    made = grow(vault, "main", [10, 11, 11])
    rules = rules_of(approval="required")
    for _ in range(2):
        assert run_engine(vault, "main", rules, now=NOW).state == "waiting"
    (waiting,) = pending_decisions(vault)
    assert read_ref(vault, "main") == made[2].id
    answer_decision(vault, waiting.id, answer="approve", by="Ada", reason="It hurts", now=LATER)
    assert pending_decisions(vault) == []
    assert run_engine(vault, "main", rules, now=LATER).state == "reverted"
    assert kinds(vault) == ["decision", "answer", "outcome"]
    said = read_decisions(vault)[1]
    assert isinstance(said, AnswerEntry)
    assert (said.by, said.reason, said.at) == ("Ada", "It hurts", LATER)
    assert read_version(vault, "main").artefact == made[0].artefact
    with pytest.raises(DecisionError):
        answer_decision(vault, waiting.id, answer="deny", by="Bob", reason="", now=LATER)


def test_a_denied_revert_does_not_happen_and_the_next_wave_is_a_new_question(vault):
    made = grow(vault, "main", [10, 11, 11])
    rules = rules_of(approval="required")

    def say_no(decision):
        return Answer(answer="deny", by="Ada", reason="We accept it")

    for _ in range(2):
        assert run_engine(vault, "main", rules, now=NOW, approver=say_no).state == "denied"
    assert (kinds(vault), read_ref(vault, "main")) == (["decision", "answer"], made[2].id)
    grow(vault, "main", [11.1], first=3)
    assert run_engine(vault, "main", rules, now=NOW).state == "waiting"


def test_only_what_waits_can_be_answered(vault):
    grow(vault, "main", [10, 10])
    kept = run_engine(vault, "main", rules_of(), now=NOW).decision
    for name in (kept.id, "b3:" + "0" * 64):
        with pytest.raises(DecisionError):
            answer_decision(vault, name, answer="approve", by="Ada", reason="", now=NOW)


def test_a_crash_after_the_decision_is_made_good_by_the_next_run(vault):
    grow(vault, "main", [10, 11, 11])
    decision = decide(vault, "main", rules_of())
    append_entry(vault, DecisionEntry(at=NOW, id=decision.id, decision=decision))
    assert run_engine(vault, "main", rules_of(), now=LATER).state == "reverted"
    assert kinds(vault) == ["decision", "outcome"]


def test_a_crash_after_the_commit_is_noticed_and_nothing_is_done_twice(vault):
    grow(vault, "main", [10, 11, 11])
    run_engine(vault, "main", rules_of(), now=NOW)
    tip = read_ref(vault, "main")
    path = decision_log(vault)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])  # as if the outcome had not been written
    assert run_engine(vault, "main", rules_of(), now=LATER).state == "kept"
    assert (kinds(vault), read_ref(vault, "main")) == (["decision", "outcome", "decision"], tip)


def test_a_torn_line_was_never_acknowledged_and_hurts_nothing(vault):
    grow(vault, "main", [10, 10])
    run_engine(vault, "main", rules_of(), now=NOW)
    with decision_log(vault).open("ab") as stream:
        stream.write(b'{"kind": "deci')
    grow(vault, "main", [10.1], first=2)
    run_engine(vault, "main", rules_of(), now=NOW)
    assert kinds(vault) == ["decision", "decision"]


@pytest.mark.parametrize("place", [0, -1])
def test_a_damaged_line_is_told_wherever_it_stands(vault, place):
    grow(vault, "main", [10, 10])
    run_engine(vault, "main", rules_of(), now=NOW)
    grow(vault, "main", [10.1], first=2)
    run_engine(vault, "main", rules_of(), now=NOW)
    lines = decision_log(vault).read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"kind"', b'"kin')
    decision_log(vault).write_bytes(b"".join(lines))
    with pytest.raises(BrokenDecisionLogError, match="is damaged"):
        read_decisions(vault)


def test_a_log_that_was_changed_is_refused_before_anything_is_done(vault):
    grow(vault, "main", [10, 11])
    run_engine(vault, "main", rules_of(), now=NOW)
    made = grow(vault, "main", [11, 11], first=2)
    run_engine(vault, "other" if read_ref(vault, "other") else "main", rules_of(limit=9.0), now=NOW)
    lines = decision_log(vault).read_bytes().splitlines(keepends=True)
    changed = json.loads(lines[0])
    changed["at"] = "2020-01-01T00:00:00Z"
    for content in ([json.dumps(changed).encode() + b"\n", *lines[1:]], lines[1:]):
        decision_log(vault).write_bytes(b"".join(content))
        with pytest.raises(BrokenDecisionLogError):
            run_engine(vault, "main", rules_of(), now=NOW)
    assert read_ref(vault, "main") == made[-1].id


def test_the_decision_depends_on_the_history_and_the_rules_alone(vault):
    made = grow(vault, "main", [10, 11, 11])
    before = decide(vault, "main", rules_of())
    move_ref(vault, "elsewhere", made[2].id)
    assert decide(vault, "main", rules_of()).id == before.id
    assert decide(vault, "main", rules_of(limit=0.02)).id != before.id
    assert len(log(vault, "main")) == 3
    assert not decision_log(vault).exists()
