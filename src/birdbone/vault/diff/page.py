"""The page of a comparison: one self-contained file, no network. Its one script sorts tables and is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from birdbone.core.pages import page_environment, page_script
from birdbone.vault.diff import wording
from birdbone.vault.diff.comparison import Comparison
from birdbone.vault.diff.files import FileDiff, FileRole
from birdbone.vault.diff.groups import LayerGrid
from birdbone.vault.diff.heat_map import SHADES, Measure, heat_map
from birdbone.vault.diff.roles import role_of

_MAX_TENSOR_ROWS = 2_000
_MAX_VALUES, _MAX_LINES, _MAX_TOKENS = 300, 600, 200
_MAX_LINE_LETTERS = 400

_FILE_TITLES: tuple[tuple[FileRole, str], ...] = (
    ("config", "Configuration"),
    ("tokenizer", "Tokenizer"),
    ("card", "Card"),
    ("other", "Other files"),
)
_WORDS = ("arrow", "cosine", "count", "digest", "measured", "number", "percent", "quantization", "rank", "rank_change",
          "shape", "size")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One measure drawn for every stack of layers."""

    title: str
    note: str
    drawings: tuple[tuple[LayerGrid, Markup], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """The files of one purpose, under their heading."""

    role: FileRole
    title: str
    files: tuple[FileDiff, ...]


def render_page(comparison: Comparison) -> str:
    """Return the page as HTML. The same comparison gives the same text."""
    words = {name: getattr(wording, f"{name}_words") for name in _WORDS}
    environment = page_environment("birdbone.vault.diff", words | {"clip": _clip})
    script, script_source = page_script(environment, "sort.js")
    ranked = sorted(comparison.tensors, key=lambda tensor: (-(_infinite(tensor.relative_l2)), tensor.name))
    return environment.get_template("diff.html.j2").render(
        diff=comparison,
        tensors=ranked[:_MAX_TENSOR_ROWS],
        role_of=role_of,
        pictures=_pictures(comparison),
        shades=SHADES,
        file_groups=_file_groups(comparison),
        limits={"values": _MAX_VALUES, "lines": _MAX_LINES, "tokens": _MAX_TOKENS},
        script=script,
        script_source=script_source,
    )


def _infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def _clip(text: str) -> str:
    return text if len(text) <= _MAX_LINE_LETTERS else f"{text[:_MAX_LINE_LETTERS]} … ({len(text):,} letters)"


def _pictures(comparison: Comparison) -> list[Picture]:
    if not comparison.tensors:
        return []
    measures: tuple[tuple[str, str, Measure], ...] = (
        (
            "Relative L2",
            "How far the weights moved: the length of the change over the length of the weights before, in percent.",
            lambda totals: totals.relative_l2,
        ),
        (
            "Share changed",
            "How many of the elements are other bits than before, in percent.",
            lambda totals: totals.share_changed,
        ),
    )
    return [
        Picture(title=title, note=note, drawings=_draw(comparison.grids, title, measure))
        for title, note, measure in measures
    ]


def _draw(grids: Sequence[LayerGrid], title: str, measure: Measure) -> tuple[tuple[LayerGrid, Markup], ...]:
    drawn = []
    for grid in grids:
        label = (
            f"{title} by part and layer of {grid.stack}" if grid.stack else f"{title} of what stands outside the layers"
        )
        drawn.append((grid, heat_map(grid, measure, label=label, words=wording.percent_words)))
    return tuple(drawn)


def _file_groups(comparison: Comparison) -> list[FileGroup]:
    groups = [
        FileGroup(role=role, title=title, files=tuple(file for file in comparison.files if file.role == role))
        for role, title in _FILE_TITLES
    ]
    return [group for group in groups if group.files]
