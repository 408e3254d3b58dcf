"""The leaderboard says no more than the intervals do, and only what was measured."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.benchmarks.comparison import compare
from birdbone.evaluate.history import open_history
from birdbone.evaluate.history.board import board_of, ranks_of
from birdbone.evaluate.history.exports.card import model_card
from birdbone.evaluate.history.exports.tables import figures_table
from birdbone.evaluate.history.pages import ComparedCandidate, render_board, render_comparison

from .recorded import digest, keep, result_of, rights


@dataclass(frozen=True)
class Ends:
    low: float | None
    high: float | None


@pytest.fixture
def history(tmp_path):
    return open_history(tmp_path)


class Page(HTMLParser):
    """What a browser would fetch, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.tags, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.fetched += [named[name] for name in ("src", "href", "srcset") if name in named]
        self.tags.append((tag, named))
        if tag not in ("meta", "link", "br", "circle", "line", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert not self.open or self.open.pop() == tag, tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def intervals():
    pair = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
    return st.lists(pair.map(lambda ends: Ends(*ends)), min_size=1, max_size=12)


@settings(max_examples=30)
@given(intervals())
def test_who_ranks_lower_is_surely_worse_and_the_best_rank_is_one(figures):
    ranks = ranks_of(figures)
    assert min(ranks) == 1
    for own, rank in zip(figures, ranks, strict=True):
        assert rank - 1 == len([other for other in figures if other.low > own.high])
    for one, first in zip(figures, ranks, strict=True):
        for two, second in zip(figures, ranks, strict=True):
            if one.low > two.high:
                assert first < second


def test_models_that_intervals_do_not_separate_share_a_place():
    figures = [Ends(0.7, 0.8), Ends(0.75, 0.85), Ends(0.2, 0.3), Ends(0.1, 0.2), Ends(None, None)]
    assert ranks_of(figures) == [1, 1, 3, 3, 1]


def test_a_board_has_the_newest_figure_of_each_model_and_says_what_was_not_measured(history):
    keep(history, rights(10, 100), day=0)
    keep(history, rights(90, 100), day=1)
    keep(history, rights(40, 100, artefact=digest("b")), model="other")
    keep(history, rights(70, 100, name="hellaswag", chance=0.25), day=2)
    board = board_of(history.records())
    assert [column.heading for column in board.columns] == ["hellaswag", "piqa"]
    assert [row.label for row in board.rows] == ["tiny", "other"]
    piqa = board.rows[0].cells[1]
    assert (piqa.figure.value, piqa.rank, piqa.is_shared) == (0.9, 1, False)
    assert board.rows[1].cells[0] is None
    other = board.rows[1].cells[1]
    assert (other.rank, other.evidence.is_above_chance) == (2, False)
    page = render_board(board)
    assert "not measured" in page
    assert "at chance" in page


def test_what_a_model_graded_is_its_opinion_wherever_it_is_shown(history):
    graded = rights(90, 100).model_copy(update={"settings": {"engine": "torch", "judged_by": "wise"}})
    record = keep(history, graded)
    assert record.evidence.is_above_chance is None
    for shown in (render_board(board_of([record])), model_card([record]), figures_table([record])):
        assert "a model's opinion" in html.unescape(shown)
        assert "above a guess" not in shown.split("<tbody>")[-1]


def test_a_benchmark_asked_in_two_ways_has_two_columns_and_models_of_one_name_are_told_apart(history):
    keep(history, rights(10, 100))
    keep(history, rights(10, 50, limit=50))
    keep(history, rights(10, 100, artefact=digest("b"), settings={"engine": "llama.cpp"}))
    board = board_of(history.records())
    assert [(column.heading, column.num_items) for column in board.columns] == [("piqa (1)", 50), ("piqa (2)", 100)]
    assert {row.label for row in board.rows} == {"tiny aaaaaaaa", "tiny bbbbbbbb"}
    assert {row.engine for row in board.rows} == {"torch, float32", "llama.cpp"}


def test_the_board_is_one_page_that_fetches_nothing_and_escapes_names(history):
    keep(history, rights(60, 100), model='<script>alert("x")</script>')
    page = render_board(board_of(history.records()))
    assert "<script>alert" not in page
    found = Page(page)
    assert found.open == []
    assert [address for address in found.fetched if not address.startswith("data:")] == []
    assert "http" not in page.replace("http-equiv", "")
    assert ("table", {"class": "board sortable"}) in found.tags


def test_the_script_of_the_board_is_the_only_one_that_may_run(history):
    page = render_board(board_of(history.records()))
    assert page.count("<script>") == 1
    assert "script-src 'sha256-" in page
    assert "No model was asked" in page


def test_a_board_is_drawn_to_scale(history):
    keep(history, rights(60, 100))
    marks = [named for tag, named in Page(render_board(board_of(history.records()))).tags if tag == "circle"]
    assert {"60"} <= {named["cx"] for named in marks}
    ranges = [named for tag, named in Page(render_board(board_of(history.records()))).tags if tag == "line"]
    guess = [named for named in ranges if named["class"] == "guess" and named["x1"] == "50"]
    assert len(guess) == 1


def compared(scores, baseline, name="piqa"):
    (row,) = compare([result_of(scores, name=name)], [result_of(baseline, name=name)])
    return row


def test_a_comparison_is_drawn_with_its_intervals_on_one_scale():
    draw = np.random.default_rng(0)
    baseline = draw.random(200) < 0.7
    worse, same = baseline & (draw.random(200) < 0.6), baseline.copy()
    rows = [compared(worse, baseline), compared(same, baseline, name="hellaswag")]
    page = Page(render_comparison("dense", [ComparedCandidate(name="pruned", comparisons=rows)]))
    assert page.open == []
    assert page.fetched == ["data:,"]
    drawn = [named for tag, named in page.tags if tag == "line" and "range" in named["class"]]
    assert [named["class"] for named in drawn] == ["range bad", "range unsure"]
    low, high = (float(drawn[0][end]) for end in ("x1", "x2"))
    zero = next(float(named["x1"]) for tag, named in page.tags if tag == "line" and named["class"] == "zero")
    change = rows[0].difference
    assert low < high < zero
    assert math.isclose((zero - low) / (zero - high), change.low / change.high, rel_tol=0.01)
    words = " ".join(page.words)
    assert f"{100 * change.value:+.1f} [{100 * change.low:+.1f}, {100 * change.high:+.1f}]" in words
    assert "alert" not in words


def test_a_baseline_at_chance_is_not_informative_and_no_common_benchmark_is_said_so():
    draw = np.random.default_rng(1)
    rows = [compared(draw.random(100) < 0.5, draw.random(100) < 0.5)]
    candidates = [ComparedCandidate(name="a", comparisons=rows), ComparedCandidate(name="b", comparisons=[])]
    page = render_comparison("dense", candidates)
    assert "not informative" in page
    assert "No benchmark was asked of both" in page
