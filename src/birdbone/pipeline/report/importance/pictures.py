"""Pictures of importance as PNG and SVG, drawn by matplotlib (extra `plots`)."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.importance.analysis import Analysis
from birdbone.core import write_atomically
from birdbone.watch import MissingExtraError

_MAP = "cividis"  # reads alike with and without colour vision, and in grey
_RESOLUTION = 150


def require_plots() -> Any:
    """Return matplotlib's figure module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError(
            "Pictures need matplotlib, which is not installed.",
            hint="Install it with `pip install 'birdbone[plots]'`, or leave --pictures out: the page draws without it.",
            extra="plots",
        ) from error


def write_pictures(folder: Path, analysis: Analysis) -> list[Path]:
    """Write each picture as PNG and as SVG into a folder and return the paths.

    A heat map and a histogram a metric; of several metrics, their agreement and the ranks of single weights.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DiskFullError: no room on the disk; each file is whole or as it was.
    """
    require_plots()
    written = []
    for name, figure in draw_pictures(analysis):
        for suffix in ("png", "svg"):
            stream = io.BytesIO()
            # Neither a date nor a random id: the same analysis gives the same file.
            dated = {"Date": None} if suffix == "svg" else {}
            with importlib.import_module("matplotlib").rc_context({"svg.hashsalt": name}):
                figure.savefig(stream, format=suffix, dpi=_RESOLUTION, metadata=dated)
            path = folder / f"{name}.{suffix}"
            with write_atomically(path) as file:
                file.write(stream.getvalue())
            written.append(path)
    return written


def draw_pictures(analysis: Analysis) -> Iterator[tuple[str, Any]]:
    """Yield the name and the matplotlib figure of each picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    for metric in analysis.metrics:
        yield f"heat-{metric}", draw_heat(analysis, metric)
        yield f"histogram-{metric}", draw_histogram(analysis, metric)
    if len(analysis.metrics) > 1:
        yield "agreement", draw_agreement(analysis)
        yield "ranks", draw_ranks(analysis, *analysis.metrics[:2])


def draw_heat(analysis: Analysis, metric: str) -> Any:
    """Return a heat map of the mean score, layers across and roles down; shades are even factors."""
    linears = analysis.of_scope("linear", metric)
    layers = sorted({each.place.layer for each in linears if each.place.layer is not None})
    roles = list(dict.fromkeys(str(each.place.role) for each in linears))
    means = np.full((len(roles), len(layers)), np.nan)
    for each in linears:
        if each.place.layer is not None and each.mean > 0:
            means[roles.index(str(each.place.role)), layers.index(each.place.layer)] = each.mean
    figure, axes = _new(width=max(5.0, 2.5 + 0.32 * len(layers)), height=1.6 + 0.34 * len(roles))
    image = axes.imshow(np.log10(means), cmap=_MAP, aspect="auto")
    axes.set_xticks(range(0, len(layers), 1 + len(layers) // 16), layers[:: 1 + len(layers) // 16])
    axes.set_yticks(range(len(roles)), roles)
    axes.set_xlabel("layer")
    axes.set_title(f"Mean {metric} score")
    figure.colorbar(image, ax=axes, label="log10 of the score")
    return figure


def draw_histogram(analysis: Analysis, metric: str) -> Any:
    """Return the histogram of all scores of the model, with the thresholds for its global sparsities."""
    whole = analysis.of_scope("model", metric)[0]
    edges = np.array(analysis.edges[metric])
    figure, axes = _new(width=7.0, height=3.4)
    axes.stairs(np.array(whole.histogram) / whole.num_weights, edges, fill=True, color="#2f6ea6")
    for number, (share, value) in enumerate(analysis.global_thresholds[metric].items()):
        dashes = (0, (2 + 3 * number, 2))  # told apart without colour
        axes.axvline(max(value, edges[0]), color="#8c4300", linestyle=dashes, label=f"{100 * share:g} % below")
    axes.set_xscale("log")
    axes.set_xlabel(f"{metric} score")
    axes.set_ylabel("share of weights")
    axes.set_title(f"{whole.num_weights:,} weights")
    axes.legend(frameon=False)
    return figure


def draw_agreement(analysis: Analysis) -> Any:
    """Return the rank correlation of each pair of metrics, the mean over linears; what is not measured is blank."""
    size = len(analysis.metrics)
    table = _agreement_table(analysis)
    figure, axes = _new(width=2.2 + 0.75 * size, height=1.8 + 0.62 * size)
    image = axes.imshow(table, cmap=_MAP, vmin=-1, vmax=1)
    axes.set_xticks(range(size), analysis.metrics, rotation=45, ha="right")
    axes.set_yticks(range(size), analysis.metrics)
    for row, column in np.argwhere(~np.isnan(table)):
        ink = "black" if table[row, column] > 0.2 else "white"
        axes.text(column, row, f"{table[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_title("Rank correlation within linears")
    figure.colorbar(image, ax=axes)
    return figure


def draw_ranks(analysis: Analysis, across: str, up: str) -> Any:
    """Return the ranks of the sampled weights by two metrics as points."""
    ranks_PM = analysis.sample.ranks_PM
    figure, axes = _new(width=4.6, height=4.6)
    columns = [analysis.metrics.index(across), analysis.metrics.index(up)]
    axes.plot([0, 1], [0, 1], color="#535d68", linewidth=0.8, linestyle="--")
    axes.scatter(*(ranks_PM[:, column] for column in columns), s=5, alpha=0.45, color="#2f6ea6", linewidths=0)
    axes.set_xlabel(f"rank by {across}")
    axes.set_ylabel(f"rank by {up}")
    axes.set_aspect("equal")
    axes.set_title(f"{len(ranks_PM):,} weights, ranks within their linear")
    return figure


def _agreement_table(analysis: Analysis) -> NDArray[np.float64]:
    table = np.eye(len(analysis.metrics))
    for each in analysis.agreements:
        if each.place.scope == "model":
            a, b = analysis.metrics.index(each.first), analysis.metrics.index(each.second)
            table[a, b] = table[b, a] = np.nan if each.rank_correlation is None else each.rank_correlation
    return table


def _new(*, width: float, height: float) -> tuple[Any, Any]:
    figure = require_plots().Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
