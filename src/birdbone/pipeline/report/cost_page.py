"""The page about the cost of models, and the same as JSON. One file, no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from birdbone.core import write_atomically
from birdbone.core.files import write_json
from birdbone.core.pages import page_environment
from birdbone.evaluate.cost import CostComparison, CostReport
from birdbone.pipeline.report import cost_words, wording
from birdbone.pipeline.report.flame import FLAME_KINDS, flame_picture, kind_class
from birdbone.pipeline.report.svg import Attributes, element

PAGE, DATA = "cost.html", "cost.json"
"""Names of the two files."""

_GIB = 2**30


def write_cost_report(
    folder: Path, reports: Sequence[CostReport], comparisons: Sequence[CostComparison] = ()
) -> tuple[Path, Path]:
    """Write the page and the data into a folder, each whole or not at all, and return their paths.

    Raises:
        DiskFullError: no room on the disk; earlier files stay as they were.
    """
    with write_atomically(folder / PAGE) as stream:
        stream.write(render_cost_page(reports, comparisons).encode())
    write_json(folder / DATA, cost_data(reports, comparisons))
    return folder / PAGE, folder / DATA


def cost_data(reports: Sequence[CostReport], comparisons: Sequence[CostComparison] = ()) -> dict[str, Any]:
    """Return everything as plain data: figures with their evidence, every turn, profiles, the machine."""
    return {
        "reports": [report.model_dump(mode="json") for report in reports],
        "comparisons": [comparison.model_dump(mode="json") for comparison in comparisons],
    }


def render_cost_page(reports: Sequence[CostReport], comparisons: Sequence[CostComparison] = ()) -> str:
    """Return the page as HTML. The same data give the same text.

    Args:
        reports: at least one, all taken on one machine.
        comparisons: of the second and later models with the first.
    """
    environment = page_environment(
        "birdbone.pipeline.report",
        {
            "figure_words": wording.figure_words,
            "interval_words": wording.interval_words,
            "digest_words": wording.digest_words,
            "label_words": cost_words.label_words,
            "setting_words": cost_words.setting_words,
            "bound_words": cost_words.bound_words,
            "ratio_words": cost_words.ratio_words,
        },
    )
    return environment.get_template("cost.html.j2").render(
        reports=reports,
        comparisons=comparisons,
        machine=_machine(reports[0]),
        flame_picture=flame_picture,
        flame_kinds=FLAME_KINDS,
        kind_class=kind_class,
        share_bar=_share_bar,
        tiles=_tiles,
    )


def _tiles(report: CostReport) -> list[tuple[str, str]]:
    """Return the title and the name of the figures that stand first."""
    longest, shortest = max(report.plan.prompt_tokens), min(report.plan.prompt_tokens)
    names = (
        "decode_rate",
        f"time_to_first_token.{shortest}",
        f"prefill_rate.{longest}",
        "load_time",
        "model_memory",
        "size",
    )
    return [(cost_words.label_words(name), name) for name in names]


def _share_bar(share: float) -> Markup:
    """Return a share of a roof as a bar; more than the whole fills it."""
    shapes = [
        element("rect", {"x": 0, "y": 0, "width": 100, "height": 10, "class": "was"}),
        element("rect", {"x": 0, "y": 0, "width": 100 * min(1.0, share), "height": 10, "class": "is"}),
    ]
    attributes: Attributes = {
        "viewBox": "0 0 100 10",
        "preserveAspectRatio": "none",
        "aria-hidden": "true",
        "class": "bars share",
    }
    return element("svg", attributes, *shapes)


def _machine(report: CostReport) -> list[tuple[str, str]]:
    """Return what is known of the machine; what the system does not say is left out."""
    hardware = report.hardware
    told = {
        "CPU": hardware.get("cpu_model"),
        "Cores, physical": hardware.get("num_physical_cores"),
        "Cores, logical": hardware.get("num_logical_cores"),
        "Cores that may be used": hardware.get("num_available_cores"),
        "Vector units": ", ".join(hardware.get("isa") or ()),
        "Load average when it began": None if report.load_before is None else f"{report.load_before:.2f}",
        "Memory": f"{hardware['memory_bytes'] / _GIB:.1f} GiB" if hardware.get("memory_bytes") else None,
        "GPU": ", ".join(hardware.get("gpus") or ()) or "none",
        "System": hardware.get("system"),
        "Python": hardware.get("python"),
        **report.software,
    }
    return [(name, str(value)) for name, value in told.items() if value]
