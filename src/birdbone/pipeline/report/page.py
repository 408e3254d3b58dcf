"""The page: content and drawings put into the template. One file, no network, no script."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from birdbone.core import Measurement, write_atomically, write_yaml
from birdbone.core.pages import page_environment
from birdbone.pipeline.report import wording
from birdbone.pipeline.report.block_errors import block_errors
from birdbone.pipeline.report.content import ReportData, build_report
from birdbone.pipeline.report.curve import healing_curve
from birdbone.pipeline.report.heat_map import Shades, balanced_shades, heat_map, log_shades, rising_shades
from birdbone.pipeline.report.linears import LinearGrid
from birdbone.pipeline.report.rounding import Rounding
from birdbone.pipeline.report.summary import SummaryRow
from birdbone.pipeline.report.svg import Attributes, element, mark
from birdbone.pipeline.report.waves import Fate, Wave
from birdbone.pipeline.repository import RunRow
from birdbone.pipeline.service import RunView
from birdbone.watch import Metric

Heat = tuple[Markup, Shades, Callable[[float], str]]
"""A heat-map, its shades, and how a value reads."""

_FATES: dict[Fate, str] = {
    "kept": "",
    "undone": " by the stop-loss",
    "left out": ", on probation at the end",
    "set aside": ", good but not exported",
    "unfinished": "",
}
_GIB = 2**30


def write_report(view: RunView, path: Path, *, metrics: Sequence[Metric] = ()) -> Path:
    """Write the page of a run to `path`, whole or not at all, and return the path.

    Raises:
        DiskFullError: no room on the disk; an earlier page stays as it was.
    """
    page = render_report(build_report(view, metrics=metrics))
    with write_atomically(path) as stream:
        stream.write(page.encode())
    return path


def render_report(data: ReportData) -> str:
    """Return the page as HTML. The same data give the same text."""
    environment = page_environment(
        "birdbone.pipeline.report",
        {
            "figure_words": wording.figure_words,
            "interval_words": wording.interval_words,
            "author_words": wording.author_words,
            "change_words": wording.change_words,
            "change_interval_words": wording.change_interval_words,
            "digest_words": wording.digest_words,
            "duration_words": wording.duration_words,
            "time_words": wording.time_words,
            "nats_words": wording.nats_words,
            "kind_words": wording.kind_words,
        },
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        data=data,
        anchors=_anchors(data.evidence),
        curve=_curve(data),
        healed=_healed(data),
        rounded=_rounded(data.rounding),
        corrected=_corrected(data.rounding),
        sparsity=_sparsity(data.sparsity),
        importance=_importance(data.importance),
        own_damage=_damage(data.own_damage, "Own damage, by layer and wave"),
        propagated_damage=_damage(data.propagated_damage, "Propagated damage, by layer and wave"),
        legend_mark=_legend_mark,
        bars=_bars,
        fates=_fates(data),
        longest=max((time.seconds for time in data.steps if time.seconds), default=0.0),
        machine=_machine(data.run),
        mean_words=_mean_words,
        recipe=write_yaml(data.run.recipe),
    )


def _anchors(evidence: Sequence[Measurement]) -> dict[Measurement, str]:
    """Return the place on the page where the evidence of each figure stands."""
    return {figure: f"evidence-{number}" for number, figure in enumerate(evidence, start=1)}


def _curve(data: ReportData) -> Markup | None:
    if data.dense is None or not any(wave.perplexity for wave in data.waves):
        return None
    return healing_curve(data.dense, data.waves)


def _healed(data: ReportData) -> tuple[Markup, Wave] | None:
    """Return the drawing of the chosen wave's healing, or of the newest that healed, and that wave."""
    healed = [wave for wave in (*data.waves, data.chosen) if wave is not None and wave.errors_after]
    if not healed:
        return None
    wave = healed[-1]
    label = f"Wave {wave.number}: error of each block before and after healing"
    return block_errors(wave.errors_before, wave.errors_after, label=label), wave


