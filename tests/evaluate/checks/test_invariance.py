"""What may not change an answer does not in a sound judge, and is found in a broken one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.checks.judges import ForgetsFirst, NoisyByPlace, NoisyByRound, NotANumber, whole_judge

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.checks.invariance import check_company, check_determinism, check_prefixes
from birdbone.evaluate.checks.probes import draw_requests, longest_request

WHOLE = whole_judge()
REQUESTS = draw_requests(WHOLE, seed=3, count=8)
CHECKS = {
    "determinism": lambda judge, requests: check_determinism(judge, requests),
    "company": lambda judge, requests: check_company(judge, requests, tolerance_nats=1e-3),
    "prefixes": lambda judge, requests: check_prefixes(judge, requests, tolerance_nats=1e-3),
}


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_a_sound_judge_passes_whatever_is_asked(seed, count):
    requests = [*draw_requests(WHOLE, seed=seed, count=count), longest_request(WHOLE, num_tokens=9, num_judged=3)]
    assert draw_requests(WHOLE, seed=seed, count=count) == requests[:-1]
    for name, check in CHECKS.items():
        found = check(WHOLE, requests)
        assert found.name == f"invariance.{name}"
        assert found.outcome == "pass", found.reason


@pytest.mark.parametrize(
    ("name", "broken"), [("determinism", NoisyByRound), ("company", NoisyByPlace), ("prefixes", ForgetsFirst)]
)
def test_a_broken_judge_fails_the_check_that_looks_for_it(name, broken):
    found = CHECKS[name](broken(WHOLE), REQUESTS)
    assert found.outcome == "fail"
    assert "apart where" in found.reason


def test_the_figures_tell_how_far_answers_part():
    found = CHECKS["company"](NoisyByPlace(WHOLE), REQUESTS)
    gap = found.figures["largest_gap_nats_in_company"]
    assert gap == pytest.approx(0.01 * (len(REQUESTS) - 1), abs=1e-3)
    assert found.figures["largest_gap_nats_beside_a_longer_one"] == pytest.approx(0.01 * len(REQUESTS), abs=1e-3)


def test_a_tolerance_forgives_what_it_covers():
    assert check_company(NoisyByPlace(WHOLE), REQUESTS, tolerance_nats=1.0).outcome == "pass"
    assert check_determinism(NoisyByRound(WHOLE), REQUESTS, tolerance_nats=1e-3).outcome == "pass"


def test_what_is_no_number_never_equals_itself():
    found = CHECKS["determinism"](NotANumber(WHOLE), [longest_request(WHOLE, num_tokens=20, num_judged=8)])
    assert found.outcome == "fail"
    assert found.figures.keys() == {"num_faults", "num_greedy_changed"}


def test_nothing_asked_is_skipped():
    assert CHECKS["determinism"](WHOLE, []).outcome == "skipped"
    assert CHECKS["prefixes"](WHOLE, [Continuation((1,), (5,))]).outcome == "skipped"
