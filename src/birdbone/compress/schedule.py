"""How much is gone after each wave. Plain numbers, free of torch."""

from __future__ import annotations

from typing import assert_never

from birdbone.compress.config import ScheduleConfig, ShedStructuresConfig, TargetedPattern


def cut_shares(config: ShedStructuresConfig) -> tuple[float, ...]:
    """Return the share of the decoder that is to be gone after each cut; what is named goes in one."""
    if isinstance(config.pattern, TargetedPattern):
        return (1.0,)
    return shares_by_wave(config.pattern.share, config.schedule)


def shares_by_wave(final_share: float, config: ScheduleConfig) -> tuple[float, ...]:
    """Return the share that is gone after each wave, rising to `final_share`.

    With `max_step` the last waves may end below it; `waves_needed` says how many it takes.
    Source: Zhu and Gupta 2017, arXiv:1710.01878, eq. 1 (cubic), with an initial share of 0.
    """
    shares: list[float] = []
    for wave in range(1, config.num_waves + 1):
        wanted = final_share * _curve(wave / config.num_waves, config)
        before = shares[-1] if shares else 0.0
        shares.append(min(wanted, before + config.max_step))
    return tuple(shares)


def waves_needed(final_share: float, config: ScheduleConfig) -> int:
    """Return after how many waves the whole share is gone when no wave takes more than `max_step`."""
    gone, wave = 0.0, 0
    while gone < final_share * (1 - 1e-12):
        wave += 1
        wanted = final_share * _curve(min(1.0, wave / config.num_waves), config)
        gone = min(wanted, gone + config.max_step)
    return wave


def _curve(progress: float, config: ScheduleConfig) -> float:
    match config.kind:
        case "cubic":
            return 1.0 - (1.0 - progress) ** 3
        case "linear":
            return progress
        case "constant":
            return 1.0
        case _:
            assert_never(config.kind)
