"""Bisection finds the first bad version of any history, asks little, and goes on where it was."""

import contextlib
import math
import random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from birdbone.vault import CorruptObjectError, UnknownNameError, delete_ref, move_ref, open_vault
from birdbone.vault.errors import BisectionError, NoBisectionError
from birdbone.vault.history.bisect import (
    describe_bisection,
    mark_version,
    read_bisection,
    reset_bisection,
    run_bisection,
    start_bisection,
    verdict_of_exit_code,
)
from birdbone.vault.roots import root_versions

from ..shapes import ancestors_in, plant, shapes

LINE = [(), *((place,) for place in range(40))]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for all examples: equal versions are written once."""
    return open_vault(tmp_path_factory.mktemp("bisections") / "store")


@pytest.fixture
def line(shared):
    reset_bisection(shared)
    return plant(shared, LINE)


def asker(ids, is_bad, *, untestable=frozenset()):
    """A test of versions that keeps count of what it was asked."""
    asked: list[int] = []

    def test(version):
        asked.append(ids.index(version.id))
        return "skip" if asked[-1] in untestable else "bad" if is_bad(asked[-1]) else "good"

    return test, asked


@pytest.mark.parametrize("culprit", [1, 2, 17, 20, 39, 40])
def test_on_a_line_the_first_bad_version_is_found_with_the_fewest_tests(shared, line, culprit):
    first = start_bisection(shared, bad=line[40], good=[line[0]])
    assert (first.num_candidates, first.max_tests_left) == (40, 6)
    test, asked = asker(line, lambda place: place >= culprit)
    step = run_bisection(shared, test)
    assert (step.first_bad, step.next, step.suspects) == (line[culprit], None, ())
    assert step.num_tests == len(asked) <= math.ceil(math.log2(40))
    assert len(set(asked)) == len(asked)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shapes(max_size=11), st.data())
def test_in_any_history_the_version_that_brought_the_fault_is_found(shared, shape, data):
    """The fault comes in at one version and stays in all that follow it."""
    ids, before = plant(shared, shape), ancestors_in(shape)
    culprit = data.draw(st.integers(0, len(shape) - 1), label="culprit")
    is_bad = [culprit in before[place] for place in range(len(shape))]
    bad = data.draw(st.sampled_from([place for place, found in enumerate(is_bad) if found]), label="bad")
    healthy = [place for place, found in enumerate(is_bad) if not found]
    assume(healthy)
    good = data.draw(st.lists(st.sampled_from(healthy), min_size=1, max_size=3), label="good")
    start_bisection(shared, bad=ids[bad], good=[ids[place] for place in good])
    test, asked = asker(ids, is_bad.__getitem__)
    step = run_bisection(shared, test)
    assert step.first_bad == ids[culprit]
    assert len(asked) == len(set(asked)) < len(before[bad]) + len(good)
    assert not {*good, bad} & set(asked)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shapes(max_size=9), st.data())
def test_with_versions_that_cannot_be_tested_the_culprit_is_named_or_among_the_suspects(shared, shape, data):
    ids, before = plant(shared, shape), ancestors_in(shape)
    assume(len(before[-1]) > 1)
    culprit = data.draw(st.sampled_from(sorted(before[-1] - {0})), label="culprit")
    good = [place for place in range(len(shape)) if culprit not in before[place]]
    assume(good and culprit in before[-1])
    untestable = data.draw(st.sets(st.integers(0, len(shape) - 1)), label="untestable")
    start_bisection(shared, bad=ids[-1], good=[ids[good[0]]])
    test, _ = asker(ids, lambda place: culprit in before[place], untestable=untestable)
    step = run_bisection(shared, test)
    assert step.next is None
    assert (step.first_bad is None) == bool(step.suspects)
    assert ids[culprit] in (step.first_bad, *step.suspects)
    assert untestable or step.first_bad


def test_suspects_are_what_skips_keep_apart(shared, line):
    start_bisection(shared, bad=line[10], good=[line[0]])
    test, _ = asker(line, lambda place: place >= 5, untestable={4, 5, 6})
    assert set(run_bisection(shared, test).suspects) == {line[place] for place in (4, 5, 6, 7)}


def test_a_bisection_goes_on_after_its_test_failed(shared, line):
    start_bisection(shared, bad=line[40], good=[line[0]])
    choice, (test, asked) = random.Random(3), asker(line, lambda place: place >= 23)

    def unsteady(version):
        if choice.random() < 0.5:
            raise RuntimeError("the power went out")
        return test(version)

    while describe_bisection(open_vault(shared.folder)).next:
        with contextlib.suppress(RuntimeError):
            run_bisection(open_vault(shared.folder), unsteady)
    assert describe_bisection(shared).first_bad == line[23]
    assert len(asked) == describe_bisection(shared).num_tests <= 6


def test_answers_can_be_given_by_hand_and_for_any_version(shared, line):
    start_bisection(shared, bad=line[40], good=[line[0]])
    assert mark_version(shared, "good", line[30]).num_candidates == 10
    assert mark_version(shared, "bad", line[33]).num_candidates == 3
    step = mark_version(shared, "bad", line[39])
    assert step.num_candidates == 3
    assert mark_version(shared, "bad", line[32]).first_bad is None
    assert mark_version(shared, "good").first_bad == line[32]
    with pytest.raises(NoBisectionError):
        mark_version(shared, "bad")


def test_answers_that_contradict_each_other_are_refused_and_not_taken(shared, line):
    start_bisection(shared, bad=line[20], good=[line[10]])
    before = read_bisection(shared)
    for verdict, place in (("good", 20), ("good", 30), ("bad", 10), ("bad", 3)):
        with pytest.raises(BisectionError, match="bad"):
            mark_version(shared, verdict, line[place])
    assert read_bisection(shared) == before
    for bad, good in ((3, [5]), (3, [3]), (3, [])):
        with pytest.raises(BisectionError):
            start_bisection(shared, bad=line[bad], good=[line[place] for place in good])
    assert read_bisection(shared) == before


def test_where_the_good_line_parts_from_the_bad_one_is_tested_first(shared):
    """0 - 1 - 2 - 3 is bad at 3; 4 and 5 go their own way from 1 and are good."""
    ids = plant(shared, [(), (0,), (1,), (2,), (1,), (4,)])
    assert start_bisection(shared, bad=ids[3], good=[ids[5]]).next == ids[1]
    assert mark_version(shared, "good").next == ids[2]
    start_bisection(shared, bad=ids[3], good=[ids[5]])
    with pytest.raises(BisectionError, match="good"):
        mark_version(shared, "bad")


def test_a_reset_bisection_is_gone_and_one_that_never_was_is_said(shared, line):
    start_bisection(shared, bad=line[4], good=[line[0]])
    reset_bisection(shared)
    reset_bisection(shared)
    assert read_bisection(shared) is None
    for act in (describe_bisection, lambda vault: mark_version(vault, "good"), lambda vault: run_bisection(vault, str)):
        with pytest.raises(NoBisectionError):
            act(shared)
    with pytest.raises(UnknownNameError):
        start_bisection(shared, bad="nobody", good=[line[0]])


def test_a_damaged_state_is_said(shared, line):
    (shared.refs / "bisect.json").write_text('{"bad": 1}')
    with pytest.raises(CorruptObjectError):
        describe_bisection(shared)
    reset_bisection(shared)


def test_the_versions_of_a_bisection_are_kept(vault):
    ids = plant(vault, [(), (0,), (1,)])
    move_ref(vault, "main", ids[2])
    start_bisection(vault, bad="main", good=["main~2"])
    delete_ref(vault, "main")
    assert root_versions(vault) == {ids[0], ids[2]}


def test_exit_codes_mean_what_they_mean_to_git():
    codes = {0: "good", 1: "bad", 124: "bad", 125: "skip", 126: "bad", 127: "bad", 128: None, 137: None, -9: None}
    assert {code: verdict_of_exit_code(code) for code in codes} == codes
