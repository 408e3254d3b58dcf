"""The report of a run: one self-contained page, and the rows of the table that the terminal shows. Free of torch.

Owns: which figures are told, their wording, the drawings, the page. Reads rows only: it measures nothing and fills
nothing in; what was not measured is called that. `cost_page` does the same for the cost of models, by its own name.
Needs: `core`, `watch`, `evaluate`, the rows of `pipeline`, Jinja2.
"""

from birdbone.pipeline.report.content import ReportData, build_report
from birdbone.pipeline.report.page import render_report, write_report
from birdbone.pipeline.report.summary import SummaryRow, summary_rows
from birdbone.pipeline.report.wording import (
    change_interval_words,
    change_words,
    figure_words,
    interval_words,
)

__all__ = [
    "ReportData",
    "SummaryRow",
    "build_report",
    "change_interval_words",
    "change_words",
    "figure_words",
    "interval_words",
    "render_report",
    "summary_rows",
    "write_report",
]
