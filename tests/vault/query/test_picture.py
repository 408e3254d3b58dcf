"""The page draws every version once and every line of descent, says each node in words, and needs nothing else."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from birdbone.vault import Lineage
from birdbone.vault.query.picture import figure_words, lay_out_picture, render_lineage, write_lineage

from ..histories import figure, made, snapshot_of, snapshots

DATASET = "b3:" + "d" * 64
VOID = {"meta", "link"}


class Page(HTMLParser):
    """Every element that was opened, with its attributes and the text in it; elements must nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        words: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attributes}, words))
        if tag not in VOID:
            self.open.append((tag, words))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}, []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, words in self.open:
            words.append(data)

    def all(self, tag: str, css: str = "") -> list[tuple[dict[str, str], str]]:
        found = [(a, "".join(w)) for t, a, w in self.elements if t == tag]
        return [(a, " ".join(w.split())) for a, w in found if css in a.get("class", "").split() or not css]


def drawn_edges(picture) -> set[tuple[str, str]]:
    """Follow the strokes of the drawing from every node down to the next."""
    nodes = {(entry.x, entry.y): entry.key for entry in picture.entries}
    strokes = [[int(number) for number in re.findall(r"\d+", stroke.path)] for stroke in picture.strokes]
    lines = [(s[0], s[1], s[0], s[2]) if len(s) == 3 else (s[0], s[1], s[6], s[7]) for s in strokes]
    falls = [(s[0], s[1], s[2]) if len(s) == 3 else (s[6], s[7], s[8]) for s in strokes if len(s) in (3, 9)]

    def end_of(x: int, y: int) -> str | None:
        if (x, y) in nodes:
            return nodes[x, y]
        for lane, top, bottom in falls:
            if lane == x and top <= y < bottom:
                return end_of(x, bottom)
        bends = [(to, bend) for begin, top, to, bend in lines if (begin, top) == (x, y) and to != x]
        return end_of(*bends[0]) if bends else None

    found = set()
    for x, y, to, bottom in lines:
        if (x, y) in nodes:
            found.add((nodes[x, y], end_of(to, bottom)))
    return found


@settings(max_examples=150, deadline=None)
@given(snapshots())
def test_every_node_stands_once_and_its_strokes_lead_to_its_parents(snapshot):
    picture = lay_out_picture(snapshot)
    assert sorted(entry.key for entry in picture.entries) == sorted(snapshot.versions)
    assert len({(entry.x, entry.y) for entry in picture.entries}) == len(picture.entries)
    assert drawn_edges(picture) == {
        (id, parent) for id, version in snapshot.versions.items() for parent in version.parents
    }
    assert all(entry.x < picture.width and entry.y < picture.height for entry in picture.entries)


@settings(max_examples=25, deadline=None)
@given(snapshots())
def test_the_page_is_whole_and_the_same_each_time(snapshot):
    text = render_lineage(snapshot)
    page = Page(text)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    targets = {attributes["href"] for attributes, _ in page.all("a")}
    assert len(ids) == len(set(ids))
    assert targets <= {f"#{id}" for id in ids}
    assert text == render_lineage(snapshot)


@pytest.fixture
def snapshot():
    lineage = {step: Lineage(run_id="demo-1", step=step, datasets=(DATASET,)) for step in ("seed", "wave-1")}
    root = made(0, message="dense model", lineage=lineage["seed"])
    rows = [
        figure("perplexity", 20.5, low=19.25, high=21.75, sample_size=8176, method="16 windows"),
        figure("size", 91_700_000, unit="byte", basis="estimated"),
    ]
    wave = made(1, root, message="wave 1\n\nAll of it.", measurements=rows, lineage=lineage["wave-1"])
    return snapshot_of(root, wave, main=wave, head="main", tag_v1=root)


