"""Energy meters, on a folder that looks as Linux's does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.cost.energy import Meter, find_meters, rapl_meters

RANGE = 262_143_328_850


def write_zone(folder: Path, zone: str, name: str, microjoules: int, *, wraps_at: int = RANGE) -> Path:
    path = folder / zone
    path.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", wraps_at)):
        (path / file).write_text(f"{value}\n")
    return path / "energy_uj"


def test_packages_and_their_memory_are_added_and_what_they_hold_is_not(tmp_path: Path) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    counters = {zone: write_zone(tmp_path, zone, name, 1_000_000) for zone, name in zones.items()}
    (tmp_path / "intel-rapl").mkdir()
    found = find_meters(tmp_path)
    assert found.names == "RAPL package-0, RAPL dram, RAPL package-1"
    before = found.read()
    for number, counter in enumerate(counters.values()):
        counter.write_text(f"{1_000_000 + 10**number}\n")
    assert found.joules_between(before, found.read()) == pytest.approx((1 + 100 + 1000) * 1e-6)


def test_a_counter_that_wrapped_round_goes_on(tmp_path: Path) -> None:
    counter = write_zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 2_000_000)
    found = find_meters(tmp_path)
    before = found.read()
    counter.write_text("3000000\n")
    assert found.joules_between(before, found.read()) == pytest.approx(5.0)


@given(st.integers(1, 10**12), st.integers(0, 10**13), st.data())
def test_what_was_used_comes_back_wherever_the_counter_stood(wraps_at: int, start: int, data: st.DataObject) -> None:
    used = data.draw(st.integers(0, wraps_at - 1))
    meter = Meter(name="made up", read=lambda: 0, wraps_at=wraps_at, joules_per_unit=0.5)
    assert meter.joules_between(start % wraps_at, (start + used) % wraps_at) == used * 0.5


def test_a_machine_that_does_not_tell_says_so(tmp_path: Path) -> None:
    found = find_meters(tmp_path / "none")
    assert (found.meters, found.reason) == ((), "the machine does not tell")
    assert found.joules_between(found.read(), found.read()) is None


def test_a_zone_without_a_counter_or_with_words_in_it_is_left_out(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", 5).unlink()
    write_zone(tmp_path, "intel-rapl:1", "package-1", 5).write_text("?")
    assert rapl_meters(tmp_path) == ((), False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_for_root_only_is_named_as_the_reason(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", 5).chmod(0)
    assert find_meters(tmp_path).reason == "the machine's energy counter may be read by root only"
