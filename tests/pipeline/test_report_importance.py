"""The page, the tables and the pictures about importance say what the analysis says, and nothing from outside."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet
import pytest
import torch

from birdbone.compress.config import AnalysisConfig
from birdbone.compress.importance.analysis import Analysis, analyse_scores
from birdbone.compress.importance.model_scores import LinearScores
from birdbone.models import LinearSlot
from birdbone.pipeline.report.importance.page import render_page, write_page
from birdbone.pipeline.report.importance.page_data import measures, page_data
from birdbone.pipeline.report.importance.pictures import draw_pictures, write_pictures
from birdbone.pipeline.report.importance.tables import About, analysis_data, write_tables
from birdbone.watch import MissingExtraError

ABOUT = About(
    model="a <tiny> & model",
    artefact="b3:00",
    text="bundled",
    text_digest="b3:11",
    windows_digest="b3:22",
    num_windows=4,
    window_tokens=32,
    first_token_share=0.1,
    seed=7,
    metrics={"wanda": {"kind": "wanda"}, "ria": {"kind": "ria", "activation_power": 0.5}},
    birdbone="0.0",
)


def analyse(*metrics: str) -> Analysis:
    """Random scores of three layers of two linears; by the last metric all weights score alike."""
    generator = torch.Generator().manual_seed(0)
    linears = []
    for layer in range(3):
        for role, shape in (("q", (6, 8)), ("down", (8, 12))):
            path = f"model.layers.{layer}.{role}_proj"
            slot = LinearSlot(role=role, path=path, out_features=shape[0], in_features=shape[1], has_bias=False)
            scores = {metric: (layer + 1) * torch.rand(*shape, generator=generator) ** 3 for metric in metrics}
            scores[metrics[-1]] = torch.ones(*shape)
            linears.append(LinearScores(layer=layer, slot=slot, scores=scores))
    return analyse_scores(linears, AnalysisConfig(num_histogram_bins=6), generator=generator)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse("wanda", "ria", "flat")


def test_the_page_is_one_file_that_runs_its_own_script_only(analysis: Analysis) -> None:
    page = render_page(analysis, ABOUT)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert re.findall(r"(?:src|href)=\"(?!#)", page) == []
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert "<title>a &lt;tiny&gt; &amp; model: importance of weights</title>" in page
    assert render_page(analysis, ABOUT) == page


def test_everything_that_the_script_looks_for_is_on_the_page_and_named_for_those_who_hear_it(
    analysis: Analysis,
) -> None:
    page = render_page(analysis, ABOUT)
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\bat\("([\w-]+)"\)', page)) <= set(ids)
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= set(ids)
    controls = re.findall(r"<(select|input)\b", page.partition("<script")[0])
    labelled = re.findall(r"<label>[^<]*<(?:select|input)\b", page)
    assert len(controls) == len(labelled) > 4


def test_the_page_of_one_metric_compares_nothing() -> None:
    page = render_page(analyse("wanda"), ABOUT)
    assert "Do the metrics agree?" not in page
    assert 'id="agreement"' not in page


def test_the_script_draws_from_the_figures_of_the_analysis(analysis: Analysis) -> None:
    page = render_page(analysis, ABOUT)
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    data = json.loads(text)
    assert data == json.loads(json.dumps(page_data(analysis)))
    keys = [key for key, _, _ in measures(analysis)]
    for metric in analysis.metrics:
        for index, summary in enumerate(analysis.of_scope("linear", metric)):
            values = {key: data["values"][metric][key][index] for key in keys}
            assert values["mean"] == pytest.approx(summary.mean, rel=1e-4)
            assert values["quantile 0.5"] == pytest.approx(summary.quantiles[0.5], rel=1e-4)
            assert values["top 0.1"] == pytest.approx(summary.held_by_top[0.1], rel=1e-4)
            assert values["global 0.7"] == pytest.approx(summary.global_sparsity[0.7], rel=1e-4)
            assert tuple(data["histograms"][metric][index]) == summary.histogram
            assert data["linears"][index]["path"] == summary.place.name
    pairs = {(each["first"], each["second"]): each for each in data["agreements"]}
    assert pairs[("wanda", "flat")]["rank"] == [None] * 6  # all alike: there is no order to agree with
    assert all(-1 <= value <= 1 for value in pairs[("wanda", "ria")]["rank"])


def test_the_words_of_a_page_hold_the_figures_without_a_script(analysis: Analysis) -> None:
    page = render_page(analysis, ABOUT)
    for metric in analysis.metrics:
        for role in analysis.of_scope("role", metric):
            assert f"{role.mean:.3g}" in page
            assert f"{100 * role.global_sparsity[0.5]:.1f} %" in page
    assert "432 weights of the decoder's linears, scored on 4 windows of 32 tokens" in page


def test_data_cannot_end_its_script(tmp_path: Path) -> None:
    analysis = analyse("</script><b>&", "ria")
    page = write_page(tmp_path, analysis, ABOUT).read_text(encoding="utf-8")
    assert "</script><b>" not in page
    (text,) = re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert json.loads(text)["metrics"][0] == "</script><b>&"


def test_the_three_formats_hold_the_same_rows(analysis: Analysis, tmp_path: Path) -> None:
    names = {path.name for path in write_tables(tmp_path, analysis, ABOUT)}
    assert names == {
        "importance.json",
        *("importance.csv", "importance.parquet"),
        *("agreement.csv", "agreement.parquet"),
    }
    told = json.loads((tmp_path / "importance.json").read_text())
    assert told == json.loads(json.dumps(analysis_data(analysis, ABOUT)))
    assert told["about"]["seed"] == 7
    for name, key in (("importance", "summaries"), ("agreement", "agreements")):
        rows = [{field: value for field, value in row.items() if field != "histogram"} for row in told[key]]
        assert pyarrow.parquet.read_table(tmp_path / f"{name}.parquet").to_pylist() == rows
        with (tmp_path / f"{name}.csv").open(newline="") as stream:
            written = list(csv.DictReader(stream))
        assert written == [{field: _as_text(value) for field, value in row.items()} for row in rows]
    assert len(told["summaries"]) == 3 * (6 + 3 + 2 + 1)


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)


def test_a_threshold_of_a_row_says_what_it_does(analysis: Analysis) -> None:
    row = next(row for row in analysis_data(analysis, ABOUT)["summaries"] if row["scope"] == "model")
    assert row["threshold_quantile_0.5_sparsity"] <= 0.5
    assert row["threshold_importance_0.95_importance_kept"] >= 0.95
    assert {name for name in row if name.startswith("threshold_z_score_-0.5")} == {
        "threshold_z_score_-0.5",
        "threshold_z_score_-0.5_sparsity",
        "threshold_z_score_-0.5_importance_kept",
    }


def test_pictures_are_drawn_as_png_and_svg_and_are_the_same_each_time(tmp_path: Path) -> None:
    analysis = analyse("wanda")
    paths = write_pictures(tmp_path / "a", analysis)
    stems = ("heat-wanda", "histogram-wanda")
    assert [path.name for path in paths] == [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")]
    for path in paths:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    again = write_pictures(tmp_path / "b", analysis)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_pictures_of_several_metrics_compare_them(analysis: Analysis) -> None:
    figures = dict(draw_pictures(analysis))
    assert {*figures} == {*(f"{kind}-{name}" for kind in ("heat", "histogram") for name in analysis.metrics)} | {
        "agreement",
        "ranks",
    }
    table = figures["agreement"].axes[0]
    assert [label.get_text() for label in table.get_yticklabels()] == list(analysis.metrics)
    assert len(table.texts) == 3 + 2  # `flat` has an order with itself only: four cells stay blank
    points = figures["ranks"].axes[0].collections[0].get_offsets()
    assert len(points) == len(analysis.sample.paths)


def test_pictures_without_their_library_say_what_to_install(
    analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib") as caught:
        write_pictures(tmp_path, analysis)
    assert "birdbone[plots]" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []
