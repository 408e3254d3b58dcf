"""An effect, its interval and its p-value come from one test: they never contradict each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from tests.evaluate.gates.answers import flipped, measured, pair_of

from birdbone.evaluate.gates.estimates import Estimate, NoEstimate, estimate_answers, estimate_text
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.rules import (
    DifferenceRule,
    DivergenceRule,
    FlipsRule,
    NoWorseRule,
    PerplexityRatioRule,
    RetentionRule,
    SameTopRule,
)
from birdbone.evaluate.statistics import paired_ratio
from birdbone.evaluate.statistics.equivalence import accuracy_equivalence
from birdbone.evaluate.statistics.pairs import Flips
from birdbone.evaluate.statistics.power import detectable_difference

counts = st.fixed_dictionaries(
    {"both": st.integers(5, 60), "gained": st.integers(0, 20), "lost": st.integers(0, 20), "neither": st.integers(0, 9)}
)
ON_ANSWERS = st.sampled_from(
    [
        DifferenceRule(kind="difference", at_least=-0.02),
        RetentionRule(kind="retention", at_least=0.95),
        FlipsRule(kind="flips", at_most=0.1),
        FlipsRule(kind="flips", at_most=0.1, counted="lost"),
    ]
)


def found_by(rule: Any, pair: Any) -> Estimate:
    found = estimate_answers(rule, pair)
    assert isinstance(found, Estimate)
    return found


@settings(max_examples=50)
@given(ON_ANSWERS, counts, st.floats(0.01, 0.99))
def test_a_bound_is_outside_of_the_interval_exactly_where_its_p_value_is_small(
    rule: Any, counted: dict[str, int], bound: float
) -> None:
    found = estimate_answers(rule, flipped(**counted, chance=0.25))
    if isinstance(found, NoEstimate):
        assert found.is_uninformative
        return
    assert found.chance_below is not None
    below = found.chance_below(bound)
    if abs(below - 0.025) > 1e-6 and bound > found.value:
        assert (bound > found.high) == (below < 0.025)
    if abs(below - 0.975) > 1e-6 and bound < found.value:
        assert (bound < found.low) == (below > 0.975)


@settings(max_examples=30)
@given(counts, st.sampled_from([0.01, 0.03, 0.1]))
def test_no_worse_is_the_one_sided_test_at_the_margin(counted: dict[str, int], margin: float) -> None:
    found = found_by(NoWorseRule(kind="no_worse", margin=margin), flipped(**counted))
    flips = Flips(gained=counted["gained"], lost=counted["lost"], num_items=sum(counted.values()))
    assert found.chance_below is not None
    assert 1 - found.chance_below(-margin) == pytest.approx(accuracy_equivalence(flips, margin=margin).p_value)


@settings(max_examples=30)
@given(counts)
def test_a_retention_moves_with_the_difference_and_so_does_what_can_be_shown(counted: dict[str, int]) -> None:
    pair = flipped(**counted, chance=0.0)
    change = found_by(DifferenceRule(kind="difference", at_least=0), pair)
    kept = found_by(RetentionRule(kind="retention", at_least=1), pair)
    known = pair.baseline.accuracy
    assert kept.value == pytest.approx(1 + change.value / known)
    if change.detectable is not None:
        assert kept.detectable == pytest.approx(change.detectable / known)


def test_a_difference_worked_by_hand() -> None:
    found = found_by(DifferenceRule(kind="difference", at_least=0), flipped(both=60, gained=10, lost=20, neither=10))
    assert (found.value, found.num, found.noun) == (-0.1, 100, "items")
    assert found.chance_below is not None
    assert found.chance_below(0.0) == pytest.approx(norm.cdf(-10 / np.sqrt(30)))
    assert found.detectable == detectable_difference(100, discordance=31 / 102)


def test_flips_worked_by_hand() -> None:
    pair = flipped(both=60, gained=10, lost=20, neither=10)
    shares = [
        found_by(FlipsRule(kind="flips", at_most=0.5, counted=counted), pair).value for counted in ("all", "lost")
    ]
    assert shares == [0.3, 0.2]
    found = found_by(FlipsRule(kind="flips", at_most=0.5), pair)
    assert found.chance_below is not None
    assert found.chance_below(0.5) == pytest.approx(norm.cdf((0.3 - 0.5) / 0.05))
    assert found.detectable == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * 0.05)


def test_what_a_guess_would_score_has_no_retention() -> None:
    found = estimate_answers(RetentionRule(kind="retention"), flipped(both=26, gained=24, lost=26, neither=24))
    assert isinstance(found, NoEstimate)
    assert found.is_uninformative
    assert "standard errors above the chance of 0.5" in found.reason


def test_graded_scores_have_a_difference_but_neither_flips_nor_a_retention() -> None:
    generator = np.random.default_rng(0)
    theirs = generator.random(200) * 0.5
    pair = pair_of(theirs + 0.1, theirs + generator.normal(0, 0.01, 200) ** 2)
    change = found_by(DifferenceRule(kind="difference", at_least=0), pair)
    assert change.low <= change.value <= change.high
    assert change.chance_below is not None
    assert change.chance_below(0.2) == 1 / 2000
    assert change.chance_below(change.value) == pytest.approx(0.5, abs=0.05)
    kept, flips = (
        estimate_answers(rule, pair) for rule in (RetentionRule(kind="retention"), FlipsRule(kind="flips", at_most=0.1))
    )
    assert isinstance(kept, NoEstimate)
    assert kept.is_uninformative
    assert isinstance(flips, NoEstimate)
    assert flips.is_measured
    assert not flips.is_uninformative


def test_too_few_graded_scores_say_so() -> None:
    found = estimate_answers(DifferenceRule(kind="difference", at_least=0), pair_of([0.5, 0.2], [0.1, 0.3]))
    assert isinstance(found, NoEstimate)
    assert found.is_measured
    assert "too few" in found.reason


def test_a_ratio_shows_what_its_windows_can_show() -> None:
    generator = np.random.default_rng(1)
    theirs_NP = generator.normal(3, 0.5, (40, 20))
    ours_NP = theirs_NP + generator.normal(0.02, 0.01, (40, 20))
    ratio = paired_ratio(ours_NP, theirs_NP, seed=0)
    found = estimate_text(PerplexityRatioRule(kind="perplexity_ratio"), Evidence(ratio=ratio))
    assert isinstance(found, Estimate)
    assert (found.value, found.low, found.high, found.num) == (ratio.value, ratio.low, ratio.high, 40)
    assert found.chance_below is not None
    assert (found.chance_below(1.0), found.chance_below(1.1)) == (1 - 1 / 2000, 1 / 2000)
    error = np.log(ratio.high / ratio.low) / (2 * norm.ppf(0.975))
    assert found.detectable == pytest.approx(np.expm1((norm.ppf(0.975) + norm.ppf(0.8)) * error))


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (PerplexityRatioRule(kind="perplexity_ratio"), "perplexity_ratio"),
        (DivergenceRule(kind="kl", at_most=0.1), "kl_to_reference"),
        (SameTopRule(kind="same_top1", at_least=0.9), "same_top1"),
    ],
)
def test_a_measured_figure_counts_with_its_interval_alone(rule: Any, name: str) -> None:
    row = measured(name, 1.02, low=1.0, high=1.04, sample_size=500)
    found = estimate_text(rule, Evidence(candidate=(row,)))
    assert isinstance(found, Estimate)
    assert (found.value, found.low, found.high, found.num) == (1.02, 1.0, 1.04, 500)
    assert found.chance_below is None
    for lacking in (row.model_copy(update={"low": None}), row.model_copy(update={"basis": "estimated"})):
        nothing = estimate_text(rule, Evidence(candidate=(lacking,)))
        assert isinstance(nothing, NoEstimate)
        assert not nothing.is_measured
