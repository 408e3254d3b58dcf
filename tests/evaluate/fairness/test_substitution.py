"""Scenes with swapped groups: a model that judges by the scene, one that judges by the group, and chance."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.checks.judges import whole_judge
from tests.evaluate.fairness.believers import Believes, figures

from birdbone.evaluate.fairness.groups import equalized_odds_difference
from birdbone.evaluate.fairness.substitution import (
    audit_substitution,
    open_counts,
    select,
    swap_p_value,
    told_counts,
)
from birdbone.evaluate.fairness.templates import GROUPS, SCENES

ONE = {"gender": GROUPS["gender"]}
GOOD = tuple(scene.favourable for scene in SCENES)
LOG_ODDS = st.lists(st.lists(st.floats(-9, 9), min_size=6, max_size=6), min_size=1, max_size=12)


def by_scene(context: str, text: str) -> float:
    """Say what the scene tells: likely where it is true, in between where it tells nothing."""
    for scene in SCENES:
        if text not in (scene.favourable, scene.unfavourable):
            continue
        for telling, is_good in ((scene.good, True), (scene.bad, False)):
            if re.match(re.escape(telling).replace(re.escape("{who}"), ".+"), context):
                return -1.0 if (text == scene.favourable) is is_good else -9.0
    return -5.0


def test_a_model_that_judges_by_the_scene_is_right_and_even() -> None:
    some = {attribute: GROUPS[attribute] for attribute in ("gender", "skin")}
    found = figures(audit_substitution(Believes(by_scene), artefact="b3:x", groups=some))
    for attribute in some:
        assert found[f"accuracy.{attribute}"].value == 1
        assert found[f"opinion_gap.{attribute}"].value == 0
        assert found[f"opinion_gap.{attribute}.p_value"].value == 1
        assert found[f"equalized_odds.{attribute}.difference"].value == 0


def test_a_model_that_adds_its_opinion_of_a_group_is_found_out() -> None:
    def belief(context: str, text: str) -> float:
        favour = 2.0 if " man " in f" {context} " else 0.0
        return by_scene(context, text) + (favour if text in GOOD else 0.0)

    found = figures(audit_substitution(Believes(belief), artefact="b3:x", groups=ONE))
    assert found["opinion_gap.gender"].value == pytest.approx(2)
    assert found["opinion_gap.gender"].low is None  # every scene says the same, so drawing them again tells nothing
    # all twelve scenes lean one way: 2 of 2 ** 12 swaps are as large; the smaller of two counts twice (Holm)
    assert found["opinion_gap.gender.p_value"].value < 0.005
    assert "Holm over 2" in found["opinion_gap.gender.p_value"].method
    assert found["selection_rate.gender.male"].value == 1
    assert found["selection_rate.gender.female"].value == 0
    assert found["demographic_parity.gender.difference"].value == 1
    assert found["demographic_parity.gender.ratio"].value == 0
    assert found["accuracy.gender"].value == 1


def test_a_word_that_is_rare_for_everybody_is_held_against_nobody() -> None:
    def belief(context: str, text: str) -> float:
        return by_scene(context, text) - (40.0 if text in GOOD else 0.0)

    found = figures(audit_substitution(Believes(belief), artefact="b3:x", groups=ONE))
    assert found["accuracy.gender"].value == 1


@settings(max_examples=15)
@given(LOG_ODDS)
def test_counts_are_those_of_the_measures_over_groups(values: list[list[float]]) -> None:
    log_odds = np.array(values).reshape(len(values), 2, 3)
    selected = select(log_odds)
    told = told_counts(selected).sum(axis=0)
    groups = [group for _ in values for group in "ab" for _ in range(2)]
    truth = [truth for _ in values for _ in "ab" for truth in (1, 0)]
    predicted = selected[..., :2].reshape(-1).astype(int)
    rates = np.stack([told[:, 3] / told[:, 2], (told[:, 1] - told[:, 3]) / (told[:, 0] - told[:, 2])])
    assert equalized_odds_difference(truth, predicted, groups) == pytest.approx(float(np.ptp(rates, axis=1).max()))
    assert open_counts(selected)[..., 1].sum() == selected[..., 2].sum()


@settings(max_examples=15)
@given(LOG_ODDS, st.floats(-5, 5))
def test_what_falls_on_a_whole_scene_selects_nobody(values: list[list[float]], shift: float) -> None:
    log_odds = np.round(np.array(values).reshape(len(values), 2, 3), 3)
    is_clear = np.abs(log_odds - log_odds.mean(axis=(1, 2), keepdims=True)) > 1e-6
    assert (select(log_odds) == select(log_odds + shift))[is_clear].all()


def test_swaps_find_a_difference_about_as_often_as_they_say_where_there_is_none() -> None:
    draw = np.random.default_rng(3)
    p_values = [swap_p_value(draw.normal(size=(12, 3)), generator=draw, num_swaps=199) for _ in range(200)]
    assert 0 < np.mean(np.array(p_values) <= 0.05) < 0.1
    assert 0.4 < np.mean(p_values) < 0.6


def test_every_scene_has_a_place_for_the_person_and_every_group_a_term() -> None:
    for scene in SCENES:
        assert all(text.count("{who}") == 1 for text in (scene.good, scene.bad, scene.open, scene.question))
        assert scene.favourable.startswith(" ")
        assert scene.unfavourable.startswith(" ")
    assert all(len(groups) > 1 and len(set(groups.values())) == len(groups) for groups in GROUPS.values())
    assert len(SCENES) >= 8  # fewer give no interval


def test_scenes_that_do_not_fit_are_counted() -> None:
    result = audit_substitution(whole_judge(), artefact="b3:x", groups=ONE, scenes=SCENES[:3])
    assert result.num_items + result.skipped.get("longer than the context", 0) == 3
    assert audit_substitution(Believes(by_scene, max_tokens=5), artefact="b3:x", groups=ONE).not_measured == {
        "substitution.gender": "no scene fits the model"
    }
