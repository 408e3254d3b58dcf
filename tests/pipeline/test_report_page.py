"""The page: every figure a row, nothing invented, nothing fetched, valid and readable."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.core import Measurement
from birdbone.pipeline.report import build_report, render_report, write_report
from birdbone.pipeline.report.rounding import read_rounding
from birdbone.pipeline.report.wording import change_words, figure_words
from birdbone.pipeline.service import RunView

from .report_fixtures import (
    NUM_WEIGHTS,
    cut_view,
    empty_view,
    fallback_view,
    full_view,
    hostile_view,
    view_without,
)

VOID = {"meta", "br", "link", "img", "input", "hr"}
BLOCKS = {"p", "div", "ul", "ol", "dl", "table", "section", "figure", "details", "h1", "h2", "h3", "pre", "nav"}
OUTSIDE = {"script", "img", "link", "iframe", "object", "embed", "video", "audio", "source", "base", "form"}
HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}</title></style>"
ERROR = {"code": "made.up", "message": "It failed for a test.", "hint": "Nothing to do."}
NAMES = sorted({row.name for row in full_view().measurements})
VIEWS = {
    "full": full_view(),
    "fallback": fallback_view(),
    "empty": empty_view(),
    "hostile": hostile_view(HOSTILE),
    "failed in a wave": cut_view("wave-3", status="failed", error=ERROR),
    "stopped at the judge": cut_view("judge", status="stopped", error=ERROR),
    "stopped after a rejection": cut_view("quantize-try2", status="stopped", error=ERROR),
    "in hand": cut_view("seed", status="running"),
    "nothing measured": view_without(*NAMES),
}


class Page(HTMLParser):
    """Reads a page and refuses what a lenient browser would mend."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.figures: list[tuple[dict[str, str], str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        assert not (tag in BLOCKS and "p" in self.open), f"<{tag}> in <p>"
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.targets += [found["href"]] if "href" in found else []
        if tag == "data":
            self.figures.append((found, ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> outside a drawing"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)
        if self.open and self.open[-1] == "data":
            found, words = self.figures.pop()
            self.figures.append((found, words + data))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def html_of(view: RunView) -> str:
    return render_report(build_report(view))


@functools.cache
def html_by(name: str) -> str:
    """Return the page of one of the `VIEWS`."""
    return html_of(VIEWS[name])


def key_of(row: Measurement) -> tuple[str, str, str, float]:
    return row.name, row.step, row.artefact, row.value


def check_figures(view: RunView, page: Page) -> int:
    """Hold every figure of the page against the rows; return how many there were."""
    changes = [row.change for row in build_report(view).rows if row.change]
    known = {key_of(row): row for row in (*view.measurements, *changes)}
    notes = {step.label: (step.result or {}).get("notes", {}) for step in view.steps}
    for found, words in page.figures:
        value = float(found["value"])
        if "data-note" in found:
            assert notes[found["data-step"]][found["data-note"]] == value
            continue
        row = known[found["data-name"], found["data-step"], found["data-artefact"], value]
        assert words in (figure_words(row), change_words(row))
    for _, found in page.tags:
        if "data-value" in found:
            assert (found["data-name"], found["data-step"], found["data-artefact"], float(found["data-value"])) in known
    return len(page.figures)


@pytest.mark.parametrize("name", VIEWS)
def test_every_figure_on_the_page_is_a_row_of_the_run(name: str) -> None:
    view = VIEWS[name]
    count = check_figures(view, Page(html_by(name)))
    assert count >= len(view.measurements)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.sampled_from(NAMES)))
def test_whatever_was_not_measured_is_said_to_be_missing(missing: set[str]) -> None:
    view = view_without(*missing)
    page = Page(html_of(view))
    check_figures(view, page)
    assert not {found.get("data-name") for found, _ in page.figures} & missing
    if missing & {"size", "perplexity_gguf", "decode_rate"}:
        assert "not measured" in page.text


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_is_valid_and_its_anchors_lead_somewhere(name: str) -> None:
    html = html_by(name)
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert len(set(page.ids)) == len(page.ids)
    assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)
    assert all(target.startswith("#") for target in page.targets)


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_fetches_nothing_and_runs_nothing(name: str) -> None:
    html = html_by(name)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & OUTSIDE
    assert not [found for _, found in page.tags if "src" in found or any(key.startswith("on") for key in found)]
    assert not re.search(r"https?:|url\(|@import|//[a-z0-9-]+\.[a-z]", html)
    assert "default-src 'none'" in html


def test_a_hostile_name_is_text_and_nothing_else() -> None:
    html = html_by("hostile")
    page = Page(html)
    assert HOSTILE in page.text
    assert "<script" not in html
    assert [tag for tag, _ in page.tags].count("style") == html.count("</style>") == 1


def test_the_same_rows_give_the_same_page() -> None:
    assert html_of(full_view()) == html_by("full")


def test_undone_waves_are_marked_in_the_table_and_on_the_curve() -> None:
    page = Page(html_by("full"))
    rows = [found["class"] for tag, found in page.tags if tag == "tr" and "wave" in found.get("class", "").split()]
    assert rows == ["wave kept", "wave set-aside", "wave undone", "wave undone"]
    marks = [found for _, found in page.tags if found.get("data-fate") == "undone"]
    assert {found["data-step"] for found in marks} == {"wave-3", "wave-4"}


