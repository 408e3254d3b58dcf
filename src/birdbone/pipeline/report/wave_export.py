"""The waves of a run as plain rows, for JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from birdbone.pipeline.report.waves import Wave

_COLUMNS = (
    *("wave", "fate", "verdict", "reason", "perplexity", "perplexity_ratio", "ratio_low", "ratio_high", "sparsity"),
    *("planned_fraction", "healing_factor", "forecast", "forecast_low", "forecast_high", "forecast_error", "cost"),
    *("num_regrown", "num_spikes", "worst_layer", "seconds"),
)


def wave_rows(waves: Sequence[Wave]) -> list[dict[str, Any]]:
    """Return one flat row a wave; None: not measured. Forecast, its error and the cost are in nats of loss a token."""
    return [dict(zip(_COLUMNS, _cells(wave), strict=True)) for wave in waves]


def wave_json(waves: Sequence[Wave]) -> list[dict[str, Any]]:
    """Return the same rows with damage by layer and every spike."""
    return [
        {
            **row,
            "own_damage": list(wave.evidence.own_damage),
            "propagated_damage": list(wave.evidence.propagated_damage),
            "spikes": None if wave.evidence.spikes is None else [asdict(spike) for spike in wave.evidence.spikes],
        }
        for row, wave in zip(wave_rows(waves), waves, strict=True)
    ]


def wave_csv(waves: Sequence[Wave]) -> str:
    """Return the rows as CSV with a heading; an empty cell was not measured."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(wave_rows(waves))
    return stream.getvalue()


def _cells(wave: Wave) -> tuple[Any, ...]:
    ratio, evidence, forecast = wave.ratio, wave.evidence, wave.evidence.forecast
    return (
        *(wave.number, wave.fate, wave.verdict, wave.reason),
        wave.perplexity.value if wave.perplexity else None,
        *((ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)),
        wave.sparsity.value if wave.sparsity else None,
        *(evidence.fraction, evidence.healing_factor),
        *((forecast.rise, forecast.low, forecast.high, forecast.error) if forecast else (None,) * 4),
        *(evidence.cost, wave.num_regrown),
        None if evidence.spikes is None else len(evidence.spikes),
        *(evidence.worst_layer, evidence.seconds),
    )
