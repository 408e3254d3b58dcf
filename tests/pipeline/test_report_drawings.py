"""The drawings: well-formed, true to their values, readable without colour and without sight."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.pipeline.report.block_errors import block_errors
from birdbone.pipeline.report.curve import healing_curve
from birdbone.pipeline.report.heat_map import balanced_shades, heat_map, rising_shades
from birdbone.pipeline.report.linears import linear_grid, relative_to_kind
from birdbone.pipeline.report.svg import Scale, element, mark, ticks
from birdbone.pipeline.report.waves import Wave, read_waves

from .report_fixtures import DENSE, KINDS, NUM_LAYERS, by_linear, cut_view, full_view

POSITIVE = st.floats(1e-3, 1e3)
FATES = ("kept", "undone", "left out", "set aside", "regrown", "dense")


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def curve_of(label: str | None = None) -> ElementTree.Element:
    view = full_view() if label is None else cut_view(label, status="stopped")
    dense = view.figure("perplexity", DENSE)
    assert dense is not None
    return ElementTree.fromstring(healing_curve(dense, read_waves(view)))


def blocks_of(wave: Wave) -> ElementTree.Element:
    return ElementTree.fromstring(block_errors(wave.errors_before, wave.errors_after, label="made up"))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_scale_maps_its_ends_to_its_ends(low: float, span: float) -> None:
    scale = Scale(low=low, high=low + span, begin=300, end=20)
    assert scale(low) == pytest.approx(300)
    assert scale(low + span) == pytest.approx(20)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(1, 12))
def test_ticks_lie_within_and_evenly_apart(low: float, span: float, count: int) -> None:
    found = ticks(low, low + span, count)
    assert len(found) <= count + 1
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in found)
    steps = [after - before for before, after in itertools.pairwise(found)]
    assert all(step == pytest.approx(steps[0], rel=1e-6) for step in steps)


@given(st.text())
def test_text_and_attributes_are_escaped(words: str) -> None:
    written = str(element("text", {"class": words}, words))
    inside = written.removeprefix("<text").removesuffix("</text>")
    assert inside.count("<") == 0
    assert inside.count(">") == 1


def test_every_fate_has_a_shape_of_its_own() -> None:
    drawn = [ElementTree.fromstring(mark(fate, 8, 8)) for fate in FATES]
    shapes = [tuple(sorted((k, v) for k, v in one.attrib.items() if k != "class")) for one in drawn]
    assert len(set(shapes)) == len(FATES)


def test_the_curve_marks_every_wave_by_its_fate_at_its_figure() -> None:
    marks = [group for group in curve_of().iter("g") if group.get("data-fate")]
    assert [group.get("data-fate") for group in marks] == ["kept", "set aside", "undone", "undone", "dense"]
    assert [float(group.get("data-value", "nan")) for group in marks] == [13.352, 13.492, 13.909, 14.402, 13.340]


def test_a_higher_perplexity_stands_higher() -> None:
    crosses = [shape.get("d", "") for shape in curve_of().iter("path") if "undone" in shape.get("class", "")]
    third, fourth = (float(shape.split()[1]) for shape in crosses)
    assert fourth < third


def test_the_curve_shows_the_last_good_state_and_the_limit() -> None:
    assert {"last-good", "limit"} <= {shape.get("class") for shape in curve_of().iter("path")}


@pytest.mark.parametrize("label", [None, "wave-2", "wave-4"])
def test_everything_on_the_curve_stands_inside_the_drawing(label: str | None) -> None:
    root = curve_of(label)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for shape in root.iter("path"):
        numbers = [float(word.lstrip("ML")) for word in shape.get("d", "").split()]
        assert all(0 <= x <= width for x in numbers[::2])
        assert all(0 <= y <= height for y in numbers[1::2])


def test_each_drawing_says_what_it_shows() -> None:
    waves = read_waves(full_view())
    for drawn in (curve_of(), blocks_of(waves[0])):
        assert drawn.get("role") == "img"
        title, description = drawn.find("title"), drawn.find("desc")
        assert title is not None
        assert title.text
        assert description is not None
        assert description.text


def test_the_block_errors_have_a_point_a_block_and_side() -> None:
    root = blocks_of(read_waves(full_view())[0])
    assert sum(1 for _ in root.iter("circle")) == NUM_LAYERS
    assert sum(1 for _ in root.iter("rect")) == NUM_LAYERS


def test_a_side_without_values_is_left_out() -> None:
    root = ElementTree.fromstring(block_errors((), (0.2, 0.1), label="made up"))
    assert (sum(1 for _ in root.iter("circle")), sum(1 for _ in root.iter("rect"))) == (2, 0)


def test_the_heat_map_has_a_cell_a_linear_that_says_its_number() -> None:
    values = by_linear(2)
    grid = linear_grid(values)
    assert grid is not None
    assert (grid.kinds, len(grid.layers)) == (KINDS, NUM_LAYERS)
    root = ElementTree.fromstring(heat_map(grid, rising_shades(grid.present, percent), label="x", words=percent))
    told = [rect.findtext("title") for rect in root.iter("rect")]
    assert len(told) == len(values)
    assert f"layer 7, mlp.up_proj: {percent(values['model.layers.7.mlp.up_proj'])}" in told


def test_kinds_stand_in_the_order_asked_for() -> None:
    grid = linear_grid({"h.0.a": 1.0, "h.0.b": 2.0, "h.0.c": 3.0}, order=("c", "x", "a"))
    assert grid is not None
    assert (grid.kinds, grid.values) == (("c", "a", "b"), ((3.0,), (1.0,), (2.0,)))


def test_a_missing_linear_is_an_outline_and_a_path_without_a_layer_is_left_out() -> None:
    grid = linear_grid({"h.0.a": 1.0, "h.1.a": 2.0, "h.1.b": 3.0, "lm_head": 9.0, "h.0.b": math.nan})
    assert grid is not None
    assert grid.values == ((1.0, 2.0), (None, 3.0))
    assert 'class="cell empty"' in heat_map(grid, rising_shades(grid.present, percent), label="x", words=percent)
    assert linear_grid({"lm_head": 1.0}) is None


@given(st.lists(POSITIVE, min_size=1, max_size=40))
def test_a_larger_value_never_has_a_paler_shade(values: list[float]) -> None:
    for shades in (rising_shades(tuple(values), percent), balanced_shades(tuple(values))):
        classes = [shades(value) for value in sorted(values)]
        assert classes == sorted(classes)
        assert len(shades.classes) == len(shades.names) == len(shades.bounds) + 1


@given(st.lists(POSITIVE, min_size=2, max_size=30))
def test_values_relative_to_their_kind_have_the_mean_1(values: list[float]) -> None:
    grid = linear_grid({f"h.{layer}.a": value for layer, value in enumerate(values)})
    assert grid is not None
    assert sum(relative_to_kind(grid).present) / len(values) == pytest.approx(1)


def test_a_kind_without_a_positive_mean_has_no_relative_values() -> None:
    grid = linear_grid({"h.0.a": 0.0, "h.1.a": 0.0, "h.0.b": 2.0, "h.1.b": 2.0})
    assert grid is not None
    assert relative_to_kind(grid).values == ((None, None), (1.0, 1.0))