def _corrected(rounding: Rounding | None) -> Markup | None:
    """Return the drawing of what the low-rank correction did to each block."""
    if rounding is None or not rounding.errors_after:
        return None
    label = "Error of each block before and after the low-rank correction"
    return block_errors(rounding.errors_before, rounding.errors_after, label=label)


def _rounded(rounding: Rounding | None) -> Heat | None:
    grid = None if rounding is None else rounding.errors
    if grid is None:
        return None
    shades = rising_shades(grid.present, _fine_percent)
    label = "Output error by rounding, by layer and kind of linear"
    return heat_map(grid, shades, label=label, words=_fine_percent), shades, _fine_percent


def _sparsity(grid: LinearGrid | None) -> Heat | None:
    if grid is None:
        return None
    shades = rising_shades(grid.present, _percent)
    label = "Share of weights shed, by layer and kind of linear"
    return heat_map(grid, shades, label=label, words=_percent), shades, _percent


def _importance(grid: LinearGrid | None) -> Heat | None:
    if grid is None or not grid.present:
        return None
    shades = balanced_shades(grid.present)
    label = "Importance relative to the mean of its kind, by layer and kind of linear"
    return heat_map(grid, shades, label=label, words=_factor), shades, _factor


def _damage(grid: LinearGrid | None, label: str) -> Heat | None:
    """Return the map of damage by wave; its steps are even on a log scale, as damage spans many sizes."""
    if grid is None:
        return None
    shades = log_shades(grid.present, _short)
    return heat_map(grid, shades, label=label, words=_short, what="waves"), shades, _short


def _short(value: float) -> str:
    return f"{value:.2g}"


def _factor(value: float) -> str:
    return f"{value:.2f}"


def _fine_percent(share: float) -> str:
    return f"{100 * share:.3f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _legend_mark(kind: str) -> Markup:
    """Return a mark by itself, for a legend that says beside it in words what it means."""
    attributes: Attributes = {"viewBox": "0 0 16 16", "width": 16, "height": 16, "aria-hidden": "true", "class": "key"}
    return element("svg", attributes, mark(kind, 8, 8))


def _bars(row: SummaryRow) -> Markup:
    """Return before and after as two bars on one scale."""
    before, after = (0.0 if figure is None else figure.value for figure in (row.before, row.after))
    top = max(before, after) or 1.0
    shapes = [
        element("rect", {"x": 0, "y": y, "width": 100 * value / top, "height": 8, "class": css})
        for y, value, css in ((1, before, "was"), (12, after, "is"))
    ]
    attributes: Attributes = {
        "viewBox": "0 0 100 22",
        "preserveAspectRatio": "none",
        "aria-hidden": "true",
        "class": "bars",
    }
    return element("svg", attributes, *shapes)


def _fates(data: ReportData) -> list[tuple[Fate, str]]:
    """Return the fates that the legend has to explain, each with what follows its name."""
    found = {wave.fate for wave in data.waves if wave.perplexity is not None}
    return [(fate, meaning) for fate, meaning in _FATES.items() if fate in found]


def _mean_words(values: Sequence[float]) -> str:
    """Return the mean of a wave's block errors."""
    return f"{statistics.fmean(values):.3g}" if values else wording.NOT_MEASURED


def _machine(run: RunRow) -> list[tuple[str, str]]:
    """Return what the run recorded of where it ran; what it did not record is left out."""
    environment, recipe = run.environment, run.recipe
    memory = environment.get("memory_bytes")
    told = {
        "CPU": environment.get("cpu"),
        "Cores": environment.get("cores"),
        "Vector units": ", ".join(environment.get("isa") or ()),
        "Memory": f"{memory / _GIB:.1f} GiB" if memory else None,
        "GPU": ", ".join(map(str, environment.get("gpus") or ())) or "none",
        "Threads": recipe.get("num_threads"),
        "Number format": recipe.get("dtype"),
        "System": environment.get("platform"),
        "Python": environment.get("python"),
        "Birdbone": environment.get("birdbone"),
        **environment.get("packages", {}),
    }
    return [(name, str(value)) for name, value in told.items() if value]
