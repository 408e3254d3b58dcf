"""Cost: sizes, and two engines timed in turns by clocks that the test holds."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate import (
    NoTokensError,
    bytes_per_token,
    bytes_per_token_measurement,
    decode_rates,
    median,
    size_measurements,
)


class Machine:
    """A clock that moves only when an engine works."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0
        self.log: list[str] = []

    def engine(self, name: str, *, tokens: int, seconds: float, threads: int = 1):
        def decode() -> int:
            self.log.append(name)
            self.wall += seconds
            self.cpu += seconds * threads
            return tokens

        return decode

    def compare(self, candidate, baseline, **settings):
        return decode_rates(candidate, baseline, wall_clock=lambda: self.wall, cpu_clock=lambda: self.cpu, **settings)


def test_rates_are_tokens_over_time_and_cpu_time_counts_threads() -> None:
    machine = Machine()
    fast = machine.engine("fast", tokens=32, seconds=0.25, threads=2)
    slow = machine.engine("slow", tokens=32, seconds=0.5)
    result = machine.compare(fast, slow)
    assert result.candidate.tokens_per_second.value == pytest.approx(128)
    assert result.baseline.tokens_per_second.value == pytest.approx(64)
    assert result.speedup.value == pytest.approx(2)
    assert result.candidate.cpu_seconds_per_token.value == pytest.approx(0.5 / 32)
    assert result.candidate.num_tokens == 7 * 32


def test_engines_take_turns_and_change_who_goes_first() -> None:
    machine = Machine()
    engines = [machine.engine(name, tokens=1, seconds=1) for name in "ab"]
    machine.compare(*engines, repeats=4, num_warmups=1)
    assert "".join(machine.log) == "ab" + "ab" + "ba" + "ab" + "ba"


def test_a_machine_that_slows_down_for_both_leaves_the_speedup_alone() -> None:
    machine = Machine()

    def slowing(factor: float):
        def decode() -> int:
            machine.wall += factor * 2 ** (len(machine.log) // 2)
            machine.log.append("")
            return 10

        return decode

    result = machine.compare(slowing(1.0), slowing(3.0), num_warmups=0)
    assert result.speedup.value == pytest.approx(3)
    assert result.speedup.low == pytest.approx(3)
    assert result.candidate.tokens_per_second.low != result.candidate.tokens_per_second.high


def test_an_engine_that_decodes_nothing_is_an_error() -> None:
    machine = Machine()
    with pytest.raises(NoTokensError):
        machine.compare(machine.engine("a", tokens=0, seconds=1), machine.engine("b", tokens=1, seconds=1))


def test_measurements_carry_engine_artefact_and_sample() -> None:
    machine = Machine()
    result = machine.compare(*(machine.engine(name, tokens=8, seconds=1) for name in "ab"), repeats=6)
    rate, cpu = result.candidate.measurements(artefact="b3:7", engine="llama.cpp, 2 threads")
    assert (rate.name, rate.unit, rate.sample_size) == ("decode_rate", "token/s", 48)
    assert (cpu.name, cpu.unit) == ("decode_cpu_time", "s/token")
    assert rate.method == "llama.cpp, 2 threads, median of 6 turns, alternating with the other engine"
    assert rate.low == rate.high == rate.value
    assert result.measurement(artefact="b3:7", engine="llama.cpp").name == "decode_speedup"


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=40))
def test_the_interval_of_a_median_is_the_narrowest_that_covers_95_of_100(values: list[float]) -> None:
    figure = median(values)
    ordered = sorted(values)
    count = len(values)
    covers = [1 - 2 * sum(comb(count, j) for j in range(k)) / 2**count for k in range(1, count // 2 + 1)]
    depth = sum(cover >= 0.95 for cover in covers)
    if depth == 0:
        assert count < 6
        assert figure.low is figure.high is None
    else:
        assert (figure.low, figure.high) == (ordered[depth - 1], ordered[-depth])
        assert figure.low <= figure.value <= figure.high


def test_size_and_bits_come_from_the_stored_bytes() -> None:
    size, bits = size_measurements(artefact="b3:1", size_bytes=1000, num_weights=2000)
    assert (size.name, size.value, size.unit) == ("size", 1000, "byte")
    assert (bits.name, bits.value, bits.unit, bits.basis) == ("bits_per_weight", 4.0, "bit/weight", "measured")
    assert "2,000 weights" in bits.method


def test_a_table_that_is_only_looked_up_counts_one_row() -> None:
    tensors = {"token_embd": 1000, "blk.0.ffn_up": 300, "output": 1000}
    assert bytes_per_token(tensors) == 2300
    assert bytes_per_token(tensors, lookup_rows={"token_embd": 100}) == 1310
    row = bytes_per_token_measurement(tensors, artefact="b3:1", lookup_rows={"token_embd": 100})
    assert (row.value, row.basis) == (1310, "estimated")
