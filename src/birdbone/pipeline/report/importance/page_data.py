"""What the script of the importance page draws from: one plain object, its figures rounded to five digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from birdbone.compress.importance.analysis import Agreement, Analysis, Summary

Measure = tuple[str, str, str]
"""Key, name, and how its values lie: `share` from 0 to 1, or `size` over many powers of ten."""


def page_data(analysis: Analysis) -> dict[str, Any]:
    """Return the figures of every linear by metric and measure, histograms, agreement and sampled ranks."""
    linears = analysis.of_scope("linear", analysis.metrics[0])
    names = [summary.place.name for summary in linears]
    number = {name: index for index, name in enumerate(names)}
    return {
        "metrics": list(analysis.metrics),
        "measures": [list(measure) for measure in measures(analysis)],
        "linears": [
            {"path": each.place.name, "layer": each.place.layer, "role": each.place.role, "weights": each.num_weights}
            for each in linears
        ],
        "values": {name: _values(analysis, name) for name in analysis.metrics},
        "edges": {name: _rounded(edges) for name, edges in analysis.edges.items()},
        "histograms": {
            name: [list(each.histogram) for each in analysis.of_scope("linear", name)] for name in analysis.metrics
        },
        "agreements": _agreements(analysis, names),
        "sample": {
            "linear": [number[path] for path in analysis.sample.paths],
            "ranks": [[round(value, 4) for value in column] for column in analysis.sample.ranks_PM.T.tolist()],
        },
    }


def measures(analysis: Analysis) -> list[Measure]:
    """Return what can be shown of a linear, the mean first."""
    config = analysis.config
    return [
        ("mean", "mean", "size"),
        *((f"quantile {q:g}", f"quantile {100 * q:g} %", "size") for q in config.quantiles),
        *((f"top {k:g}", f"importance that the top {100 * k:g} % hold", "share") for k in config.top_shares),
        *(
            (f"global {s:g}", f"sparsity under one threshold for {100 * s:g} %", "share")
            for s in config.global_sparsities
        ),
    ]


def _values(analysis: Analysis, metric: str) -> dict[str, list[float]]:
    rows = [_row(summary) for summary in analysis.of_scope("linear", metric)]
    return {key: _rounded([row[key] for row in rows]) for key in rows[0]}


def _row(summary: Summary) -> dict[str, float]:
    return {
        "mean": summary.mean,
        **{f"quantile {q:g}": value for q, value in summary.quantiles.items()},
        **{f"top {k:g}": value for k, value in summary.held_by_top.items()},
        **{f"global {s:g}": value for s, value in summary.global_sparsity.items()},
    }


def _agreements(analysis: Analysis, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one entry a pair of metrics: by linear, the rank correlation and the overlaps."""
    pairs: dict[tuple[str, str], dict[str, Agreement]] = {}
    for each in analysis.agreements:
        if each.place.scope == "linear":
            pairs.setdefault((each.first, each.second), {})[each.place.name] = each
    return [
        {
            "first": first,
            "second": second,
            "rank": [_round(found[name].rank_correlation) for name in names],
            "overlap": {
                f"{share:g}": _rounded([found[name].overlap_of_top[share] for name in names])
                for share in analysis.config.top_shares
            },
        }
        for (first, second), found in pairs.items()
    ]


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
