"""The page about cost: what it says, what it does not, and the flame picture."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.cost.made_up import profile, report

from birdbone.evaluate.cost import CostReport
from birdbone.evaluate.cost.comparison import compare_costs
from birdbone.evaluate.cost.results import Flame, PhaseBound
from birdbone.pipeline.report.cost_page import render_cost_page, write_cost_report
from birdbone.pipeline.report.cost_words import bound_words, label_words, ratio_words, setting_words
from birdbone.pipeline.report.flame import flame_picture

VOID = {"meta", "br", "link"}


class Reader(HTMLParser):
    """Collects elements with their attributes, and fails on a tag that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


def test_a_page_has_every_figure_and_says_what_was_not_measured() -> None:
    made = report()
    page = Reader(render_cost_page([made]))
    shown = {
        attributes["data-name"]: float(attributes["value"] or "nan") for tag, attributes in page.found if tag == "data"
    }
    assert shown == {row.name: row.value for row in made.measurements}
    told = " ".join(page.words)
    assert "not measured" in told
    assert "the machine does not tell" in told
    assert "Made-up CPU <1>" in told


def test_a_page_needs_nothing_from_elsewhere() -> None:
    text = render_cost_page([report()])
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert "default-src 'none'" in text


def test_every_link_has_its_place() -> None:
    first, second = report("a"), report("b", slowness=2.0)
    page = Reader(render_cost_page([first, second], [compare_costs(second, first)]))
    places = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in page.found if tag == "a"}
    assert links <= places
    assert "beside" in links


def test_an_engine_that_cannot_be_looked_into_says_so() -> None:
    page = Reader(render_cost_page([report(has_profile=False)]))
    assert page.of_class("flame") == []
    assert "llama.cpp cannot be looked into" in " ".join(page.words)


def test_every_box_can_be_reached_and_says_what_it_is() -> None:
    page = Reader(str(flame_picture(profile("decode").flame, label="Flame")))
    boxes = page.of_class("box")
    assert [str(box["title"]).split(":")[0] for box in boxes] == ["decode", "Model", "aten", "softmax"]
    assert all(box["tabindex"] == "0" and box["title"] == box["aria-label"] for box in boxes)
    assert boxes[2]["title"] == "aten::<mm>: 60.0 % of the time, 6.00 ms in 12 calls (matrix product)"
    assert boxes[0]["title"] == "decode: 100.0 % of the time, 10.00 ms in 1 call (module)"
    widths = [attributes["style"] for tag, attributes in page.found if tag == "li"]
    assert widths == ["width:100.000%", "width:80.000%", "width:75.000%", "width:12.500%"]


FLAMES = st.recursive(
    st.builds(lambda own: Flame(name="leaf", kind="other operator", seconds=own, count=1), st.floats(1e-6, 1.0)),
    lambda inner: st.builds(
        lambda own, below: Flame(
            name="box", kind="module", seconds=own + sum(box.seconds for box in below), count=1, children=tuple(below)
        ),
        st.floats(0, 1.0),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=30)
@given(FLAMES)
def test_boxes_never_run_over_the_box_above(flame: Flame) -> None:
    within = [[0.0]]  # widths of the boxes of each row that is open
    for tag, width in re.findall(r'<(/?ul|li)(?: style="width:([0-9.]+)%")?', str(flame_picture(flame, label="Flame"))):
        if tag == "ul":
            within.append([])
        elif tag == "/ul":
            assert 0 < sum(within.pop()) <= 100.01
        else:
            within[-1].append(float(width))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("prefill_rate.128", "Prefill rate, 128 tokens"),
        ("decode_energy", "Energy of decoding"),
        ("something_else", "something_else"),
    ],
)
def test_labels(name: str, label: str) -> None:
    assert label_words(name) == label


def test_every_figure_has_a_name_for_people() -> None:
    made = report()
    names = [row.name for row in made.measurements] + list(made.not_measured)
    assert all(label_words(name)[0].isupper() for name in names)


def test_settings_and_bounds_in_words() -> None:
    made = report()
    assert setting_words(made) == "torch in float32 on the CPU, 2 threads"
    assert setting_words(report(has_profile=False)) == "llama.cpp on the CPU, 2 threads"
    assert bound_words(made.bounds[0]).startswith("Decoding is bounded by memory: it uses ")
    neither = PhaseBound(
        phase="prefill of 8 tokens",
        flops=1,
        num_bytes=1,
        seconds=1,
        intensity=1,
        bandwidth_share=0.2,
        matmul_share=0.1,
        bound="neither",
    )
    assert bound_words(neither) == (
        "The prefill of 8 tokens is bounded by neither memory nor arithmetic: it uses 20 % of the memory bandwidth and "
        "10 % of the matrix products that the probe reached. The rest is calls or waiting."
    )


def test_ratios_in_words() -> None:
    rows = {row.name: row for row in compare_costs(report("b", slowness=2.0), report("a")).ratios}
    assert ratio_words(rows["decode_rate"]) == "× 0.500 [0.500, 0.500]"
    assert ratio_words(rows["size"]) == "× 1.000"


def test_both_files_are_written_and_the_data_can_be_read_again(tmp_path: Path) -> None:
    made = report()
    page, data = write_cost_report(tmp_path / "out", [made])
    assert page.read_text(encoding="utf-8") == render_cost_page([made])
    (read,) = json.loads(data.read_text())["reports"]
    assert CostReport.model_validate_json(json.dumps(read)) == made
