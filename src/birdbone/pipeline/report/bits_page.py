"""The page about what fewer bits did to a model, and the same as plain data. One file, no network, no script."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from birdbone.compress.quantize import LinearImpact
from birdbone.core import Measurement, write_atomically
from birdbone.core.pages import page_environment
from birdbone.pipeline.report import wording
from birdbone.pipeline.report.heat_map import Shades, heat_map, rising_shades
from birdbone.pipeline.report.linears import linear_grid

LABELS = {
    "perplexity_ratio": "Perplexity over dense",
    "perplexity": "Perplexity",
    "dense_perplexity": "Perplexity, dense",
    "kl_to_reference": "KL divergence from dense",
    "kl_to_reference_p99": "KL divergence, 99th percentile",
    "same_top1": "Same first token as dense",
    "bits_per_weight": "Bits a weight, linears",
    "linear_bytes": "Linears",
    "half_bytes": "Linears in half precision",
    "file_bytes": "File",
    "adapter_ratio": "Perplexity with the adapter over without",
    "adapter_perplexity": "Perplexity with the adapter",
    "adapter_bytes": "Adapter",
    "rank_agreement": "Rank agreement of the estimates",
    "estimated_damage": "KL divergence that the types were expected to cause",
}
"""Names of the figures for people, in the order in which they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitsReport:
    """What fewer bits did to a model.

    Attributes:
        measurements: each with its evidence, in the order of `LABELS`.
        not_measured: by name, why a figure is absent.
        settings: what was asked for, in words.
    """

    model: str
    linears: tuple[LinearImpact, ...]
    measurements: tuple[Measurement, ...]
    not_measured: Mapping[str, str]
    settings: Mapping[str, str]

    def figure(self, name: str) -> Measurement | None:
        """Return a figure by its name; None where it was not measured."""
        return next((figure for figure in self.measurements if figure.name == name), None)


def write_bits_page(path: Path, report: BitsReport) -> Path:
    """Write the page, whole or not at all, and return its path.

    Raises:
        DiskFullError: no room on the disk; an earlier page stays as it was.
    """
    with write_atomically(path) as stream:
        stream.write(render_bits_page(report).encode())
    return path


def bits_data(report: BitsReport) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "model": report.model,
        "settings": dict(report.settings),
        "measurements": [figure.model_dump(mode="json") for figure in report.measurements],
        "not_measured": dict(report.not_measured),
        "linears": [dataclasses.asdict(each) | {"bits_per_weight": each.bits_per_weight} for each in report.linears],
    }


def render_bits_page(report: BitsReport) -> str:
    """Return the page as HTML. The same report gives the same text."""
    environment = page_environment(
        "birdbone.pipeline.report", {"zip": zip, "figure_words": bits_words, "interval_words": wording.interval_words}
    )
    return environment.get_template("bits.html.j2").render(
        report=report,
        labels=LABELS,
        tiles=("perplexity_ratio", "kl_to_reference", "same_top1", "bits_per_weight", "linear_bytes", "file_bytes"),
        pictures=[picture for picture in (_types(report), _errors(report)) if picture is not None],
        types=type_rows(report),
    )


def bits_words(figure: Measurement | None) -> str:
    """Return a figure in words: a share or a ratio with four digits, other figures as everywhere."""
    if figure is not None and figure.name in ("adapter_ratio", "perplexity_ratio", "same_top1", "rank_agreement"):
        return f"{figure.value:.4f}"
    return wording.figure_words(figure)


def type_rows(report: BitsReport) -> list[tuple[str, float, int, int, int]]:
    """Return each type with its bits a weight, its linears, weights and bytes, the smallest first."""
    rows: list[tuple[str, float, int, int, int]] = []
    for kind in dict.fromkeys(sorted((each.type for each in report.linears), key=_bits_of(report))):
        own = [each for each in report.linears if each.type == kind]
        sums = (len(own), sum(each.num_weights for each in own), sum(each.size_bytes for each in own))
        rows.append((kind, own[0].bits_per_weight, *sums))
    return rows


def _bits_of(report: BitsReport) -> Any:
    bits = {each.type: each.bits_per_weight for each in report.linears}
    return lambda kind: (bits[kind], kind)


def _types(report: BitsReport) -> tuple[str, str, Markup, Shades] | None:
    return _picture(
        report, "Bits a weight", {each.path: each.bits_per_weight for each in report.linears}, "{:.2f} bits"
    )


def _errors(report: BitsReport) -> tuple[str, str, Markup, Shades] | None:
    values = {each.path: 100 * each.relative_error for each in report.linears}
    return _picture(report, "Output error by rounding", values, "{:.3f} %")


def _picture(
    report: BitsReport, title: str, values: Mapping[str, float], form: str
) -> tuple[str, str, Markup, Shades] | None:
    grid = linear_grid(values)
    if grid is None:
        return None
    shades = rising_shades(grid.present, form.format)
    label = f"{title} by layer and kind of linear"
    return title, label, heat_map(grid, shades, label=f"{label}, {report.model}", words=form.format), shades
