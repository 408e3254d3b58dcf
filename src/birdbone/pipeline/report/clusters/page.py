"""The page: clusters and their pictures put into the template. One file, no network; its one script turns spaces."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Agreement, Clustering, Part, Places
from birdbone.compress.clusters.matching import Evolution
from birdbone.compress.clusters.topology import cluster_correlations, cluster_profiles, cluster_ties
from birdbone.core.pages import page_environment, page_script
from birdbone.pipeline.report.clusters.flow import flow_picture
from birdbone.pipeline.report.clusters.marks import mark_class, mark_path
from birdbone.pipeline.report.clusters.matrix import DEVIATIONS, deviation_class, matrix, share_class
from birdbone.pipeline.report.clusters.network import network
from birdbone.pipeline.report.clusters.scatter import scatter, space
from birdbone.pipeline.report.svg import Attributes, element

NOT_MEASURED = "not measured"

_MAX_FLOW = 24  # more bands on a side cannot be told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPage:
    """What the page shows.

    Attributes:
        facts: what was clustered and how, as name and words.
        places: where units are drawn, by layer; None is all layers together. Parts without places get no pictures.
        method_change: this clustering beside that of another method; its name.
        wave_change: an earlier clustering beside this one; the earlier one's name.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    clustering: Clustering
    table: FeatureTable
    places: Mapping[int | None, Places]
    method_change: tuple[str, Evolution] | None = None
    wave_change: tuple[str, Evolution] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPictures:
    """Drawings of one part; a drawing that cannot be made is None."""

    title: str
    names: Sequence[tuple[Markup, str]]
    plane: Markup
    neighbours: Markup | None
    space: Markup
    graph: Markup


def render_cluster_page(page: ClusterPage) -> str:
    """Return the page as HTML. The same data give the same text."""
    environment = page_environment(
        "birdbone.pipeline.report", {"figure": figure_words, "agreement": agreement_words, "place": place_words}
    )
    script, script_source = page_script(environment, "turn.js")
    return environment.get_template("clusters.html.j2").render(
        page=page,
        clustering=page.clustering,
        pictures=[_pictures(page, part) for part in page.clustering.parts if part.layer in page.places],
        profiles=_profiles(page),
        deviations=_deviation_legend(),
        changes=_changes(page),
        script=script,
        script_source=script_source,
    )


def figure_words(value: float | None, digits: int = 3) -> str:
    """Return a figure, or that it was not measured."""
    return NOT_MEASURED if value is None else f"{value:,.{digits}f}"


def agreement_words(value: Agreement | float | None) -> str:
    """Return an agreement with its spread, or that it was not measured."""
    if isinstance(value, Agreement):
        return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
    return figure_words(value, 2)


def place_words(layer: int | None) -> str:
    """Return what a part is called."""
    return "all layers" if layer is None else f"layer {layer}"


def _pictures(page: ClusterPage, part: Part) -> PartPictures:
    clustering, places = page.clustering, page.places[part.layer]
    is_here_N = np.full(len(clustering.label_N), True) if part.layer is None else clustering.layer_N == part.layer
    label_M = clustering.label_N[is_here_N][places.drawn_M]
    own = sorted(set(clustering.label_N[is_here_N].tolist()))
    local = {label: number for number, label in enumerate(own)}
    numbers = [local[label] for label in label_M.tolist()]
    names = [clustering.clusters[label].name.rpartition(".")[2] for label in own]
    where = f"{clustering.units} of {place_words(part.layer)}"
    correlation_GG = cluster_correlations(page.table, clustering)[np.ix_(own, own)]
    return PartPictures(
        title=where.capitalize(),
        names=[(_key(number), name) for number, name in enumerate(names)],
        plane=scatter(
            places.pca_M3[:, :2],
            numbers,
            names=names,
            label=f"First two components of {where}",
            axes=("component 1", "component 2"),
        ),
        neighbours=None
        if places.tsne_M2 is None
        else scatter(places.tsne_M2, numbers, names=names, label=f"t-SNE of {where}", axes=("", "")),
        space=space(places.pca_M3, numbers, label=f"Three components of {where}; arrow keys turn it"),
        graph=network(
            cluster_ties(page.table, clustering)[np.ix_(own, own)],
            correlation_GG,
            [clustering.clusters[label].num_units for label in own],
            names=names,
            numbers=range(len(own)),
            label=f"What fires together in {where}",
        ),
    )


def _profiles(page: ClusterPage) -> Markup:
    return matrix(
        cluster_profiles(page.table, page.clustering),
        [f"{cluster.name} ({cluster.num_units:,})" for cluster in page.clustering.clusters],
        page.table.names,
        label="Mean of each figure over each cluster",
        shade=deviation_class,
        words=lambda value: f"{value:+.2f} standard deviations",
    )


def _deviation_legend() -> list[tuple[str, str]]:
    edges = [f"{bound:+.1f}" for bound in DEVIATIONS]
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [(f"d{step}", words) for step, words in enumerate((f"under {edges[0]}", *inner, f"over {edges[-1]}"))]


def _changes(page: ClusterPage) -> list[tuple[str, str, Evolution, Markup, Markup | None]]:
    """Return each comparison: its anchor, its title, what was found, its matrix and its bands."""
    method, found = page.clustering.method, []
    if page.method_change is not None:
        name, change = page.method_change
        found.append(("methods", f"{method} beside {name}", change, *_change_pictures(change, (method, name))))
    if page.wave_change is not None:
        name, change = page.wave_change
        found.append(("waves", f"From {name} to this model", change, *_change_pictures(change, (name, "this model"))))
    return found


def _change_pictures(change: Evolution, sides: tuple[str, str]) -> tuple[Markup, Markup | None]:
    share_AB: NDArray[np.float64] = change.shared_AB / np.maximum(change.shared_AB.sum(axis=1, keepdims=True), 1)
    table = matrix(
        share_AB,
        change.names_A,
        change.names_B,
        label=f"Share of each cluster of {sides[0]} in each of {sides[1]}",
        shade=share_class,
        words=lambda value: f"{100 * value:.0f} % of it",
    )
    is_readable = max(len(change.names_A), len(change.names_B)) <= _MAX_FLOW
    return table, flow_picture(change, label=f"{sides[0]} to {sides[1]}", sides=sides) if is_readable else None


def _key(number: int) -> Markup:
    mark = element("path", {"d": mark_path(number, 5.0)})
    attributes: Attributes = {"viewBox": "-9 -9 18 18", "width": 16, "height": 16, "aria-hidden": "true"}
    return element("svg", {**attributes, "class": f"key {mark_class(number)}"}, mark)