def test_what_was_undone_is_told_with_its_reason() -> None:
    text = Page(html_by("full")).text
    assert "Wave 4, undone: perplexity rose over the last good state by +6.74%, limit +2.00%" in text
    assert "File of wave 2, rejected in the step judge : perplexity_ratio: 1.0368" in text
    assert "412,883" in text


def test_the_headline_says_what_went_in_what_came_out_and_the_verdict() -> None:
    text = Page(html_by("full")).text
    assert f"In went SmolLM2-135M-Instruct , a llama of 30 layers and {NUM_WEIGHTS:,} weights: 270.9 MB" in text
    assert "Out came demo-q4_0.gguf , 91.73 MB . It holds the state after wave 1 of 4." in text
    assert "Verdict: warn. The exported file passed its gate, close to the limit." in text


def test_a_failed_run_says_where_and_why_and_how_to_go_on() -> None:
    text = Page(html_by("failed in a wave")).text
    assert "This run failed in the step wave-3 ." in text
    assert ERROR["message"] in text
    assert "birdbone run --resume demo-20260301-made-up" in text
    assert "No file came out. The last good state is that after wave 2 of 3." in text
    assert "No verdict." in text


def test_a_stopped_run_exports_nothing_and_says_so() -> None:
    text = Page(html_by("stopped at the judge")).text
    assert "This run was stopped in the step judge ." in text
    assert "no verdict has accepted it: this run has exported nothing" in text
    assert "It was made of the state after wave 2." in text
    assert ERROR["code"] not in text  # to be stopped is no fault


def test_a_run_that_fell_back_does_not_call_its_file_a_pass() -> None:
    text = Page(html_by("fallback")).text
    assert "Verdict: fail. The rounded file failed its gate" in text
    assert "passed its gate" not in text


def test_resumes_durations_and_tries_are_on_the_timeline() -> None:
    text = Page(html_by("full")).text
    assert "1 min 18 s 2 (resumed)" in text


def test_importance_is_not_measured_where_no_step_left_it() -> None:
    view = full_view()
    steps = []
    for step in view.steps:
        result = dict(step.result or {})
        result["notes"] = {key: value for key, value in result["notes"].items() if key != "importance_by_linear"}
        steps.append(dataclasses.replace(step, result=result))
    text = Page(html_of(dataclasses.replace(view, steps=tuple(steps)))).text
    assert "Importance by linear: not measured" in text
    assert "Importance by linear: not measured" not in Page(html_of(view)).text


def test_the_whole_recipe_and_the_machine_are_on_the_page() -> None:
    text = Page(html_by("full")).text
    assert "max_total_rise: 0.03" in text
    assert "A made-up CPU with a rather long name" in text
    assert "torch 2.13.0" in text


def test_the_works_behind_the_finished_steps_are_named() -> None:
    text = Page(html_by("full")).text
    assert "arXiv:2306.11695" in text
    assert "Evci, Utku; Gale, Trevor" in text
    assert "arXiv:1911.11134" not in Page(html_of(cut_view("wave-3", status="stopped"))).text


def test_rounding_is_told_from_the_newest_round_only() -> None:
    rounding = read_rounding(full_view())
    assert rounding is not None
    assert (rounding.step, rounding.low_rank_step, rounding.wave) == ("quantize-try2", "low_rank-try2", 1)
    cut = read_rounding(cut_view("low_rank-try2", status="stopped"))
    assert cut is not None
    assert (cut.step, cut.low_rank_step, cut.errors_after, cut.tensor_counts) == ("quantize-try2", None, (), {})
    assert read_rounding(empty_view()) is None
    text = Page(html_by("full")).text
    assert "of the codes as the step quantize-try2 stored them, before the low-rank correction" in text
    assert "learned for 27 of 30 blocks" in text
    moved = (
        "went from 0.0312 to 0.0287 nats a token away from the dense model's on 4 windows that it did not learn from"
    )
    assert f"{moved}: merged into the scales" in text


def without_notes(view: RunView) -> RunView:
    """The run as steps of another release might leave it: the notes that the steps need, and no more."""
    needed = {"wave", "verdict", "good_states"}
    steps = []
    for step in view.steps:
        notes = {key: value for key, value in (step.result or {})["notes"].items() if key in needed}
        steps.append(dataclasses.replace(step, result={**(step.result or {}), "notes": notes}))
    return dataclasses.replace(view, steps=tuple(steps))


def test_notes_that_a_step_did_not_leave_are_no_fault() -> None:
    text = Page(html_of(without_notes(full_view()))).text
    assert "Importance by linear: not measured" in text


def test_headings_go_down_one_level_at_a_time() -> None:
    levels = [int(tag[1]) for tag, _ in Page(html_by("full")).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_scroll_boxes_can_be_reached_and_named_by_keyboard() -> None:
    boxes = [found for _, found in Page(html_by("full")).tags if "scroll" in found.get("class", "").split()]
    assert boxes
    assert all(box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"] for box in boxes)


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_reach_the_contrast_of_wcag_aa(theme: int) -> None:
    found = colours(re.findall(r":root \{(.*?)\}", html_by("empty"), flags=re.DOTALL)[theme])
    for name in ("ink", "soft", "link", "good", "fair", "bad", "kept", "undone", "out", "aside"):
        for ground in ("page", "sheet"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)


def test_the_page_is_written_whole_in_place_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    assert write_report(empty_view(), path) == path
    write_report(full_view(), path)
    assert path.read_text(encoding="utf-8") == html_by("full")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
