"""The figures of importance as plain rows and as files: JSON, CSV, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from birdbone.compress.importance.analysis import Agreement, Analysis, Summary
from birdbone.core import write_atomically
from birdbone.core.files import write_json

DATA, FIGURES, AGREEMENT = "importance.json", "importance", "agreement"
"""Name of the JSON file, and stems of the tables."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the scores were taken on, so that they can be taken again."""

    model: str
    artefact: str
    """Digest of the model's files."""
    text: str
    """Name of the text."""
    text_digest: str
    windows_digest: str
    num_windows: int
    window_tokens: int
    first_token_share: float | None
    seed: int
    metrics: dict[str, dict[str, Any]]
    """Settings by metric."""
    birdbone: str
    """Version that took them."""


def analysis_data(analysis: Analysis, about: About) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "about": asdict(about),
        "settings": analysis.config.model_dump(mode="json"),
        "global_thresholds": {
            name: {f"{share:g}": value for share, value in found.items()}
            for name, found in analysis.global_thresholds.items()
        },
        "histogram_edges": {name: list(edges) for name, edges in analysis.edges.items()},
        "summaries": [summary_row(summary) | {"histogram": list(summary.histogram)} for summary in analysis.summaries],
        "agreements": [agreement_row(agreement) for agreement in analysis.agreements],
    }


def summary_row(summary: Summary) -> Row:
    """Return one metric's figures in one place as a flat row."""
    row = {
        "metric": summary.metric,
        **asdict(summary.place),
        "num_weights": summary.num_weights,
        "mean": summary.mean,
        "deviation": summary.deviation,
        "low": summary.low,
        "high": summary.high,
        **{f"quantile_{share:g}": value for share, value in summary.quantiles.items()},
        **{f"held_by_top_{share:g}": value for share, value in summary.held_by_top.items()},
        **{f"global_sparsity_{share:g}": value for share, value in summary.global_sparsity.items()},
    }
    for threshold in summary.thresholds:
        name = f"threshold_{threshold.rule}_{threshold.argument:g}"
        row |= {
            name: threshold.value,
            f"{name}_sparsity": threshold.sparsity,
            f"{name}_importance_kept": threshold.importance_kept,
        }
    return row


def agreement_row(agreement: Agreement) -> Row:
    """Return how far two metrics agree in one place as a flat row."""
    return {
        "first": agreement.first,
        "second": agreement.second,
        **asdict(agreement.place),
        "num_sampled": agreement.num_sampled,
        "rank_correlation": agreement.rank_correlation,
        **{f"overlap_of_top_{share:g}": value for share, value in agreement.overlap_of_top.items()},
    }


def write_tables(folder: Path, analysis: Analysis, about: About) -> list[Path]:
    """Write all figures as JSON, and as one CSV and one Parquet file each of figures and agreement; return the paths.

    Raises:
        DiskFullError: no room on the disk; each file is whole or as it was.
    """
    write_json(folder / DATA, analysis_data(analysis, about))
    figures = [summary_row(summary) for summary in analysis.summaries]
    written = [folder / DATA, *write_rows(folder / FIGURES, figures)]
    agreement = [agreement_row(each) for each in analysis.agreements]
    return [*written, *(write_rows(folder / AGREEMENT, agreement) if agreement else ())]


def write_rows(stem: Path, rows: Sequence[Row]) -> list[Path]:
    """Write at least one row as `<stem>.csv` and `<stem>.parquet` and return both; all rows have the same columns."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    paths = [stem.with_suffix(".csv"), stem.with_suffix(".parquet")]
    with write_atomically(paths[0]) as stream:
        stream.write(text.getvalue().encode())
    with write_atomically(paths[1]) as stream:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), stream)
    return paths
