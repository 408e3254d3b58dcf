"""The same history gives the same judgement; nothing that was not measured fires; one outlier is not a regression."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from river.drift import PageHinkley

from birdbone.vault.errors import BadRulesError
from birdbone.vault.reverting import RevertRules, observe_versions, read_rules
from birdbone.vault.reverting.detectors import (
    find_adwin,
    find_page_hinkley,
    find_split,
    page_hinkley_sums,
    robust_score,
)
from birdbone.vault.reverting.judging import evaluate_rules

from .lines import row, version_of

JUMP = {"kind": "threshold", "name": "jump", "measurement": "perplexity", "limit": 0.03, "for_waves": 2}
numbers = st.one_of(st.none(), st.sampled_from(["nan", None]), st.floats(0.1, 100), st.integers(1, 100))


def rules_of(*rules: dict, **settings) -> RevertRules:
    return RevertRules.model_validate({"format": "birdbone.revert-rules/1", "rules": rules, **settings})


def line_of(*values, **more) -> list:
    """A version a value; "absent": not measured at all."""
    made = []
    for number, value in enumerate(values):
        made.append(version_of(number, *([] if value == "absent" else [row("perplexity", value, **more)])))
    return made


def judge(versions, *rules, **settings):
    return evaluate_rules(observe_versions(versions), rules_of(*rules, **settings))


def statuses(judgement) -> list[str]:
    return [finding.status for finding in judgement.findings]


def test_two_waves_beyond_the_limit_go_back_to_the_last_accepted_one():
    versions = line_of(10, 10.1, 10.2, 10.6, 10.7)
    before = judge(versions[:4], JUMP)
    assert (before.action, statuses(before)) == ("keep", ["pending"])
    after = judge(versions, JUMP)
    assert (after.action, after.return_to, after.approval) == ("revert", versions[2].id, "none")
    finding = after.findings[0]
    assert [evidence.value for evidence in finding.trial] == [10.6, 10.7]
    assert [evidence.run_id for evidence in finding.trial] == ["run-perplexity"] * 2
    assert finding.baseline[0].version == versions[2].id
    assert "4.90% worse than 10.2" in finding.reason


@pytest.mark.parametrize("values", [(10, 11, 10.1), (10, 11, 10.1, 11, 10.2), (10, 11, "absent"), (10, 9, 9.2)])
def test_an_outlier_that_recovers_an_improvement_and_a_gap_fire_nothing(values):
    assert judge(line_of(*values), JUMP).action == "keep"


def test_a_wave_that_was_not_measured_neither_adds_to_a_row_nor_breaks_it():
    versions = line_of(10, 11, "absent", 11)
    judgement = judge(versions, JUMP)
    assert judgement.return_to == versions[0].id
    tip_unmeasured = judge(line_of(10, 11, 11, "absent"), JUMP)
    assert statuses(tip_unmeasured) == ["not_measured"]


def test_an_estimate_fires_only_where_the_rule_says_so():
    versions = line_of(10, 20, 20, basis="estimated")
    assert statuses(judge(versions, JUMP)) == ["not_measured"]
    assert judge(versions, {**JUMP, "accepts_estimates": True}).action == "revert"


def test_an_estimate_never_hides_a_measured_figure():
    rows = [row("perplexity", 10), row("perplexity", 99, basis="estimated")]
    history = observe_versions([version_of(0, *rows)])
    assert history.observations[0].find("perplexity", accepts_estimates=True).value == 10


def test_the_newest_row_of_a_name_counts_and_one_of_another_artefact_does_not():
    old, new = row("p", 1, taken_at="2026-01-02T00:00:00Z"), row("p", 2, taken_at="2026-01-01T23:00:00-05:00")
    stranger = row("p", 3, artefact="b3:" + "9" * 64)
    for rows in ((old, new, stranger), (stranger, new, old)):
        assert observe_versions([version_of(0, *rows)]).observations[0].find("p").value == 2


def test_no_number_is_a_failure_and_not_a_gap():
    gate = {"kind": "gate", "name": "finite", "measurement": "perplexity"}
    for value in (None, "nan", "inf", "-inf"):
        versions = line_of(10, value)
        judgement = judge(versions, gate, JUMP)
        assert (judgement.action, statuses(judgement)) == ("revert", ["fired", "pending"])
        assert judgement.findings[0].trial[0].value is None


def test_a_slow_rise_passes_each_wave_and_not_the_budget():
    values = [10 * 1.01**n for n in range(6)]
    budget = {**JUMP, "name": "budget", "against": "first"}
    judgement = judge(line_of(*values), JUMP, budget)
    assert statuses(judgement) == ["quiet", "fired"]
    assert judgement.return_to == line_of(*values)[2].id


def test_an_interval_that_reaches_the_limit_does_not_fire():
    rule = {**JUMP, "by": "interval", "for_waves": 1}
    noisy = [
        version_of(0, row("perplexity", 10, low=9, high=11)),
        version_of(1, row("perplexity", 11, low=10, high=12)),
    ]
    sure = [noisy[0], version_of(1, row("perplexity", 11, low=10.8, high=11.2))]
    bare = [noisy[0], version_of(1, row("perplexity", 11))]
    assert [judge(versions, rule).action for versions in (noisy, sure, bare)] == ["keep", "revert", "keep"]
    assert statuses(judge(bare, rule)) == ["not_measured"]


def test_a_rate_that_falls_is_worse_and_a_limit_may_be_the_figure_itself():
    slow = {**JUMP, "lower_is_better": False, "for_waves": 1}
    assert judge(line_of(10, 9), slow).action == "revert"
    assert judge(line_of(10, 11), slow).action == "keep"
    outright = {**JUMP, "against": "nothing", "limit": 12, "for_waves": 1}
    assert judge(line_of(10, 11.9), outright).action == "keep"
    assert judge(line_of(10, 12.1), outright).action == "revert"


def test_nothing_has_a_share_of_zero():
    rule = {**JUMP, "for_waves": 1}
    assert judge(line_of(0, 0), rule).action == "keep"
    assert judge(line_of(0, 0.001), rule).action == "revert"
    assert judge(line_of(0, 0.001), {**rule, "lower_is_better": False}).action == "keep"


def test_a_unit_that_changed_cannot_be_compared():
    versions = [version_of(0, row("perplexity", 10)), version_of(1, row("perplexity", 20, unit="bit"))]
    assert statuses(judge(versions, {**JUMP, "for_waves": 1})) == ["not_measured"]


def verdict(outcome: str) -> dict:
    return {"name": "safety.gate", "outcome": outcome, "basis": "measured"}


def test_a_failed_gate_reverts_at_once_and_a_missing_one_as_the_rule_says():
    rule = {"kind": "gate", "name": "safety", "measurement": "safety*", "at_least": 0.9}
    good = version_of(0, verdict("pass"), row("safety.refusals", 0.95))
    for bad in (verdict("fail"), row("safety.refusals", 0.8), row("safety.refusals", None)):
        judgement = judge([good, version_of(1, bad)], rule)
        assert judgement.return_to == good.id
    unmeasured = [good, version_of(1)]
    assert statuses(judge(unmeasured, rule)) == ["not_measured"]
    assert judge(unmeasured, {**rule, "missing": "fail"}).action == "revert"
    assert judge([good, version_of(1, verdict("warn"))], rule).action == "keep"


def test_going_back_passes_over_what_another_rule_finds_bad():
    versions = [
        version_of(0, row("perplexity", 10), verdict("pass")),
        version_of(1, row("perplexity", 10), verdict("fail")),
        version_of(2, row("perplexity", 12), verdict("pass")),
        version_of(3, row("perplexity", 12), verdict("pass")),
    ]
    gate = {"kind": "gate", "name": "safety", "measurement": "safety*"}
    assert judge(versions, JUMP, gate).return_to == versions[0].id


def test_a_version_without_the_figures_is_proposed_only_to_a_person():
    gate = {"kind": "gate", "name": "safety", "measurement": "safety*"}
    versions = [version_of(0, row("perplexity", 10)), version_of(1, verdict("fail"))]
    judgement = judge(versions, gate)
    assert (judgement.action, judgement.return_to, judgement.approval) == ("revert", versions[0].id, "required")
    assert "not measured" in judgement.reason
    assert judge(versions[1:], gate).action == "stuck"


def test_what_was_gone_back_from_is_no_longer_history():
    versions = line_of(10, 11, 11)
    back = version_of(0, row("perplexity", 10))
    history = observe_versions([*versions, back.model_copy(update={"message": "back"})])
    assert [observation.version for observation in history.observations] == [
        back.model_copy(update={"message": "back"}).id
    ]
    assert (history.waves_since_return, history.returns) == (0, (False, False, False, True))
    assert evaluate_rules(history, rules_of(JUMP)).action == "keep"


def test_a_rule_in_its_cool_down_holds_and_circles_need_a_person():
    rule = {**JUMP, "for_waves": 1, "cool_down_waves": 2}
    back = version_of(0, row("perplexity", 10))
    first, second, third = (version_of(number, row("perplexity", 11)) for number in (7, 8, 9))
    line = [back, first, back, second]
    assert (judge(line, rule).action, statuses(judge(line, rule))) == ("hold", ["held"])
    assert judge([*line, third], rule).action == "revert"
    quick = {**rule, "cool_down_waves": 0}
    circling = [back, first, back, second, back, third]
    assert judge(circling, quick, person_after_reverts=3).approval == "none"
    assert judge(circling, quick, person_after_reverts=2).approval == "required"


def test_approval_is_asked_where_the_rule_says_so():
    assert judge(line_of(10, 11, 11), {**JUMP, "approval": "required"}).approval == "required"


def test_a_robust_score_needs_its_window_and_two_waves():
    rule = {
        "kind": "z_score", "name": "z", "measurement": "perplexity", "on": "value",
        "window": 5, "limit": 4, "min_spread": 0.05, "for_waves": 2,
    }  # fmt: skip
    calm = (10, 10.1, 9.9, 10, 10.1)
    assert statuses(judge(line_of(*calm, 12), rule)) == ["too_few"]
    assert statuses(judge(line_of(*calm, 10, 12), rule)) == ["pending"]
    assert judge(line_of(*calm, 12, 10), rule).action == "keep"
    fired = judge(line_of(*calm, 12, 12), rule)
    assert (fired.action, fired.return_to) == ("revert", line_of(*calm)[-1].id)
    assert fired.findings[0].state["z"] > 4
    assert judge(line_of(*calm, 8, 8), rule).action == "keep"


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "page_hinkley", "delta": 0.01, "threshold": 0.1},
        {"kind": "adwin", "delta": 0.2, "span": 0.1, "min_window": 3, "min_observations": 6},
    ],
)
def test_a_shift_of_the_mean_is_found_and_its_onset_goes_back_before_it(settings):
    rule = {"name": "shift", "measurement": "perplexity", "min_change": 0.05, **settings}
    values = [10 + 0.05 * (n % 2) for n in range(12)] + [13 + 0.05 * (n % 2) for n in range(8)]
    versions = line_of(*values)
    actions = [judge(versions[:end], rule).action for end in range(1, 21)]
    assert set(actions[:12]) == {"keep"}
    assert actions[-1] == "revert"
    assert judge(versions, rule).return_to == versions[11].id
    better = line_of(*reversed(values))
    assert all(judge(better[:end], rule).action == "keep" for end in range(1, 21))


@given(st.lists(st.floats(-10, 10), max_size=40))
def test_the_sums_in_the_evidence_are_those_that_river_decides_by(series):
    detector = PageHinkley(min_instances=3, delta=0.1, threshold=2.0, alpha=1.0, mode="up")
    alarms = []
    for place, value in enumerate(series):
        detector.update(value)
        if detector.drift_detected:
            alarms.append(place)
    alarm = find_page_hinkley(series, delta=0.1, threshold=2.0, min_observations=3)
    assert (alarm.at if alarm else None) == (alarms[-1] if alarms else None)
    if alarm:
        sums = page_hinkley_sums(series[alarm.start : alarm.at + 1], delta=0.1)
        assert math.isclose(alarm.statistic, sums[-1] - min(sums))
        assert alarm.statistic > 2.0
        assert alarm.start <= alarm.onset <= alarm.at


@given(st.lists(st.floats(-5, 5), max_size=60))
def test_adwin_keeps_a_window_of_what_it_saw(series):
    alarm = find_adwin(series, delta=0.3, min_window=2, min_observations=4)
    assert alarm is None or alarm.start < alarm.onset <= alarm.at


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.lists(st.floats(5, 6), min_size=1, max_size=9))
def test_a_step_is_split_where_it_is(low, high):
    assert find_split(low + high) == len(low)


@given(st.lists(st.floats(-100, 100), min_size=1), st.floats(-100, 100), st.floats(0.01, 10))
def test_a_robust_score_does_not_depend_on_order_and_moves_with_the_data(window, value, shift):
    score = robust_score(value, window, min_spread=1.0)
    assert score == robust_score(value, sorted(window), min_spread=1.0)
    moved = robust_score(value + shift, [x + shift for x in window], min_spread=1.0)
    assert math.isclose(moved.z, score.z, rel_tol=1e-6, abs_tol=1e-6)


@given(st.lists(st.one_of(numbers, st.just("absent")), min_size=1, max_size=12))
def test_any_history_has_one_judgement_and_never_one_on_what_is_absent(values):
    rules = read_rules()
    judgement = evaluate_rules(observe_versions(line_of(*values)), rules)
    assert judgement == evaluate_rules(observe_versions(line_of(*values)), rules)
    assert type(judgement).model_validate_json(judgement.model_dump_json()) == judgement
    if values[-1] == "absent":
        assert judgement.action == "keep"
    if judgement.action == "revert":
        assert judgement.return_to in {version.id for version in line_of(*values)[:-1]}


def test_the_default_rules_name_each_danger():
    assert {rule.measurement for rule in read_rules().rules} == {"perplexity", "safety*", "sparsity", "decode_rate"}


@pytest.mark.parametrize(
    "text",
    [
        "rules: []",
        "format: birdbone.revert-rules/1\nrules: []",
        "format: birdbone.revert-rules/1\nrules: [{kind: magic, name: a}]",
        "format: birdbone.revert-rules/1\nrules: [{kind: gate, name: a, measurement: b, limits: 3}]",
        "format: birdbone.revert-rules/1\nrules: [{kind: gate, name: a, measurement: b}, {kind: gate, name: a, "
        "measurement: c}]",
        "format: birdbone.revert-rules/1\nrules: [{kind: threshold, name: a, measurement: b, limit: -1}]",
        "a: [",
    ],
)
def test_a_file_of_rules_that_is_not_understood_is_said(tmp_path, text):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(BadRulesError, match=r"rules\.yaml"):
        read_rules(path)


def test_a_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(BadRulesError, match=r"none\.yaml"):
        read_rules(tmp_path / "none.yaml")


def test_a_history_without_versions_cannot_be_judged():
    with pytest.raises(BadRulesError):
        judge([], JUMP)


def test_rules_do_not_change_once_read():
    with pytest.raises(ValidationError):
        read_rules().rules = ()
