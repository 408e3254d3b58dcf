"""The record of an audit: figures with intervals, what is absent, and which items are drawn."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.audits import AuditResult, AuditSheet, draw_items


@settings(max_examples=20)
@given(st.lists(st.integers(), unique=True, max_size=30), st.integers(1, 40))
def test_drawn_items_stand_in_their_order_and_are_the_same_each_time(items: list[int], limit: int) -> None:
    drawn = draw_items(items, limit)
    assert len(drawn) == min(limit, len(items))
    assert drawn == [item for item in items if item in drawn]
    assert draw_items(items, limit) == drawn


def test_items_are_drawn_from_everywhere() -> None:
    drawn = draw_items(range(1000), 50)
    assert min(drawn) < 100
    assert max(drawn) > 900
    assert draw_items(range(3), None) == [0, 1, 2]


def test_a_share_has_its_interval_and_a_share_of_nothing_is_absent() -> None:
    sheet = AuditSheet(audit="a", artefact="b3:x", method="m")
    sheet.add_share("some", 3, 4, method="counted", expected=0.5)
    sheet.add_share("none", 0, 0, method="counted", expected=0.5)
    result = sheet.result(num_items=4, skipped={"too long": 0, "torn": 2})
    (figure,) = result.measurements
    assert (figure.name, figure.value, figure.sample_size, figure.basis) == ("a.some", 0.75, 4, "measured")
    assert figure.low is not None
    assert figure.high is not None
    assert 0 < figure.low < 0.75 < figure.high < 1
    assert result.expected == {"a.some": 0.5}
    assert set(result.not_measured) == {"a.none"}
    assert result.skipped == {"torn": 2}
    assert AuditResult.model_validate_json(result.model_dump_json()) == result
