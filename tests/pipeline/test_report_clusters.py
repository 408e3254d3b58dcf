"""The page of clusters: self-contained, the same twice, each picture with what it shows."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.compress.clusters.made_up import clustering, table

from birdbone.compress.clusters.groups import Agreement, Part, Places, Quality, Stability
from birdbone.compress.clusters.matching import follow_clusters
from birdbone.pipeline.report.clusters import ClusterPage, render_cluster_page
from birdbone.pipeline.report.clusters.flow import flow_picture
from birdbone.pipeline.report.clusters.marks import NUM_COLOURS, NUM_SHAPES, mark_class, mark_path
from birdbone.pipeline.report.clusters.matrix import deviation_class, share_class
from birdbone.pipeline.report.clusters.network import network
from birdbone.pipeline.report.clusters.scatter import MAX_IN_SPACE, scatter, seen, space

LABELS = [0] * 6 + [1] * 4 + [2] * 2


def page(**change: object) -> ClusterPage:
    draw = np.random.default_rng(0)
    quality = Quality(
        num_clusters=3, num_units=12, silhouette=0.25, inertia=4.0, davies_bouldin=None, calinski_harabasz=8.5
    )
    part = Part(
        layer=0,
        num_components=3,
        variance_kept=0.9,
        num_outside=0,
        quality=quality,
        tried=(quality,),
        stability=Stability(
            seeds=Agreement(mean=0.9, least=0.8, low=0.81, high=0.99, num_pairs=6), halves=0.5, subsamples=None
        ),
    )
    made = replace(clustering(LABELS), parts=(part,))
    known = {
        "title": "a <model>",
        "facts": [("Text", "some & more")],
        "clustering": made,
        "table": table(draw.standard_normal((12, 3)), draw.standard_normal((12, 8))),
        "places": {0: Places(drawn_M=np.arange(12), pca_M3=draw.standard_normal((12, 3)), tsne_M2=None)},
        "method_change": ("agglomerative", follow_clusters(made, clustering([0] * 7 + [1] * 5))),
    }
    return ClusterPage(**{**known, **change})  # type: ignore[arg-type]


def test_the_page_stands_alone_and_says_what_was_not_measured() -> None:
    html = render_cluster_page(page())
    assert html == render_cluster_page(page())
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert "default-src 'none'" in html
    assert "a &lt;model&gt;: clusters of neurons" in html
    assert "some &amp; more" in html
    assert "0.90 [0.81, 0.99]" in html
    assert html.count("not measured") >= 2
    assert "kmeans beside agglomerative" in html
    assert "From" not in re.findall(r"<h2[^>]*>([^<]*)", html)
    assert html.count('class="unit c0"') == 12  # six units, in the plane and in the space


def test_layers_without_places_are_listed_and_said_not_to_be_drawn() -> None:
    made = page().clustering
    two = replace(made, parts=(made.parts[0], replace(made.parts[0], layer=7)))
    html = render_cluster_page(page(clustering=two))
    assert "1 of 2 layers are drawn" in html
    assert "layer 7" in html


def test_an_earlier_clustering_is_shown_as_bands() -> None:
    change = follow_clusters(clustering([0] * 4 + [1] * 8), page().clustering)
    html = render_cluster_page(page(wave_change=("before.json", change)))
    assert "From before.json to this model" in html
    assert "n1 to n1: 4 units" in html


def test_every_band_is_as_wide_as_its_units() -> None:
    change = follow_clusters(clustering([0, 0, 0, 1, 2, 2]), clustering([0, 0, 1, 1, 1, 1]))
    picture = str(flow_picture(change, label="x", sides=("a", "b")))
    told = dict(re.findall(r"<title>(n\d to n\d): (\d) units", picture))
    assert told == {"n0 to n0": "2", "n0 to n1": "1", "n1 to n1": "1", "n2 to n1": "2"}
    assert "n1 ends" in picture
    assert "is new" not in picture


def test_neighbouring_clusters_differ_in_colour_and_in_shape() -> None:
    marks = [(mark_class(number), mark_path(number)) for number in range(NUM_COLOURS * NUM_SHAPES)]
    assert len(set(marks)) == len(marks)
    assert all(one[0] != other[0] and one[1] != other[1] for one, other in itertools.pairwise(marks))


def test_the_space_is_drawn_as_the_script_first_turns_it() -> None:
    corner = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    picture = str(space(corner, [0, 1], label="x"))
    x, y = seen(corner[0])
    assert f'transform="translate({x:.1f} {y:.1f})"' in picture
    assert 'data-at="1.000 1.000 1.000"' in picture
    many = np.random.default_rng(0).standard_normal((MAX_IN_SPACE + 200, 3))
    assert str(space(many, [0] * len(many), label="x")).count("data-at") == MAX_IN_SPACE


def test_all_units_stay_within_the_picture() -> None:
    places = np.vstack([np.random.default_rng(0).standard_normal((500, 2)), [[1e6, -1e6]]])
    picture = str(scatter(places, [0] * 501, names=["n0"], label="x", axes=("", "")))
    spots = np.array([[float(x), float(y)] for x, y in re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", picture)])
    assert spots.min() >= 0
    assert spots.max() <= 420
    assert np.median(spots[:, 0]) == pytest.approx(210, abs=60)


def test_only_ties_beyond_chance_are_lines_and_negative_ones_are_broken() -> None:
    ties = np.array([[0.2, 0.3, 0.0], [0.3, np.nan, 0.1], [0.0, 0.1, 0.1]])
    signs = np.array([[0.1, 0.2, 0.0], [0.2, np.nan, -0.05], [0.0, -0.05, 0.0]])
    picture = str(network(ties, signs, [5, 1, 3], names=["n0", "n1", "n2"], numbers=range(3), label="x"))
    assert picture.count("<line") == 2
    assert picture.count("tie against") == 1
    assert "n1: 1 units, tie within not measured" in picture


def test_shades_rise_with_their_values() -> None:
    assert [deviation_class(value) for value in (-2, 0, 2)] == ["d0", "d3", "d6"]
    assert [share_class(value) for value in (0, 0.1, 1)] == ["q0", "q1", "q5"]
