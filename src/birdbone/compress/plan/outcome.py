"""What a plan came to when it was carried out, beside what was predicted. Shapes: N windows, T tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.plan.forecast import Forecast
from birdbone.compress.plan.loss import Interval
from birdbone.compress.plan.timing import Turns
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.statistics import MIN_WINDOWS

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Figures of a file that a plan wrote, as llama.cpp loads it.

    Attributes:
        seconds: a token, the median of turns; see `timing.Turns` for which clock counts.
        reference_seconds: a token of the F16 file in the same turns.
        wall_ratio_of_time: of the file over the F16 file, by the wall clock.
        ratio: perplexity over that of the F16 file; its ends are None under eight windows.
    """

    forecast: Forecast
    artefact: str
    size_bytes: int
    seconds: float
    speed_up: Interval
    reference_seconds: float
    perplexity: float
    reference_perplexity: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    predicted_ratio_of_time: float
    wall_ratio_of_time: float
    limits: tuple[str, ...]

    @property
    def predicted_seconds(self) -> float:
        """The predicted ratio of times at the reference's time now: what else the machine does falls on both."""
        return self.predicted_ratio_of_time * self.reference_seconds

    @property
    def latency_error(self) -> float:
        """Predicted over measured seconds a token, less 1."""
        return self.predicted_seconds / self.seconds - 1

    @property
    def wall_latency_error(self) -> float:
        """The same by the wall clock, which others' work disturbs."""
        return self.predicted_ratio_of_time / self.wall_ratio_of_time - 1

    @property
    def perplexity_error(self) -> float:
        """Predicted over measured perplexity, less 1."""
        return self.forecast.perplexity_ratio.value / self.ratio - 1

    @property
    def size_error(self) -> float:
        """Predicted over measured bytes, less 1."""
        return self.forecast.size_bytes / self.size_bytes - 1

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        names = ("predicted_seconds", "latency_error", "perplexity_error", "size_error")
        kept = {name: value for name, value in asdict(self).items() if name != "forecast"}
        return {**kept, **{name: getattr(self, name) for name in names}, "forecast": self.forecast.to_data()}


def compare(
    forecast: Forecast,
    *,
    artefact: str,
    size_bytes: int,
    turns: Turns,
    nll_NP: NDArray[np.float64],
    reference_nll_NP: NDArray[np.float64],
    predicted_ratio_of_time: float,
    limits: tuple[str, ...] = (),
) -> Outcome:
    """Return what was measured of a file beside its forecast."""
    low, high = turns.ratio_ends
    ends: tuple[float | None, float | None] = (None, None)
    if len(nll_NP) >= MIN_WINDOWS:
        paired = paired_ratio(nll_NP, reference_nll_NP, seed=_SEED)
        ends = paired.low, paired.high
    return Outcome(
        forecast=forecast,
        artefact=artefact,
        size_bytes=size_bytes,
        seconds=turns.ratio * turns.reference,
        speed_up=Interval(value=1 / turns.ratio, low=1 / high, high=1 / low),
        reference_seconds=turns.reference,
        perplexity=float(np.exp(nll_NP.mean())),
        reference_perplexity=float(np.exp(reference_nll_NP.mean())),
        ratio=float(np.exp((nll_NP - reference_nll_NP).mean())),
        ratio_low=ends[0],
        ratio_high=ends[1],
        predicted_ratio_of_time=predicted_ratio_of_time,
        wall_ratio_of_time=turns.wall_ratio,
        limits=limits,
    )
