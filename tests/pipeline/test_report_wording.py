"""How figures read."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.pipeline.report.wording import (
    change_interval_words,
    change_words,
    digest_words,
    duration_words,
    figure_words,
    interval_words,
    time_words,
)

from .report_fixtures import figure

PREFIXES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@pytest.mark.parametrize(
    ("name", "value", "unit", "words"),
    [
        ("size", 91_731_040, "byte", "91.73 MB"),
        ("size", 999, "byte", "999 B"),
        ("bytes_per_token", 1_240_000_000, "byte/token", "1.24 GB/token"),
        ("bits_per_weight", 5.4555, "bit/weight", "5.46 bits/weight"),
        ("decode_rate", 103.24, "token/s", "103.2 tokens/s"),
        ("decode_rate", 2470.21, "token/s", "2,470 tokens/s"),
        ("decode_cpu_time", 0.01094, "s/token", "10.94 ms/token"),
        ("perplexity", 13.3404, "1", "13.34"),
        ("perplexity", 48_201.3, "1", "48,201"),
        ("perplexity_ratio", 1.0254, "1", "1.0254"),
        ("sparsity", 0.271, "1", "27.10 %"),
        ("load_time", 2.104, "s", "2.10 s"),
        ("time_to_first_token.8", 0.01234, "s", "12.3 ms"),
        ("prompt_flops.8", 2_690_000_000, "FLOP", "2.69 GFLOP"),
        ("flops_per_token", 269_000_000, "FLOP/token", "269 MFLOP/token"),
        ("matmul_rate", 118_400_000_000, "FLOP/s", "118.4 GFLOP/s"),
        ("memory_bandwidth", 21_500_000_000, "byte/s", "21.5 GB/s"),
        ("num_weights", 134_515_008, "weight", "134,515,008 weights"),
        ("prefill_matmul_share.128", 0.6123, "1", "61.2 %"),
        ("temperature", 41.25, "kelvin", "41.25 kelvin"),
    ],
)
def test_a_figure_reads_with_its_unit(name: str, value: float, unit: str, words: str) -> None:
    assert figure_words(figure(name, value, step="seed", artefact="a", unit=unit)) == words


def test_what_is_missing_is_called_not_measured() -> None:
    assert figure_words(None) == "not measured"
    assert (interval_words(None), change_words(None), change_interval_words(None)) == ("", "", "")


@given(st.floats(1, 1e15))
def test_a_size_read_back_is_the_size_to_a_tenth_of_a_percent(value: float) -> None:
    digits, unit = figure_words(figure("size", value, step="seed", artefact="a", unit="byte")).split(" ")
    assert float(digits.replace(",", "")) * PREFIXES[unit] == pytest.approx(value, rel=1e-3, abs=0.5)


def test_an_interval_names_a_shared_unit_once() -> None:
    rate = figure("decode_rate", 54.0, step="judge", artefact="a", unit="token/s", low=51.84, high=55.6)
    assert interval_words(rate) == "51.8 to 55.6 tokens/s"
    size = figure("size", 1e6, step="seed", artefact="a", unit="byte", low=9e5, high=1.1e6)
    assert interval_words(size) == "900 kB to 1.1 MB"


def test_a_perplexity_changes_by_percent_and_a_rate_by_a_factor() -> None:
    ratio = figure("perplexity_ratio", 0.9968, step="judge", artefact="a", low=0.99, high=1.004)
    assert (change_words(ratio), change_interval_words(ratio)) == ("−0.32 %", "−1.00 % to +0.40 %")
    same = figure("engine_ratio", 0.99999, step="seed", artefact="a")
    assert change_words(same) == "0.00 %"
    speedup = figure("decode_speedup", 1.6926, step="judge", artefact="a", low=1.64, high=1.73)
    assert (change_words(speedup), change_interval_words(speedup)) == ("× 1.693", "× 1.640 to 1.730")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (48.2, "48 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_a_duration_reads_as_people_say_it(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


def test_a_moment_is_told_in_utc_with_or_without_its_zone() -> None:
    plain = dt.datetime(2026, 3, 1, 9, 0, 0)
    east = dt.datetime(2026, 3, 1, 11, 0, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert time_words(plain) == time_words(east) == "2026-03-01 09:00:00 UTC"
    assert time_words(None) == ""


def test_a_digest_is_shortened_behind_its_algorithm() -> None:
    assert digest_words("b3:0123456789abcdef") == "b3:0123456789"
    assert digest_words("0123456789abcdef") == "0123456789"
