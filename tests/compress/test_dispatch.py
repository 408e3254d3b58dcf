"""A kernel that is not faster than dense, or not right, is refused; what was timed once is known again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_linear, draw_mask, law

from birdbone.compress.config import FactorConfig
from birdbone.compress.dispatch import (
    Dispatch,
    DispatchCache,
    KernelTiming,
    decide,
    dispatch_key,
    dispatch_linear,
    make_kernels,
    time_kernels,
)
from birdbone.compress.lowrank import weighted_svd


def timing(kernel: str, seconds: float, error: float = 0.0) -> KernelTiming:
    return KernelTiming(kernel=kernel, seconds=seconds, seconds_min=seconds, seconds_max=seconds, relative_error=error)


def ticks() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 1.0


@law
@given(
    seconds=st.lists(st.floats(1e-6, 10), min_size=1, max_size=5),
    errors=st.lists(st.floats(0, 0.1), min_size=5, max_size=5),
)
def test_no_kernel_that_is_slower_than_dense_is_ever_chosen(seconds: list[float], errors: list[float]) -> None:
    timings = [timing("dense_fp32", seconds[0])]
    timings += [timing(str(n), s, errors[n]) for n, s in enumerate(seconds[1:])]
    found = decide(timings)
    assert found.timing(found.chosen).seconds <= seconds[0]
    assert found.speed_up >= 1
    assert found.timing(found.chosen).relative_error <= 0.01
    assert set(found.refused) | {found.chosen, found.baseline} == {each.kernel for each in timings}


def test_each_refusal_says_why() -> None:
    found = decide(
        [
            timing("dense_fp32", 1.0),
            timing("dense_bf16", 0.5, 1e-5),
            timing("int8_dynamic", 0.4, 1e-4),
            timing("low_rank", 0.1, 0.3),
            timing("csr", 6.0),
        ],
        missing={"other": "not in this build of torch"},
    )
    assert (found.chosen, found.speed_up) == ("int8_dynamic", pytest.approx(2.5))
    assert found.refused == {
        "other": "not in this build of torch",
        "low_rank": "its output is off by 0.3 of the output's power",
        "csr": "6.00 times the time of dense_fp32",
        "dense_fp32": "int8_dynamic is faster still",
        "dense_bf16": "int8_dynamic is faster still",
    }


def test_what_saves_less_than_timings_waver_by_is_refused() -> None:
    assert decide([timing("dense_fp32", 1.0), timing("dense_bf16", 0.97)]).chosen == "dense_fp32"


def test_every_kernel_computes_the_linear() -> None:
    linear = draw_linear(0, num_outputs=12, num_inputs=16)
    w_FD = linear.w_FD * draw_mask(0, 12, 16)
    factors = weighted_svd(w_FD, linear.gram_DD, config=FactorConfig()).cut(12)
    kernels, missing = make_kernels(w_FD, factors=factors)
    expected_MF = linear.x_TD @ w_FD.T
    for name, kernel in kernels.items():
        error = float((kernel(linear.x_TD) - expected_MF).square().sum() / expected_MF.square().sum())
        assert error < (0.1 if name == "int8_dynamic" else 1e-4), name  # the inputs differ much in loudness
    assert {"dense_fp32", "dense_bf16", "low_rank", "csr"} <= set(kernels)
    assert set(kernels).isdisjoint(missing)


def test_kernels_without_their_material_say_so() -> None:
    _, missing = make_kernels(draw_linear(0).w_FD)
    assert missing["low_rank"] == "no factors were given"
    assert missing["csr"] == "the weight has no zeros"


def test_calls_are_timed_by_the_clock_that_is_given() -> None:
    linear, clock = draw_linear(0), ticks()
    kernels, _ = make_kernels(linear.w_FD)
    for found in time_kernels(kernels, linear.x_TD, repeats=3, clock=lambda: next(clock)):
        assert (found.seconds, found.seconds_min, found.seconds_max) == (1.0, 1.0, 1.0)


def test_a_case_is_timed_once_and_known_in_the_next_process(tmp_path: Path) -> None:
    linear, path, clock = draw_linear(0), tmp_path / "kernels.json", ticks()

    def ask() -> Dispatch:
        cache = DispatchCache(path)
        return dispatch_linear(linear.w_FD, linear.x_TD, cache=cache, repeats=2, clock=lambda: next(clock))

    first, before = ask(), next(clock)
    assert ask() == first
    assert next(clock) == before + 1


def test_another_shape_batch_rank_or_share_of_zeros_is_another_case() -> None:
    keys = {
        dispatch_key((4, 8), num_tokens=1, rank=None, zero_share=0),
        dispatch_key((8, 4), num_tokens=1, rank=None, zero_share=0),
        dispatch_key((4, 8), num_tokens=2, rank=None, zero_share=0),
        dispatch_key((4, 8), num_tokens=1, rank=2, zero_share=0),
        dispatch_key((4, 8), num_tokens=1, rank=None, zero_share=0.5),
    }
    assert len(keys) == 5
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert dispatch_key((4, 8), num_tokens=1, rank=None, zero_share=0) not in keys
    torch.set_num_threads(threads)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]"])
def test_a_spoilt_cache_is_as_good_as_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    path.write_text(text)
    cache = DispatchCache(path)
    assert cache.find("a") is None
    cache.keep("a", decide([timing("dense_fp32", 1.0)]))
    assert DispatchCache(path).find("a") == decide([timing("dense_fp32", 1.0)])
