"""What timings decide: an optimised kernel is refused where it is not faster than dense, or not right. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTiming:
    """One kernel on one shape.

    Attributes:
        seconds: median of a call.
        seconds_min, seconds_max: the extremes.
        relative_error: squared error of its output as a share of the dense output's power.
    """

    kernel: str
    seconds: float
    seconds_min: float
    seconds_max: float
    relative_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """The kernel to use for a shape, what was timed, and why each other one was refused."""

    chosen: str
    baseline: str
    timings: tuple[KernelTiming, ...]
    refused: Mapping[str, str]

    def timing(self, kernel: str) -> KernelTiming:
        """Return the timing of a kernel that was timed."""
        return next(timing for timing in self.timings if timing.kernel == kernel)

    @property
    def speed_up(self) -> float:
        """Time of the baseline over that of the chosen kernel; 1 where the baseline was chosen."""
        return self.timing(self.baseline).seconds / self.timing(self.chosen).seconds


def decide(
    timings: Sequence[KernelTiming],
    *,
    baseline: str = "dense_fp32",
    min_gain: float = 0.05,
    max_relative_error: float = 0.01,
    missing: Mapping[str, str] | None = None,
) -> Dispatch:
    """Return the fastest kernel that may be used; the baseline, where none is faster.

    Args:
        timings: the baseline's among them.
        baseline: the dense kernel that all others have to beat.
        min_gain: share of the baseline's time that a kernel has to save; less is within what timings waver by.
        max_relative_error: a kernel whose output is farther off than this is refused, however fast.
        missing: kernels that could not be timed, with the reason.
    """
    dense = next(timing for timing in timings if timing.kernel == baseline)
    refused, allowed = dict(missing or {}), [dense]
    for timing in timings:
        if timing.kernel == baseline:
            continue
        if timing.relative_error > max_relative_error:
            refused[timing.kernel] = f"its output is off by {timing.relative_error:.2g} of the output's power"
        elif timing.seconds > (1 - min_gain) * dense.seconds:
            refused[timing.kernel] = f"{timing.seconds / dense.seconds:.2f} times the time of {baseline}"
        else:
            allowed.append(timing)
    chosen = min(allowed, key=lambda timing: timing.seconds)
    slower = {timing.kernel: f"{chosen.kernel} is faster still" for timing in allowed if timing is not chosen}
    return Dispatch(chosen=chosen.kernel, baseline=baseline, timings=tuple(timings), refused=refused | slower)