def test_every_node_can_be_reached_by_key_and_is_told_in_words(snapshot):
    page = Page(render_lineage(snapshot, title="Ours"))
    spoken = [attributes["aria-label"] for attributes, _ in page.all("a") if "aria-label" in attributes]
    wave, root = snapshot.versions
    assert spoken == [
        f"Version {wave[3:13]}: wave 1. By Ada, 2026-01-02 00:00 UTC. Refs: HEAD -> main."
        " perplexity 20.5, size 91.7 MB (estimated).",
        f"Version {root[3:13]}: dense model. By Ada, 2026-01-01 00:00 UTC. Refs: tags/v1. not measured.",
        "Run demo-1: made 2 versions here, seed to wave-1.",
        "Dataset dddddddddd: behind 2 versions here.",
    ]
    assert [text for _, text in page.all("h1")] == ["Ours"]
    assert page.all("p", "soft")[0][1] == "2 versions, 1 branch, 1 tag, 1 run, 1 dataset."


def test_each_kind_of_node_has_a_shape_of_its_own(snapshot):
    page = Page(render_lineage(snapshot))
    nodes = [a["class"] for tag, a, _ in page.elements if tag in ("circle", "rect", "path") and "node" in a["class"]]
    in_legend_and_entries = {"node version": 1 + 2, "node run": 1 + 1, "node dataset": 1 + 1}
    drawn = {"node version": 2, "node run": 1, "node dataset": 1}
    assert Counter(nodes) == Counter(in_legend_and_entries) + Counter(drawn)
    picture = lay_out_picture(snapshot)
    wave, root = snapshot.versions
    run, dataset = "run:demo-1", f"dataset:{DATASET}"
    assert drawn_edges(picture) == {(wave, root), (wave, run), (root, run), (run, dataset)}


def test_the_entry_of_a_version_has_every_figure_with_its_evidence(snapshot):
    page = Page(render_lineage(snapshot))
    articles = [text for _, text in page.all("article")]
    cells = [text for _, text in page.all("td")]
    assert cells == [
        *("20.5", "19.25 to 21.75", "measured", "8,176", "16 windows"),
        *("91.7 MB", "none", "estimated", "none", "counted"),
    ]
    assert "All of it." in articles[0]
    assert "not measured" in articles[1]


def test_what_was_not_measured_is_called_that():
    words = figure_words({"name": "loss", "value": None})
    assert (words.value, words.interval, words.basis) == ("", "", "")
    text = render_lineage(snapshot_of(made(0, measurements=[{"name": "loss", "value": None}])))
    assert Page(text).all("td")[0][1] == "not measured"


def test_the_figures_shown_are_those_asked_for_or_the_most_common(snapshot):
    first = lay_out_picture(snapshot, figures=["size"]).entries[0]
    assert [figure.name for figure in first.key_figures] == ["size"]
    versions = [made(day, measurements=[figure("rare", 1), figure("usual", 2)][day % 2 :]) for day in range(4)]
    shown = lay_out_picture(snapshot_of(*versions)).entries
    assert [[figure.name for figure in entry.key_figures] for entry in shown[-2:]] == [["usual"], ["usual", "rare"]]


def test_a_page_of_the_newest_says_how_many_are_not_shown(snapshot):
    page = Page(render_lineage(snapshot, limit=1))
    assert "1 older version is not shown." in page.all("p", "soft")[0][1]
    assert len(page.all("circle", "target")) == 3
    assert "(not shown)" in page.all("article")[0][1]


def test_no_text_of_a_version_becomes_markup():
    evil = '<script>alert("1")</script>&\'"'
    version = made(
        0,
        message=evil,
        author=evil,
        lineage=Lineage(run_id=evil, step=evil, datasets=(evil,)),
        measurements=[figure(evil, 1, unit=evil, basis=evil, method=evil)],
    )
    page = Page(render_lineage(snapshot_of(version), title=evil))
    assert not page.all("script")
    assert page.all("h1")[0][1] == evil


def test_the_page_asks_for_nothing_from_anywhere(snapshot):
    text = render_lineage(snapshot)
    assert not re.search(r"https?:|//|@import|url\(|<script|\ssrc=|\son\w+=", text)
    assert "prefers-color-scheme: dark" in text


def test_an_empty_store_gives_a_page_that_says_so(tmp_path):
    path = write_lineage(snapshot_of(), tmp_path / "lineage.html")
    assert "No version is here yet." in path.read_text()
