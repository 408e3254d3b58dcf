"""A figure over versions: in the order of the versions, only what was asked alike, and what changed is named."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import Measurement
from birdbone.evaluate.history import History, open_history
from birdbone.evaluate.history.trend import (
    direction_of,
    environment_changes,
    points_of_records,
    points_of_versions,
    sparkline,
    trends_of,
)
from birdbone.vault import Version

from .recorded import DAY, environment_of, keep, rights


@pytest.fixture
def history(tmp_path):
    return open_history(tmp_path)


def artefact(number):
    return f"b3:{number:064x}"


def keep_series(history: History, numbers_right, *, num_items=200, **changed):
    for day, num_right in enumerate(numbers_right):
        keep(history, rights(num_right, num_items, artefact=artefact(day), **changed), day=day)


def trend_of(history, **settings):
    (trend,) = trends_of(points_of_records(history.records()), **settings)
    return trend


def test_a_fall_is_a_regression_at_the_version_that_brought_it(history):
    keep_series(history, [150, 152, 149, 151, 110, 112, 108, 111])
    trend = trend_of(history)
    (turn,) = trend.turns
    assert (turn.verdict, turn.point.artefact) == ("regression", artefact(4))
    assert "regression at tiny" in trend.in_words
    assert turn.change.high < 0


def test_a_rise_is_an_improvement_unless_lower_is_better(history):
    keep_series(history, [110, 112, 108, 111, 150, 152, 149, 151])
    assert trend_of(history).turns[0].verdict == "improvement"
    assert trend_of(history, better={"benchmark.piqa": "lower"}).turns[0].verdict == "regression"
    assert direction_of("perplexity") == "lower"
    assert direction_of("perplexity_gguf") == "lower"
    assert direction_of("benchmark.size") == "higher"
    assert direction_of("decode_rate") is None


def test_few_versions_are_said_to_be_too_few(history):
    keep_series(history, [150, 152, 149, 110, 112])
    trend = trend_of(history)
    assert trend.changes is None
    assert trend.turns == ()
    assert "too few versions" in trend.in_words


def test_a_steady_figure_has_no_change(history):
    keep_series(history, [150, 152, 149, 151, 150, 148, 152, 150])
    assert trend_of(history).turns == ()
    assert "no change found in 8 versions" in trend_of(history).in_words


def test_only_what_was_asked_like_the_newest_makes_a_series(history):
    keep(history, rights(5, 10, artefact=artefact(90), limit=10), day=0)
    keep(history, rights(5, 10, artefact=artefact(91), num_fewshot=5), day=1)
    keep_series(history, [150, 152, 149])
    trend = trend_of(history)
    assert (len(trend.points), trend.num_left_out) == (3, 2)


def test_a_version_that_was_judged_again_stays_in_its_place_with_its_newest_figure(history):
    keep_series(history, [100, 120, 140])
    keep(history, rights(101, 200, artefact=artefact(0)), day=9)
    assert [point.figure.value * 200 for point in trend_of(history).points] == [101, 120, 140]


def test_the_order_of_the_vault_wins_over_the_days(history):
    versions = [artefact(100 + number) for number in range(4)]
    for day, number in enumerate([2, 0, 3, 1]):
        keep(history, rights(100 + number, 200, artefact=artefact(number)), day=day, version=versions[number])
    trend = trend_of(history, order=versions)
    assert [point.version for point in trend.points] == versions


def test_figures_that_versions_carry_make_a_trend(history):
    def version(number, value):
        figure = Measurement(name="perplexity", value=value, unit="1", method="windows", artefact=artefact(number))
        rows = (figure.model_dump(mode="json"), {"name": "no measurement"})
        return Version(
            artefact=artefact(number),
            parents=(),
            author="a",
            time=DAY + dt.timedelta(days=number),
            message="wave\n\nlong",
            measurements=rows,
        )

    values = [20.0, 20.1, 19.9, 20.0, 23.0, 23.1, 22.9, 23.0]
    (trend,) = trends_of(points_of_versions([version(number, value) for number, value in enumerate(values)]))
    assert [point.figure.value for point in trend.points] == values
    assert trend.points[0].model == "wave"
    assert trend.turns[0].verdict == "regression"
    assert trend.points[0].standard_error is None


def test_what_else_changed_is_told_beside_a_change(history):
    old, new = environment_of(), environment_of(packages={"torch": "2.14.0"}, threads=2)
    assert environment_changes(old, old) == ()
    assert environment_changes(old, None) == ()
    told = environment_changes(old, new)
    assert "torch 2.13.0 → 2.14.0" in told
    assert "threads 1 → 2" in told
    assert "lm-eval 0.4.13 → none" in told


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_a_sparkline_rises_where_the_figures_do(values):
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert all(a <= b for (x, a), (y, b) in zip(zip(values, drawn), zip(values[1:], drawn[1:])) if x <= y)  # noqa: B905


def test_the_error_of_a_point_comes_out_of_its_interval(history):
    keep_series(history, [100])
    (point,) = trend_of(history).points
    assert point.standard_error == pytest.approx(np.sqrt(0.25 / 200), rel=0.02)
