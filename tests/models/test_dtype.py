from __future__ import annotations

import pytest
import torch

from birdbone.models import at_most_threads, choose_compute_dtype, use_threads


def test_the_choice_is_one_of_the_candidates_and_carries_every_timing() -> None:
    candidates = (torch.float32, torch.bfloat16)
    choice = choose_compute_dtype(candidates=candidates, shape=(16, 32, 48), num_repeats=2)
    assert choice.dtype in candidates
    assert tuple(timing.dtype for timing in choice.timings) == candidates
    assert all(timing.seconds > 0 for timing in choice.timings)
    assert choice.shape == (16, 32, 48)
    assert choice.num_threads == torch.get_num_threads()


def test_the_first_candidate_stays_unless_another_is_faster_by_the_margin() -> None:
    choice = choose_compute_dtype(shape=(16, 32, 48), num_repeats=2, min_speedup=1e9)
    assert choice.dtype == torch.float32


def test_the_choice_follows_the_timings_by_which_it_says_it_was_made() -> None:
    choice = choose_compute_dtype(shape=(64, 64, 64), num_repeats=3, min_speedup=1.5)
    first, second = choice.timings
    assert (choice.dtype == second.dtype) == (first.seconds >= second.seconds * 1.5)


def test_timing_leaves_the_global_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    choose_compute_dtype(shape=(4, 4, 4), num_repeats=1)
    assert torch.equal(before, torch.get_rng_state())


def test_threads_are_set_and_the_number_before_comes_back() -> None:
    before = torch.get_num_threads()
    assert use_threads(before) == before
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="at least 1"):
        use_threads(0)


def test_a_block_computes_with_fewer_threads_and_never_with_more() -> None:
    before = torch.get_num_threads()
    with at_most_threads(before + 1):
        assert torch.get_num_threads() == before
    with at_most_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
