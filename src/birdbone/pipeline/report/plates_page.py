"""The page about growth plates: a picture by layer, and a table. One file, no network, no script."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from birdbone.compress.growth.plates import GrowthPlate, PlateLedger
from birdbone.compress.growth.protection import CriticalPath
from birdbone.core.pages import page_environment
from birdbone.pipeline.report.heat_map import Shades, heat_map, rising_shades
from birdbone.pipeline.report.linears import LinearGrid
from birdbone.pipeline.report.wording import STRUCTURE_KINDS, kind_words

_MAX_ROWS = 200


def render_plates_page(ledger: PlateLedger, paths: Sequence[CriticalPath] = ()) -> str:
    """Return the page as HTML. The same ledger gives the same text.

    Args:
        ledger: as `growth.marking.find_plates` made it.
        paths: what carries more than its share, for the list of critical pathways.
    """
    environment = page_environment("birdbone.pipeline.report", {"figure": figure_words, "kind_words": kind_words})
    known = [plate for plate in ledger.plates if plate.damage_per_mebibyte is not None]
    ranked = sorted(known, key=lambda plate: plate.damage_per_mebibyte or 0.0)
    return environment.get_template("plates.html.j2").render(
        ledger=ledger,
        plates=[*ranked, *(plate for plate in ledger.plates if plate.damage is None)][:_MAX_ROWS],
        pictures=_pictures(ledger),
        paths=paths,
        tiles=_tiles(ledger),
    )


def figure_words(value: float | None, digits: int = 4) -> str:
    """Return a figure, or that it was not measured."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def _tiles(ledger: PlateLedger) -> list[tuple[str, str]]:
    shed = sum(plate.num_parameters for plate in ledger.plates if plate.status == "shed")
    return [
        ("Plates", f"{len(ledger.plates):,}"),
        ("Marked", f"{ledger.count('marked'):,}"),
        ("Shed", f"{ledger.count('shed'):,}"),
        ("Kept", f"{ledger.count('kept'):,}"),
        ("Parameters shed", f"{shed:,}"),
        ("Parameters of the decoder", f"{ledger.num_parameters:,}"),
    ]


def _pictures(ledger: PlateLedger) -> list[dict[str, Any]]:
    """Return the maps that have figures to show."""
    drawn = (
        (
            "What it costs",
            "Rise of the loss, in nats a token, for each MiB of F16 that a removal saves; the mean over the plates of "
            "the layer and kind. Pale costs little.",
            _grid(ledger, lambda plate: plate.damage_per_mebibyte),
        ),
        (
            "Redundancy",
            "Share of a structure's work that a linear map of the others, or of the block's input, gives as well; the "
            "mean over the plates of the layer and kind. Dark is redundant.",
            _grid(ledger, lambda plate: plate.redundancy),
        ),
    )
    return [_picture(title, note, grid) for title, note, grid in drawn if grid.present]


def _picture(title: str, note: str, grid: LinearGrid) -> dict[str, Any]:
    shades: Shades = rising_shades(grid.present, figure_words)
    label = f"{title}, by layer and kind of structure"
    drawing: Markup = heat_map(grid, shades, label=label, words=figure_words)
    return {
        "title": title,
        "note": note,
        "drawing": drawing,
        "legend": list(zip(shades.classes, shades.names, strict=True)),
    }


def _grid(ledger: PlateLedger, value_of: Any) -> LinearGrid:
    kinds = tuple(kind for kind in STRUCTURE_KINDS if any(plate.kind == kind for plate in ledger.plates))
    layers = tuple(sorted({plate.layer for plate in ledger.plates}))
    values = tuple(tuple(_mean(ledger.plates, kind, layer, value_of) for layer in layers) for kind in kinds)
    return LinearGrid(kinds=tuple(kind_words(kind) for kind in kinds), layers=layers, values=values)


def _mean(plates: Sequence[GrowthPlate], kind: str, layer: int, value_of: Any) -> float | None:
    found = [value_of(plate) for plate in plates if plate.kind == kind and plate.layer == layer]
    values = [value for value in found if value is not None]
    return statistics.fmean(values) if values else None
