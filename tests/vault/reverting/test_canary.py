"""The main ref follows a candidate only after enough good observations, and is never touched by a bad one."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.vault import BadNameError, commit, move_ref, read_ref, read_reflog, read_version
from birdbone.vault.errors import (
    AccessDeniedError,
    BadRevertError,
    BadRulesError,
    DecisionError,
    RefConflictError,
    UnknownNameError,
    UnsupportedFormatError,
)
from birdbone.vault.refs.permissions import grant
from birdbone.vault.reverting import (
    Canary,
    CanaryObservation,
    judge_canary,
    judgeable_rules,
    list_canaries,
    observe_canary,
    read_canary,
    revert,
    settle_canary,
    start_canary,
)
from birdbone.vault.reverting.rules import GateRule, ThresholdRule

from .lines import grow, put_tensors, row

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RULE = ThresholdRule(kind="threshold", name="jump", measurement="perplexity", limit=0.03)
OUTRIGHT = ThresholdRule(kind="threshold", name="most", measurement="perplexity", limit=11, against="nothing")
NOBODY = "b3:" + "0" * 64


@pytest.fixture
def start(vault):
    """`main` at perplexity 10, and a candidate on top of it that is not on `main`."""
    base = grow(vault, "main", [10])[0]
    tried = commit(vault, put_tensors(vault, {"w": [3]}), ref="next", message="", parents=[base.id])

    def begin(**choices):
        chosen = {"ref": "main", "rules": [RULE], "num_observations": 3} | choices
        return start_canary(vault, "wave-1", tried.id, **chosen)

    return begin


def settle_after(vault, *values):
    observe(vault, *values)
    return settle_canary(vault, "wave-1", now=NOW)


def observe(vault, *values):
    for value in values:
        observe_canary(vault, "wave-1", [row("perplexity", value)] if value else [], now=NOW)


def test_a_candidate_is_promoted_after_enough_good_observations(vault, start):
    canary = start()
    assert (read_ref(vault, "canary/wave-1"), read_ref(vault, "main")) == (canary.candidate, canary.base)
    observe(vault, 10.1, 10.2)
    assert settle_canary(vault, "wave-1", now=NOW).state == "running"
    observe(vault, 10.1)
    ended = settle_canary(vault, "wave-1", now=NOW)
    assert (ended.state, read_ref(vault, "main")) == ("promoted", canary.candidate)
    assert read_canary(vault, "wave-1") == ended
    for do_it in (settle_canary, lambda *a, **k: observe_canary(vault, "wave-1", [], now=NOW)):
        with pytest.raises(DecisionError):
            do_it(vault, "wave-1", now=NOW)


def test_a_bad_candidate_is_rolled_back_and_the_main_ref_was_never_touched(vault, start):
    canary = start(max_failures=1)
    observe(vault, 10.1, 12)
    assert settle_canary(vault, "wave-1", now=NOW).state == "running"
    observe(vault, 12)
    ended = settle_canary(vault, "wave-1", now=NOW)
    assert (ended.state, read_ref(vault, "main"), read_ref(vault, "canary/wave-1")) == (
        "rolled_back",
        canary.base,
        canary.base,
    )
    assert "20.00% worse than 10" in ended.observations[-1].reasons[0]


def test_an_observation_without_the_figure_does_not_count(vault, start):
    start(num_observations=1)
    observe(vault, None)
    assert settle_canary(vault, "wave-1", now=NOW).state == "running"


def test_a_main_ref_that_moved_is_not_pushed_aside(vault, start):
    canary = start(num_observations=1)
    observe(vault, 10)
    other = commit(vault, put_tensors(vault, {"w": [9]}), ref="main", message="").id
    with pytest.raises(RefConflictError):
        settle_canary(vault, "wave-1", now=NOW)
    assert (read_ref(vault, "main"), read_canary(vault, "wave-1").state) == (other, "running")
    assert canary.base != other


def test_a_promotion_that_a_crash_cut_off_is_finished(vault, start):
    canary = start(num_observations=1)
    observe(vault, 10)
    move_ref(vault, "main", canary.candidate)  # as if the record had not been written
    assert settle_canary(vault, "wave-1", now=NOW).state == "promoted"


def test_a_revert_can_be_tried_first(vault):
    made = grow(vault, "main", [10, 10.1])
    move_ref(vault, "canary/back", made[1].id)
    back = revert(vault, "canary/back", to=made[0].id)
    start_canary(vault, "back", back.id, ref="main", rules=[RULE], num_observations=1)
    observe_canary(vault, "back", [row("perplexity", 10)], now=NOW)
    assert settle_canary(vault, "back", now=NOW).state == "promoted"
    assert read_version(vault, "main").artefact == made[0].artefact


def test_what_does_not_follow_cannot_be_tried(vault, start):
    canary = start()
    assert start() == canary
    stranger = grow(vault, "elsewhere", [10], first=5)[0].id
    with pytest.raises(BadRevertError):
        start_canary(vault, "other", stranger, ref="main", rules=[RULE], num_observations=1)
    with pytest.raises(DecisionError):
        start(num_observations=9)
    with pytest.raises(BadNameError):
        start_canary(vault, "../x", canary.candidate, ref="main", rules=[RULE], num_observations=1)
    with pytest.raises(UnknownNameError):
        read_canary(vault, "none")


def test_a_rule_without_a_figure_to_compare_with_is_refused(vault):
    base = grow(vault, "main", [None])[0]
    tried = commit(vault, put_tensors(vault, {"w": [3]}), ref="next", message="", parents=[base.id])
    for rules in ([RULE], []):
        with pytest.raises(BadRulesError):
            start_canary(vault, "wave-1", tried.id, ref="main", rules=rules, num_observations=1)
    assert (list_canaries(vault), read_ref(vault, "canary/wave-1")) == ([], None)
    start_canary(vault, "wave-1", tried.id, ref="main", rules=[OUTRIGHT], num_observations=1)
    assert settle_after(vault, 11).state == "promoted"


def test_the_rules_that_can_judge_are_those_whose_figures_the_version_has(vault):
    grow(vault, "main", [10])
    finite = GateRule(kind="gate", name="finite", measurement="perplexity")
    rate = ThresholdRule(kind="threshold", name="rate", measurement="decode_rate", limit=0.1)
    interval = ThresholdRule(kind="threshold", name="budget", measurement="perplexity", limit=0.03, by="interval")
    safety = GateRule(kind="gate", name="safety", measurement="safety*")
    assert judgeable_rules(vault, "main", [rate, RULE, interval, safety, finite]) == (RULE, finite)


def test_the_reason_of_a_return_is_that_of_the_rule_that_failed(vault, start):
    start(rules=[GateRule(kind="gate", name="safety", measurement="safety*"), RULE], num_observations=2)
    assert settle_after(vault, 12, None).state == "rolled_back"
    reason = read_reflog(vault, "canary/wave-1")[-1].reason
    assert reason == "canary wave-1 failed: perplexity is 12, 20.00% worse than 10; 3.00% worse is allowed"


def test_all_trials_are_listed_by_name_whatever_became_of_them(vault, start):
    canary = start(num_observations=1)
    start_canary(vault, "also", canary.candidate, ref="main", rules=[RULE], num_observations=2)
    ended = settle_after(vault, 10)
    assert [(each.name, each.state) for each in list_canaries(vault)] == [("also", "running"), ("wave-1", "promoted")]
    assert list_canaries(vault)[1] == ended
    (vault.folder / "reverts" / "canaries" / "also.json").write_text("{}")
    with pytest.raises(UnsupportedFormatError):
        list_canaries(vault)


def test_who_may_not_move_the_ref_of_the_trial_begins_none(vault, start):
    grant(vault, "canary/*", "Eve", "read")
    with pytest.raises(AccessDeniedError):
        start(author="Eve")
    assert list_canaries(vault) == []


@given(st.lists(st.sampled_from(["good", "bad", "unknown"]), max_size=8), st.integers(1, 4), st.integers(0, 3))
def test_the_verdict_counts_what_was_judged(verdicts, num_observations, max_failures):
    seen = tuple(CanaryObservation(at=NOW, measurements=(), verdict=verdict, reasons=()) for verdict in verdicts)
    canary = Canary(
        name="x",
        ref="refs/heads/main",
        base=NOBODY,
        candidate=NOBODY,
        rules=(RULE,),
        num_observations=num_observations,
        max_failures=max_failures,
        observations=seen,
    )
    counted = len(verdicts) - verdicts.count("unknown")
    if verdicts.count("bad") > max_failures:
        assert judge_canary(canary) == "roll_back"
    else:
        assert judge_canary(canary) == ("promote" if counted >= num_observations else "wait")
