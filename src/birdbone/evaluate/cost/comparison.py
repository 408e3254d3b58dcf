"""Two models beside each other: ratios of what was measured in turns, with intervals, and of all else without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from birdbone.evaluate.cost.medians import Median, median
from birdbone.evaluate.cost.results import CostComparison, CostRatio, CostReport, Turn
from birdbone.evaluate.errors import UnpairedError

_PLAIN = (
    "load_time",
    "peak_memory",
    "model_memory",
    "gpu_peak_memory",
    "size",
    "bits_per_weight",
    "num_weights",
    "flops_per_token",
    "bytes_per_token",
    "cache_bytes_per_token",
)


def compare_costs(candidate: CostReport, baseline: CostReport) -> CostComparison:
    """Return the candidate's figures over the baseline's; what one of them lacks is left out.

    Args:
        candidate: measured in turns with the baseline, so that turn n of one stood beside turn n of the other.
        baseline: what it is compared with.

    Raises:
        UnpairedError: they were not measured by one plan.
    """
    if candidate.plan != baseline.plan:
        raise UnpairedError("Two costs are compared that were not measured by the same plan.")
    paired = [
        row
        for length in baseline.prefills
        for name, value in (("time_to_first_token", _seconds), ("prefill_rate", _rate))
        for row in _paired(
            f"{name}.{length}", candidate, baseline, candidate.prefills[length], baseline.prefills[length], value
        )
    ]
    for name, value in (("decode_rate", _rate), ("decode_cpu_time", _cpu_time), ("decode_energy", _energy)):
        paired += _paired(name, candidate, baseline, candidate.decodes, baseline.decodes, value)
    plain = [row for name in _PLAIN for row in _quotient(name, candidate, baseline)]
    return CostComparison(baseline=baseline.model, candidate=candidate.model, ratios=(*paired, *plain))


def _paired(
    name: str,
    candidate: CostReport,
    baseline: CostReport,
    ours: Sequence[Turn],
    theirs: Sequence[Turn],
    value: Callable[[Turn], float],
) -> list[CostRatio]:
    if candidate.figure(name) is None or baseline.figure(name) is None:
        return []
    ratio = median([value(a) / value(b) for a, b in zip(ours, theirs, strict=True) if value(b) > 0])
    return _ratio(name, candidate, baseline, ratio, f"median over {len(ours)} pairs of turns")


def _quotient(name: str, candidate: CostReport, baseline: CostReport) -> list[CostRatio]:
    ours, theirs = candidate.figure(name), baseline.figure(name)
    if ours is None or theirs is None or theirs.value == 0:
        return []
    ratio = Median(value=ours.value / theirs.value, low=None, high=None)
    return _ratio(name, candidate, baseline, ratio, "quotient of the two figures")


def _ratio(name: str, candidate: CostReport, baseline: CostReport, ratio: Median, method: str) -> list[CostRatio]:
    ours, theirs = candidate.figure(name), baseline.figure(name)
    assert ours is not None
    assert theirs is not None
    return [
        CostRatio(
            name=name,
            baseline=theirs,
            candidate=ours,
            ratio=ratio.value,
            low=ratio.low,
            high=ratio.high,
            method=method,
        )
    ]


def _seconds(turn: Turn) -> float:
    return turn.wall_seconds


def _rate(turn: Turn) -> float:
    return turn.rate


def _cpu_time(turn: Turn) -> float:
    return turn.cpu_seconds / turn.num_tokens


def _energy(turn: Turn) -> float:
    return (turn.joules or 0.0) / turn.num_tokens
