"""Two engines timed in turns by clocks that the test holds."""

from __future__ import annotations

import pytest

from birdbone.evaluate import NoTokensError, decode_rates


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
