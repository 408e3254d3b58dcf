"""Schedules rise, end where they should, and never take more in a wave than they may."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law

from birdbone.compress.config import ScheduleConfig
from birdbone.compress.schedule import shares_by_wave, waves_needed

schedules = st.builds(
    ScheduleConfig,
    kind=st.sampled_from(["cubic", "linear", "constant"]),
    num_waves=st.integers(1, 20),
    max_step=st.floats(0.01, 1),
)


@law
@given(share=st.floats(0.01, 0.99), config=schedules)
def test_shares_rise_and_no_wave_takes_more_than_it_may(share: float, config: ScheduleConfig) -> None:
    shares = (0.0, *shares_by_wave(share, config))
    steps = [after - before for before, after in itertools.pairwise(shares)]
    assert all(-1e-12 <= step <= config.max_step + 1e-12 for step in steps)
    assert shares[-1] <= share + 1e-12
    if waves_needed(share, config) <= config.num_waves:
        assert shares[-1] == pytest.approx(share)
    longer = config.model_copy(update={"num_waves": max(config.num_waves, waves_needed(share, config))})
    assert waves_needed(share, longer) <= longer.num_waves or config.max_step < share


def test_the_three_curves_by_hand() -> None:
    def shares(kind: str) -> list[float]:
        return [round(share, 6) for share in shares_by_wave(0.8, ScheduleConfig(kind=kind, num_waves=4))]  # type: ignore[arg-type]

    assert shares("linear") == [0.2, 0.4, 0.6, 0.8]
    assert shares("constant") == [0.8] * 4
    assert shares("cubic") == [0.4625, 0.7, 0.7875, 0.8]
    assert waves_needed(0.8, ScheduleConfig(kind="constant", max_step=0.25)) == 4
