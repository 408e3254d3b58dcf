"""The machine as plans need it: its memory's speed is measured, its digest stays, what is not told is None."""

from __future__ import annotations

import dataclasses
import json

from birdbone.watch.bandwidth import largest_cache_bytes, measure_bandwidth
from birdbone.watch.hardware_profile import profile_hardware
from birdbone.watch.power import Power, read_power

UNTOLD = Power(
    battery_percent=None,
    is_plugged_in=None,
    hottest_celsius=None,
    throttle_celsius=None,
    num_throttled=None,
    capped_frequency_share=None,
)


def test_memory_is_read_as_often_as_said() -> None:
    found = measure_bandwidth(num_threads=2, rounds=3, buffer_bytes=2**22)
    assert found.buffer_bytes == 2**22
    assert 0 < found.slowest <= found.bytes_per_second <= found.fastest
    assert found.num_threads == 2
    size = largest_cache_bytes()
    assert size is None or size > 0


def test_the_digest_stays_while_what_changes_by_itself_changes() -> None:
    first = profile_hardware(measures_bandwidth=False)
    again = dataclasses.replace(
        first,
        bandwidth=measure_bandwidth(rounds=1, buffer_bytes=2**20),
        power=dataclasses.replace(UNTOLD, hottest_celsius=90.0),
        hardware=dataclasses.replace(
            first.hardware, memory_bytes=first.hardware.memory_bytes - 2**20, python="3.99", system="other"
        ),
    )
    assert first.bandwidth is None
    assert again.digest == first.digest
    other = dataclasses.replace(first, hardware=dataclasses.replace(first.hardware, num_available_cores=99))
    assert other.digest != first.digest
    assert json.loads(json.dumps(again.to_dict()))["digest"] == first.digest


def test_battery_and_heat_are_read_or_none() -> None:
    found = read_power()
    assert found.battery_percent is None or 0 <= found.battery_percent <= 100
    assert found.capped_frequency_share is None or found.capped_frequency_share > 0
    assert json.loads(json.dumps(found.to_dict()))["num_throttled"] == found.num_throttled


def test_what_slows_a_machine_down_is_told() -> None:
    assert UNTOLD.notes == ()
    hot = dataclasses.replace(
        UNTOLD,
        battery_percent=41.0,
        is_plugged_in=False,
        hottest_celsius=97.0,
        throttle_celsius=100.0,
        capped_frequency_share=0.5,
    )
    battery, cap, heat = hot.notes
    assert "battery (41 %)" in battery
    assert "50%" in cap
    assert "3 degrees below" in heat
    assert dataclasses.replace(UNTOLD, is_plugged_in=True, capped_frequency_share=1.0).notes == ()
